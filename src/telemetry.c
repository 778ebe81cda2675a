#include "telemetry.h"

#include "process.h"

#include "fileservice/base/clock.h"

#include <stdlib.h>

#include <curl/curl.h>
#include <microhttpd.h>
#include <openssl/crypto.h>

#include "fileservice/base/banned.h"

static void write_build(struct buf *page) {
    const curl_version_info_data *curl = curl_version_info(CURLVERSION_NOW);
    struct metrics_label labels[] = {
        {"version", FILESERVICE_VERSION},
        {"libcurl", curl->version},
        {"libmicrohttpd", MHD_get_version()},
        {"openssl", OpenSSL_version(OPENSSL_VERSION_STRING)},
    };
    metrics_family(page, "fileservice_build_info", METRICS_GAUGE,
                   "Always 1; its labels say what runs.");
    metrics_sample(page, "fileservice_build_info", labels, sizeof labels / sizeof *labels, 1);
}

static enum err write_requests(const struct telemetry *t, struct buf *page) {
    const struct http_metrics **tables = calloc(t->worker_count, sizeof(struct http_metrics *));
    if (tables == NULL)
        return ERR_NO_MEMORY;
    for (unsigned i = 0; i < t->worker_count; i++)
        tables[i] = worker_metrics(t->workers[i]);
    http_metrics_write(tables, t->worker_count, page);
    free(tables);
    return ERR_OK;
}

static void write_connections(const struct telemetry *t, struct buf *page) {
    uint64_t connections = 0;
    for (unsigned i = 0; i < t->worker_count; i++)
        connections += worker_connections(t->workers[i]);
    metrics_single(page, "fileservice_connections", METRICS_GAUGE, "Connections of clients.",
                   connections);
    metrics_single(page, "fileservice_connections_limit", METRICS_GAUGE, "MAX_CONNECTIONS.",
                   t->acceptor->max);
    metrics_single(page, "fileservice_connections_rejected_total", METRICS_COUNTER,
                   "Connections that were answered 503 over MAX_CONNECTIONS.",
                   metrics_read(&t->acceptor->turned_away));
    metrics_single(page, "fileservice_draining", METRICS_GAUGE, "1 while the program ends.",
                   atomic_load(t->draining) ? 1 : 0);
}

static void write_uploads(const struct telemetry *t, struct buf *page) {
    metrics_single(page, "fileservice_uploads_in_flight", METRICS_GAUGE,
                   "Uploads that have to finish or to be aborted.", atomic_load(t->busy_uploads));
    metrics_single(page, "fileservice_upload_memory_used_bytes", METRICS_GAUGE,
                   "Bytes of UPLOAD_MEMORY_BYTES in use or reserved.", budget_used(t->budget));
    metrics_single(page, "fileservice_upload_memory_limit_bytes", METRICS_GAUGE,
                   "UPLOAD_MEMORY_BYTES.", t->budget_bytes);
}

static void write_credentials(const struct telemetry *t, struct buf *page) {
    struct credentials *c = NULL;
    struct error error;
    bool available = credentials_get(t->credentials, &c, &error) == ERR_OK;
    metrics_single(page, "fileservice_credentials_available", METRICS_GAUGE,
                   "1 when there are AWS credentials that have not expired.", available ? 1 : 0);
    if (!available)
        return;
    if (c->expires_wall_ms != CREDENTIALS_NEVER) {
        int64_t left_ms = c->expires_wall_ms - clock_wall_ms();
        metrics_family(page, "fileservice_credentials_expiry_seconds", METRICS_GAUGE,
                       "How long the AWS credentials in use still live.");
        metrics_sample_us(page, "fileservice_credentials_expiry_seconds", NULL, 0,
                          left_ms > 0 ? (uint64_t)left_ms * 1000 : 0);
    }
    credentials_unref(c);
}

static void write_rejected(const struct logs_cloudwatch_counts *counts, struct buf *page) {
    static const char name[] = "fileservice_log_lines_rejected_total";
    metrics_family(page, name, METRICS_COUNTER, "Lines that CloudWatch Logs did not take, by why.");
    for (int i = 0; i < LOGS_REJECT_COUNT; i++) {
        struct metrics_label reason = {"reason", logs_reject_name((enum logs_reject)i)};
        metrics_sample(page, name, &reason, 1, counts->rejected[i]);
    }
}

/* Zeros when CloudWatch is off. */
static void write_logs(const struct telemetry *t, struct buf *page) {
    struct logs_cloudwatch_counts counts = {.produced = 0};
    if (t->cloudwatch != NULL)
        counts = logs_cloudwatch_counts(t->cloudwatch);
    metrics_single(page, "fileservice_log_lines_produced_total", METRICS_COUNTER,
                   "Lines meant for CloudWatch Logs.", counts.produced);
    metrics_single(page, "fileservice_log_lines_delivered_total", METRICS_COUNTER,
                   "Lines that CloudWatch Logs has taken.", counts.delivered);
    metrics_single(page, "fileservice_log_lines_dropped_total", METRICS_COUNTER,
                   "Lines for which the queue had no room.", counts.dropped);
    write_rejected(&counts, page);
    metrics_single(page, "fileservice_log_queue_bytes", METRICS_GAUGE,
                   "Bytes of lines that CloudWatch Logs has not answered for yet.",
                   counts.queue_bytes);
    metrics_single(page, "fileservice_stdout_lines_dropped_total", METRICS_COUNTER,
                   "Lines for which the reader of standard output was too slow.",
                   logs_console_dropped(t->console));
}

enum err telemetry_render(void *context, struct buf *page) {
    const struct telemetry *t = context;
    write_build(page);
    enum err e = write_requests(t, page);
    if (e != ERR_OK)
        return e;
    write_connections(t, page);
    write_uploads(t, page);
    s3_metrics_write((const struct s3_metrics *const *)t->s3_metrics, t->worker_count, page);
    write_credentials(t, page);
    write_logs(t, page);
    process_write(t->started_wall_ms, page);
    return buf_error(page);
}

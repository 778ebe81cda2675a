#include "fileservice/http/http_metrics.h"

#include <stdlib.h>

#include "fileservice/base/banned.h"

static const char *const route_names[] = {
    [ROUTE_NONE] = "none",
    [ROUTE_ROOT] = "/",
    [ROUTE_HEALTHZ] = "/healthz",
    [ROUTE_READYZ] = "/readyz",
    [ROUTE_FILES] = "/file",
    [ROUTE_BUCKET] = "/file/{bucket}",
    [ROUTE_OBJECT] = "/file/{bucket}/{key}",
};
#define ROUTE_COUNT (sizeof route_names / sizeof *route_names)

static const char *const method_names[] = {"OTHER", "GET",    "HEAD",   "POST",
                                           "PUT",   "DELETE", "OPTIONS"};
#define METHOD_COUNT (sizeof method_names / sizeof *method_names)

/* What reply_status(), the handlers and S3's answers to a read come to. */
static const struct {
    unsigned status;
    const char *name;
} statuses[] = {
    {200, "200"}, {201, "201"}, {204, "204"}, {206, "206"}, {302, "302"}, {304, "304"},
    {400, "400"}, {401, "401"}, {403, "403"}, {404, "404"}, {405, "405"}, {409, "409"},
    {412, "412"}, {413, "413"}, {415, "415"}, {416, "416"}, {499, "499"}, {500, "500"},
    {502, "502"}, {503, "503"}, {504, "504"}, {0, "other"},
};
#define STATUS_COUNT (sizeof statuses / sizeof *statuses)

struct http_metrics {
    struct metrics_counter requests[ROUTE_COUNT][METHOD_COUNT][STATUS_COUNT];
    struct metrics_histogram durations[ROUTE_COUNT][METHOD_COUNT];
    struct metrics_counter received_bytes;
    struct metrics_counter sent_bytes;
};

struct http_metrics *http_metrics_new(void) {
    return metrics_alloc(sizeof(struct http_metrics));
}
void http_metrics_free(struct http_metrics *m) { free(m); }

/* Counting */

static size_t method_index(enum router_method method) {
    switch (method) {
    case ROUTER_GET:
        return 1;
    case ROUTER_HEAD:
        return 2;
    case ROUTER_POST:
        return 3;
    case ROUTER_PUT:
        return 4;
    case ROUTER_DELETE:
        return 5;
    case ROUTER_OPTIONS:
        return 6;
    case ROUTER_OTHER:
        break;
    }
    return 0;
}

static size_t status_index(unsigned status) {
    size_t i = 0;
    while (i < STATUS_COUNT - 1 && statuses[i].status != status)
        i++;
    return i;
}

void http_metrics_request(struct http_metrics *m, enum route route, enum router_method method,
                          unsigned status, uint64_t duration_us) {
    size_t r = (size_t)route < ROUTE_COUNT ? (size_t)route : ROUTE_NONE;
    size_t i = method_index(method);
    metrics_add(&m->requests[r][i][status_index(status)], 1);
    metrics_observe(&m->durations[r][i], duration_us);
}

void http_metrics_received(struct http_metrics *m, uint64_t bytes) {
    metrics_add(&m->received_bytes, bytes);
}

void http_metrics_sent(struct http_metrics *m, uint64_t bytes) {
    metrics_add(&m->sent_bytes, bytes);
}

/* The page */

static void write_requests(const struct http_metrics *const *tables, size_t count, size_t r,
                           size_t i, struct buf *page) {
    for (size_t s = 0; s < STATUS_COUNT; s++) {
        struct metrics_label labels[] = {
            {"route", route_names[r]}, {"method", method_names[i]}, {"status", statuses[s].name}};
        uint64_t n = 0;
        for (size_t t = 0; t < count; t++)
            n += metrics_read(&tables[t]->requests[r][i][s]);
        if (n > 0)
            metrics_sample(page, "fileservice_http_requests_total", labels, 3, n);
    }
}

static void write_durations(const struct http_metrics *const *tables, size_t count, size_t r,
                            size_t i, struct buf *page) {
    struct metrics_label labels[] = {{"route", route_names[r]}, {"method", method_names[i]}};
    struct metrics_totals totals = {.sum_us = 0};
    for (size_t t = 0; t < count; t++)
        metrics_totals_add(&totals, &tables[t]->durations[r][i]);
    if (metrics_totals_count(&totals) > 0)
        metrics_sample_totals(page, "fileservice_http_request_duration_seconds", labels, 2,
                              &totals);
}

static void write_each(const struct http_metrics *const *tables, size_t count, struct buf *page,
                       void (*write)(const struct http_metrics *const *tables, size_t count,
                                     size_t r, size_t i, struct buf *page)) {
    for (size_t r = 0; r < ROUTE_COUNT; r++)
        for (size_t i = 0; i < METHOD_COUNT; i++)
            write(tables, count, r, i, page);
}

void http_metrics_write(const struct http_metrics *const *tables, size_t count, struct buf *page) {
    uint64_t received = 0;
    uint64_t sent = 0;
    for (size_t t = 0; t < count; t++) {
        received += metrics_read(&tables[t]->received_bytes);
        sent += metrics_read(&tables[t]->sent_bytes);
    }
    metrics_family(page, "fileservice_http_requests_total", METRICS_COUNTER,
                   "Requests that have ended. Status 499: the client went away unanswered.");
    write_each(tables, count, page, write_requests);
    metrics_family(page, "fileservice_http_request_duration_seconds", METRICS_HISTOGRAM,
                   "From the request line to the end of the answer.");
    write_each(tables, count, page, write_durations);
    metrics_single(page, "fileservice_http_received_bytes_total", METRICS_COUNTER,
                   "Bytes of request bodies, as they come.", received);
    metrics_single(page, "fileservice_http_sent_bytes_total", METRICS_COUNTER,
                   "Bytes of answers' bodies; those of streams as they go.", sent);
}

#include "logging.h"

#include "fileservice/base/hex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "fileservice/base/banned.h"

#define LOGGING_INSTANCE_BYTES 4

/* What the writers tell of */

static void on_stdout_dropped(uint64_t lines) {
    struct log_field field = {"dropped", {NULL, 0}, (int64_t)lines};
    log_event(LOG_WARN, LOG_STREAM_DEFAULT,
              "log lines were dropped on standard output: its reader is too slow, or gone", &field,
              1);
}

static void on_outage(const struct error *error) {
    struct log_field fields[] = {
        {"error", span_of(error->message), 0},
        {"code", span_of(error->code), 0},
    };
    log_event(LOG_ERROR, LOG_STREAM_DEFAULT, "log lines do not reach CloudWatch", fields,
              sizeof fields / sizeof *fields);
}

static void on_recovery(uint64_t dropped) {
    struct log_field field = {"dropped", {NULL, 0}, (int64_t)dropped};
    if (dropped > 0)
        log_event(LOG_WARN, LOG_STREAM_DEFAULT, "log lines were dropped on their way to CloudWatch",
                  &field, 1);
    else
        log_message(LOG_INFO, "log lines reach CloudWatch again, none was dropped");
}

static void on_rejected(uint64_t lines) {
    struct log_field field = {"rejected", {NULL, 0}, (int64_t)lines};
    log_event(LOG_WARN, LOG_STREAM_DEFAULT, "CloudWatch rejected log lines", &field, 1);
}

static void on_no_retention(const struct error *error) {
    struct log_field field = {"error", span_of(error->message), 0};
    log_event(LOG_WARN, LOG_STREAM_DEFAULT,
              "the retention of the new log group could not be set: it keeps lines for ever",
              &field, 1);
}

/* Starting */

static bool wants_colours(const struct config *c) {
    const char *no_color =
        getenv("NO_COLOR");                // NOLINT(concurrency-mt-unsafe): nobody sets variables
    const char *terminal = getenv("TERM"); // NOLINT(concurrency-mt-unsafe)
    return c->log_format == LOG_TEXT && isatty(STDOUT_FILENO) == 1 &&
           (no_color == NULL || no_color[0] == '\0') && /* https://no-color.org */
           (terminal == NULL || strcmp(terminal, "dumb") != 0);
}

/* A name of this run of the program. */
static void name_instance(char out[2 * LOGGING_INSTANCE_BYTES + 1]) {
    unsigned char random[LOGGING_INSTANCE_BYTES] = {0};
    ssize_t got = getrandom(random, sizeof random, 0);
    (void)got; /* a few bytes are never cut short */
    hex_encode(random, sizeof random, out);
}

enum err logging_start(struct logging *l, const struct config *config, struct error *error) {
    char instance[2 * LOGGING_INSTANCE_BYTES + 1];
    struct logs_console_options options = {
        .fd = STDOUT_FILENO,
        .colours = wants_colours(config),
        .on_dropped = on_stdout_dropped,
    };
    name_instance(instance);
    log_configure(config->log_level, config->log_format, instance);
    l->console = logs_console_start(&options);
    if (l->console == NULL)
        return error_set(error, ERR_NO_MEMORY, "the console writer does not start");
    struct log_sink sink = logs_console_sink(l->console);
    log_add_sink(&sink);
    return ERR_OK;
}

enum err logging_start_shipper(struct logging *l, const struct config *config,
                               struct credentials_source *credentials, struct error *error) {
    struct logs_cloudwatch_options options = {
        .endpoint = config->logs_endpoint,
        .region = config->region,
        .group = config->log_group,
        .retention_days = config->log_retention_days,
        .queue_bytes = config->log_queue_bytes,
        .credentials = credentials,
        .connect_ms = config->s3_connect_timeout_ms,
        .silence_ms = config->s3_timeout_ms,
        .on_outage = on_outage,
        .on_recovery = on_recovery,
        .on_rejected = on_rejected,
        .on_no_retention = on_no_retention,
    };
    if (config->log_group == NULL)
        return ERR_OK;
    enum err e = logs_cloudwatch_start(&options, &l->cloudwatch, error);
    if (e == ERR_OK) {
        struct log_sink sink = logs_cloudwatch_sink(l->cloudwatch);
        log_add_sink(&sink);
    }
    return e;
}

/* Ending */

void logging_flush(struct logging *l, unsigned timeout_ms) {
    if (l->cloudwatch != NULL)
        logs_cloudwatch_flush(l->cloudwatch, timeout_ms);
}

bool logging_is_flushed(const struct logging *l) {
    return l->cloudwatch == NULL || logs_cloudwatch_is_flushed(l->cloudwatch);
}

void logging_flush_stdout(struct logging *l, unsigned timeout_ms) {
    if (l->console != NULL)
        logs_console_flush(l->console, timeout_ms);
}

bool logging_is_stdout_flushed(const struct logging *l) {
    return l->console == NULL || logs_console_is_flushed(l->console);
}

static void say_dropped(uint64_t lines, const char *where) {
    if (lines > 0)
        (void)fprintf(stderr, "%llu log lines were dropped on %s\n", (unsigned long long)lines,
                      where);
}

void logging_stop(struct logging *l) {
    log_stop();
    if (l->console != NULL)
        say_dropped(logs_console_dropped(l->console), "standard output");
    if (l->cloudwatch != NULL)
        say_dropped(logs_cloudwatch_counts(l->cloudwatch).dropped, "their way to CloudWatch");
    logs_cloudwatch_free(l->cloudwatch);
    if (logging_is_stdout_flushed(l))
        logs_console_free(l->console);
    else
        (void)fputs("standard output still blocks: its last lines may be lost\n", stderr);
}

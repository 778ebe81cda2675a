#include "fileservice/s3/s3_metrics.h"

#include <assert.h>
#include <stdlib.h>

#include "fileservice/base/banned.h"

#define RESULT_COUNT (ERR_INTERNAL + 1) /* kinds of enum err */

struct s3_metrics {
    struct metrics_counter calls[S3_OPERATION_COUNT][RESULT_COUNT];
    struct metrics_histogram durations[S3_OPERATION_COUNT];
    struct metrics_counter retries[S3_OPERATION_COUNT];
};

struct s3_metrics *s3_metrics_new(void) {
    return metrics_alloc(sizeof(struct s3_metrics));
}
void s3_metrics_free(struct s3_metrics *m) { free(m); }

void s3_metrics_count(struct s3_metrics *m, const struct aws_report *report) {
    unsigned operation = report->operation;
    unsigned result = report->err;
    assert(operation < S3_OPERATION_COUNT && result < RESULT_COUNT);
    metrics_add(&m->calls[operation][result], 1);
    metrics_observe(&m->durations[operation], report->duration_us);
    if (report->attempts > 1)
        metrics_add(&m->retries[operation], report->attempts - 1);
}

/* The page */

static void write_calls(const struct s3_metrics *const *tables, size_t count, unsigned operation,
                        struct buf *page) {
    for (unsigned r = 0; r < RESULT_COUNT; r++) {
        struct metrics_label labels[] = {{"operation", s3_operation_name(operation)},
                                         {"result", err_name(r)}};
        uint64_t n = 0;
        for (size_t t = 0; t < count; t++)
            n += metrics_read(&tables[t]->calls[operation][r]);
        if (n > 0)
            metrics_sample(page, "fileservice_s3_calls_total", labels, 2, n);
    }
}

static void write_durations(const struct s3_metrics *const *tables, size_t count,
                            unsigned operation, struct buf *page) {
    struct metrics_label label = {"operation", s3_operation_name(operation)};
    struct metrics_totals totals = {.sum_us = 0};
    for (size_t t = 0; t < count; t++)
        metrics_totals_add(&totals, &tables[t]->durations[operation]);
    if (metrics_totals_count(&totals) > 0)
        metrics_sample_totals(page, "fileservice_s3_call_duration_seconds", &label, 1, &totals);
}

static void write_retries(const struct s3_metrics *const *tables, size_t count, unsigned operation,
                          struct buf *page) {
    struct metrics_label label = {"operation", s3_operation_name(operation)};
    uint64_t n = 0;
    for (size_t t = 0; t < count; t++)
        n += metrics_read(&tables[t]->retries[operation]);
    if (n > 0)
        metrics_sample(page, "fileservice_s3_retries_total", &label, 1, n);
}

static void write_each(const struct s3_metrics *const *tables, size_t count, struct buf *page,
                       void (*write)(const struct s3_metrics *const *tables, size_t count,
                                     unsigned operation, struct buf *page)) {
    for (unsigned operation = 0; operation < S3_OPERATION_COUNT; operation++)
        write(tables, count, operation, page);
}

void s3_metrics_write(const struct s3_metrics *const *tables, size_t count, struct buf *page) {
    metrics_family(page, "fileservice_s3_calls_total", METRICS_COUNTER,
                   "Calls to S3 that have ended, each with all its tries.");
    write_each(tables, count, page, write_calls);
    metrics_family(page, "fileservice_s3_call_duration_seconds", METRICS_HISTOGRAM,
                   "Time of calls to S3, with all tries; of streams to the head of the answer.");
    write_each(tables, count, page, write_durations);
    metrics_family(page, "fileservice_s3_retries_total", METRICS_COUNTER, "Tries after the first.");
    write_each(tables, count, page, write_retries);
}

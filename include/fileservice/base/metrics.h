/* Numbers for Prometheus: counters, histograms of durations, and the text they are read as.
 *
 * A counter has one writer, which adds by a load and a store, without a locked instruction; any thread
 * may read. Writers keep their counters in memory of their own, so that no two share a cache line, and
 * the reader adds up. Labels come from tables of ours, never from a client.
 * Source of the text: Prometheus, "Exposition formats", text format 0.0.4.
 */
#ifndef FILESERVICE_BASE_METRICS_H
#define FILESERVICE_BASE_METRICS_H

#include "fileservice/base/buf.h"

#include <stdatomic.h>

#define METRICS_CACHE_LINE_BYTES 64
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* owner: one writer; any thread reads. Zeroed memory is a counter at 0. */
struct metrics_counter {
    _Atomic uint64_t n;
};

static inline uint64_t metrics_read(const struct metrics_counter *c) {
    return atomic_load_explicit(&c->n, memory_order_relaxed);
}

/* By the writer alone. */
static inline void metrics_add(struct metrics_counter *c, uint64_t n) {
    atomic_store_explicit(&c->n, metrics_read(c) + n, memory_order_relaxed);
}

/* How long things took. The bounds are 1, 2.5, 5, 10, 25, 50, 100, 250 and 500 ms, 1, 2.5, 5, 10, 30
 * and 60 s; what is on a bound counts as below it. owner: one writer; any thread reads */
#define METRICS_BOUND_COUNT 15

struct metrics_histogram {
    struct metrics_counter
        buckets[METRICS_BOUND_COUNT + 1]; /* not cumulative; the last has no bound */
    struct metrics_counter sum_us;
};

/* By the writer alone. */
void metrics_observe(struct metrics_histogram *h, uint64_t duration_us);

/* What a reader has added up; a value. */
struct metrics_totals {
    uint64_t buckets[METRICS_BOUND_COUNT + 1];
    uint64_t sum_us;
};

/* Adds what `h` has now. A duration that is being counted meanwhile may be missing in the sum. */
void metrics_totals_add(struct metrics_totals *t, const struct metrics_histogram *h);
uint64_t metrics_totals_count(const struct metrics_totals *t);

/* Zeroed memory of `bytes` that shares no cache line with other memory; free() it. NULL when there is
 * none. */
void *metrics_alloc(size_t bytes);

/* The text. Each family is begun once, its samples follow. Names and labels are ours and well-formed;
 * values of labels are escaped. Failures stick to the page: buf_error(). */
enum metrics_type { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM };

struct metrics_label {
    const char *name;
    const char *value;
};

void metrics_family(struct buf *page, const char *name, enum metrics_type type, const char *help);
void metrics_sample(struct buf *page, const char *name, const struct metrics_label *labels,
                    size_t label_count, uint64_t value);
/* The same in seconds, from microseconds. */
void metrics_sample_us(struct buf *page, const char *name, const struct metrics_label *labels,
                       size_t label_count, uint64_t value_us);
/* All samples of a histogram with these labels: cumulative buckets with `le`, sum and count. */
void metrics_sample_totals(struct buf *page, const char *name, const struct metrics_label *labels,
                           size_t label_count, const struct metrics_totals *totals);

/* A family of one sample without labels. */
void metrics_single(struct buf *page, const char *name, enum metrics_type type, const char *help,
                    uint64_t value);

#endif

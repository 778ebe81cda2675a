#include "fileservice/base/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

static const struct {
    uint64_t us;
    const char *text;
} bounds[METRICS_BOUND_COUNT] = {
    {1000, "0.001"},  {2500, "0.0025"}, {5000, "0.005"},  {10000, "0.01"},  {25000, "0.025"},
    {50000, "0.05"},  {100000, "0.1"},  {250000, "0.25"}, {500000, "0.5"},  {1000000, "1"},
    {2500000, "2.5"}, {5000000, "5"},   {10000000, "10"}, {30000000, "30"}, {60000000, "60"},
};

/* Counting */

void metrics_observe(struct metrics_histogram *h, uint64_t duration_us) {
    size_t i = 0;
    while (i < METRICS_BOUND_COUNT && duration_us > bounds[i].us)
        i++;
    metrics_add(&h->sum_us, duration_us);
    metrics_add(&h->buckets[i], 1);
}

void metrics_totals_add(struct metrics_totals *t, const struct metrics_histogram *h) {
    for (size_t i = 0; i <= METRICS_BOUND_COUNT; i++)
        t->buckets[i] += metrics_read(&h->buckets[i]);
    t->sum_us += metrics_read(&h->sum_us);
}

uint64_t metrics_totals_count(const struct metrics_totals *t) {
    uint64_t count = 0;
    for (size_t i = 0; i <= METRICS_BOUND_COUNT; i++)
        count += t->buckets[i];
    return count;
}

void *metrics_alloc(size_t bytes) {
    size_t lines = (bytes + METRICS_CACHE_LINE_BYTES - 1) / METRICS_CACHE_LINE_BYTES;
    void *p = aligned_alloc(METRICS_CACHE_LINE_BYTES, lines * METRICS_CACHE_LINE_BYTES);
    if (p != NULL)
        memset(p, 0, lines * METRICS_CACHE_LINE_BYTES);
    return p;
}

/* The text */

/* HELP texts escape backslash and line feed, values of labels the quote, too. */
static void append_escaped(struct buf *page, const char *text, bool quoted) {
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\n') {
            buf_append(page, SPAN("\\n"));
            continue;
        }
        if (*p == '\\' || (quoted && *p == '"'))
            buf_append_byte(page, '\\');
        buf_append_byte(page, *p);
    }
}

static void append_label(struct buf *page, const char *name, const char *value) {
    buf_append_text(page, name);
    buf_append(page, SPAN("=\""));
    append_escaped(page, value, true);
    buf_append_byte(page, '"');
}

/* Name and labels up to the value; `le` is one more label, or NULL. */
static void begin_sample(struct buf *page, const char *name, const char *suffix,
                         const struct metrics_label *labels, size_t label_count, const char *le) {
    buf_append_text(page, name);
    buf_append_text(page, suffix);
    if (label_count > 0 || le != NULL)
        buf_append_byte(page, '{');
    for (size_t i = 0; i < label_count; i++) {
        if (i > 0)
            buf_append_byte(page, ',');
        append_label(page, labels[i].name, labels[i].value);
    }
    if (le != NULL && label_count > 0)
        buf_append_byte(page, ',');
    if (le != NULL)
        append_label(page, "le", le);
    if (label_count > 0 || le != NULL)
        buf_append_byte(page, '}');
    buf_append_byte(page, ' ');
}

static void end_sample(struct buf *page, uint64_t value) {
    buf_append_u64(page, value);
    buf_append_byte(page, '\n');
}

/* Without floating point: exact, and the same in every locale. */
static void end_sample_us(struct buf *page, uint64_t us) {
    buf_append_u64(page, us / 1000000);
    if (us % 1000000 != 0)
        buf_append_format(page, ".%06u", (unsigned)(us % 1000000));
    buf_append_byte(page, '\n');
}

void metrics_family(struct buf *page, const char *name, enum metrics_type type, const char *help) {
    static const char *const types[] = {
        [METRICS_COUNTER] = "counter",
        [METRICS_GAUGE] = "gauge",
        [METRICS_HISTOGRAM] = "histogram",
    };
    buf_append_format(page, "# HELP %s ", name);
    append_escaped(page, help, false);
    buf_append_format(page, "\n# TYPE %s %s\n", name, types[type]);
}

void metrics_sample(struct buf *page, const char *name, const struct metrics_label *labels,
                    size_t label_count, uint64_t value) {
    begin_sample(page, name, "", labels, label_count, NULL);
    end_sample(page, value);
}

void metrics_sample_us(struct buf *page, const char *name, const struct metrics_label *labels,
                       size_t label_count, uint64_t value_us) {
    begin_sample(page, name, "", labels, label_count, NULL);
    end_sample_us(page, value_us);
}

void metrics_sample_totals(struct buf *page, const char *name, const struct metrics_label *labels,
                           size_t label_count, const struct metrics_totals *totals) {
    uint64_t so_far = 0;
    for (size_t i = 0; i <= METRICS_BOUND_COUNT; i++) {
        so_far += totals->buckets[i];
        begin_sample(page, name, "_bucket", labels, label_count,
                     i < METRICS_BOUND_COUNT ? bounds[i].text : "+Inf");
        end_sample(page, so_far);
    }
    begin_sample(page, name, "_sum", labels, label_count, NULL);
    end_sample_us(page, totals->sum_us);
    begin_sample(page, name, "_count", labels, label_count, NULL);
    end_sample(page, so_far);
}

void metrics_single(struct buf *page, const char *name, enum metrics_type type, const char *help,
                    uint64_t value) {
    metrics_family(page, name, type, help);
    metrics_sample(page, name, NULL, 0, value);
}

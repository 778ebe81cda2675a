/* Counters, histograms and the text that Prometheus reads. */
#include "fileservice/base/metrics.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGE_MAX_BYTES 4096
#define ROUNDS 100000

static void every_duration_falls_below_its_bound(void **state) {
    static const struct {
        uint64_t us;
        size_t bucket;
    } rows[] = {
        {0, 0},         {999, 0},
        {1000, 0},      {1001, 1},
        {2500, 1},      {2501, 2},
        {5000, 2},      {10000, 3},
        {25000, 4},     {50000, 5},
        {100000, 6},    {250000, 7},
        {500000, 8},    {1000000, 9},
        {1000001, 10},  {2500000, 10},
        {5000000, 11},  {10000000, 12},
        {30000000, 13}, {60000000, 14},
        {60000001, 15}, {UINT64_MAX / 2, 15},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct metrics_histogram h = {0};
        struct metrics_totals t = {0};
        metrics_observe(&h, rows[i].us);
        metrics_totals_add(&t, &h);
        assert_int_equal(t.buckets[rows[i].bucket], 1);
        assert_int_equal(metrics_totals_count(&t), 1);
        assert_int_equal(t.sum_us, rows[i].us);
    }
}

static void totals_add_up_over_writers(void **state) {
    struct metrics_histogram a = {0};
    struct metrics_histogram b = {0};
    struct metrics_totals t = {0};
    (void)state;
    metrics_observe(&a, 100);
    metrics_observe(&a, 2000000);
    metrics_observe(&b, 200);
    metrics_totals_add(&t, &a);
    metrics_totals_add(&t, &b);
    assert_int_equal(t.buckets[0], 2);
    assert_int_equal(t.buckets[10], 1);
    assert_int_equal(t.sum_us, 2000300);
    assert_int_equal(metrics_totals_count(&t), 3);
}

static void *count(void *counter) {
    for (unsigned i = 0; i < ROUNDS; i++)
        metrics_add(counter, 2);
    return NULL;
}

static void another_thread_may_read_while_one_counts(void **state) {
    struct metrics_counter *c = metrics_alloc(sizeof *c);
    pthread_t writer;
    uint64_t last = 0;
    (void)state;
    assert_non_null(c);
    assert_int_equal((uintptr_t)c % METRICS_CACHE_LINE_BYTES, 0);
    assert_int_equal(pthread_create(&writer, NULL, count, c), 0);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t now = metrics_read(c);
        assert_true(now >= last && now % 2 == 0);
        last = now;
    }
    pthread_join(writer, NULL);
    assert_int_equal(metrics_read(c), 2 * ROUNDS);
    free(c);
}

static void samples_have_labels_and_exact_values(void **state) {
    struct buf page;
    struct metrics_label labels[] = {{"method", "GET"}, {"status", "200"}};
    (void)state;
    buf_init(&page, PAGE_MAX_BYTES);
    metrics_family(&page, "x_total", METRICS_COUNTER, "All of x.");
    metrics_sample(&page, "x_total", NULL, 0, 7);
    metrics_sample(&page, "x_total", labels, 1, 0);
    metrics_sample(&page, "x_total", labels, 2, UINT64_MAX);
    metrics_single(&page, "y", METRICS_GAUGE, "One y.", 3);
    metrics_family(&page, "z_seconds", METRICS_GAUGE, "How long.");
    metrics_sample_us(&page, "z_seconds", NULL, 0, 2000000);
    metrics_sample_us(&page, "z_seconds", labels, 1, 1000001);
    metrics_sample_us(&page, "z_seconds", labels, 1, 250000);
    assert_int_equal(buf_error(&page), ERR_OK);
    assert_string_equal(buf_text(&page),
                        "# HELP x_total All of x.\n"
                        "# TYPE x_total counter\n"
                        "x_total 7\n"
                        "x_total{method=\"GET\"} 0\n"
                        "x_total{method=\"GET\",status=\"200\"} 18446744073709551615\n"
                        "# HELP y One y.\n"
                        "# TYPE y gauge\n"
                        "y 3\n"
                        "# HELP z_seconds How long.\n"
                        "# TYPE z_seconds gauge\n"
                        "z_seconds 2\n"
                        "z_seconds{method=\"GET\"} 1.000001\n"
                        "z_seconds{method=\"GET\"} 0.250000\n");
    buf_done(&page);
}

static void what_would_end_a_text_is_escaped(void **state) {
    struct buf page;
    struct metrics_label label = {"a", "back\\slash \"quoted\"\nline \xC3\xA9"};
    (void)state;
    buf_init(&page, PAGE_MAX_BYTES);
    metrics_family(&page, "x", METRICS_GAUGE, "a \"b\" \\ c\nd");
    metrics_sample(&page, "x", &label, 1, 1);
    assert_string_equal(buf_text(&page),
                        "# HELP x a \"b\" \\\\ c\\nd\n"
                        "# TYPE x gauge\n"
                        "x{a=\"back\\\\slash \\\"quoted\\\"\\nline \xC3\xA9\"} 1\n");
    buf_done(&page);
}

static void a_histogram_is_cumulative(void **state) {
    struct buf page;
    struct metrics_label label = {"route", "/"};
    struct metrics_histogram h = {0};
    struct metrics_totals t = {0};
    (void)state;
    metrics_observe(&h, 500);
    metrics_observe(&h, 1000);
    metrics_observe(&h, 40000);
    metrics_observe(&h, 90000000);
    metrics_totals_add(&t, &h);
    buf_init(&page, PAGE_MAX_BYTES);
    metrics_sample_totals(&page, "d", &label, 1, &t);
    assert_string_equal(buf_text(&page), "d_bucket{route=\"/\",le=\"0.001\"} 2\n"
                                         "d_bucket{route=\"/\",le=\"0.0025\"} 2\n"
                                         "d_bucket{route=\"/\",le=\"0.005\"} 2\n"
                                         "d_bucket{route=\"/\",le=\"0.01\"} 2\n"
                                         "d_bucket{route=\"/\",le=\"0.025\"} 2\n"
                                         "d_bucket{route=\"/\",le=\"0.05\"} 3\n"
                                         "d_bucket{route=\"/\",le=\"0.1\"} 3\n"
                                         "d_bucket{route=\"/\",le=\"0.25\"} 3\n"
                                         "d_bucket{route=\"/\",le=\"0.5\"} 3\n"
                                         "d_bucket{route=\"/\",le=\"1\"} 3\n"
                                         "d_bucket{route=\"/\",le=\"2.5\"} 3\n"
                                         "d_bucket{route=\"/\",le=\"5\"} 3\n"
                                         "d_bucket{route=\"/\",le=\"10\"} 3\n"
                                         "d_bucket{route=\"/\",le=\"30\"} 3\n"
                                         "d_bucket{route=\"/\",le=\"60\"} 3\n"
                                         "d_bucket{route=\"/\",le=\"+Inf\"} 4\n"
                                         "d_sum{route=\"/\"} 90.041500\n"
                                         "d_count{route=\"/\"} 4\n");
    buf_clear(&page);
    metrics_sample_totals(&page, "d", NULL, 0, &t);
    assert_non_null(strstr(buf_text(&page), "d_bucket{le=\"0.001\"} 2\n"));
    assert_non_null(strstr(buf_text(&page), "d_count 4\n"));
    buf_done(&page);
}

static void a_page_ends_at_its_ceiling(void **state) {
    struct buf page;
    (void)state;
    buf_init(&page, 50);
    for (unsigned i = 0; i < 10; i++)
        metrics_single(&page, "name", METRICS_GAUGE, "help", i);
    assert_int_equal(buf_error(&page), ERR_LIMIT);
    assert_true(page.n <= 50);
    buf_done(&page);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_duration_falls_below_its_bound),
        cmocka_unit_test(totals_add_up_over_writers),
        cmocka_unit_test(another_thread_may_read_while_one_counts),
        cmocka_unit_test(samples_have_labels_and_exact_values),
        cmocka_unit_test(what_would_end_a_text_is_escaped),
        cmocka_unit_test(a_histogram_is_cumulative),
        cmocka_unit_test(a_page_ends_at_its_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What is counted of calls to S3. */
#include "fileservice/s3/s3_metrics.h"

#include "page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *page_of(const struct s3_metrics *const *tables, size_t count) {
    struct buf page;
    buf_init(&page, PAGE_MAX_BYTES);
    s3_metrics_write(tables, count, &page);
    assert_int_equal(buf_error(&page), ERR_OK);
    return buf_steal(&page);
}

static void count(struct s3_metrics *m, enum s3_operation operation, enum err err,
                  unsigned attempts, uint64_t duration_us) {
    struct aws_report report = {
        .operation = operation, .err = err, .attempts = attempts, .duration_us = duration_us};
    s3_metrics_count(m, &report);
}

static void workers_are_added_up(void **state) {
    struct s3_metrics *a = s3_metrics_new();
    struct s3_metrics *b = s3_metrics_new();
    (void)state;
    count(a, S3_PUT_OBJECT, ERR_OK, 1, 4000);
    count(b, S3_PUT_OBJECT, ERR_OK, 3, 2000000);
    count(b, S3_PUT_OBJECT, ERR_BUSY, 2, 1);
    count(b, S3_HEAD_OBJECT, ERR_CANCELLED, 0, 1); /* ended before its first try */
    char *page = page_of((const struct s3_metrics *const[]){a, b}, 2);
    page_assert_has(page, "s3_calls_total{operation=\"PutObject\",result=\"ok\"} 2\n");
    page_assert_has(page, "s3_calls_total{operation=\"PutObject\",result=\"busy\"} 1\n");
    page_assert_has(page, "s3_calls_total{operation=\"HeadObject\",result=\"cancelled\"} 1\n");
    page_assert_has(page,
                    "s3_call_duration_seconds_bucket{operation=\"PutObject\",le=\"0.005\"} 2\n");
    page_assert_has(page, "s3_call_duration_seconds_sum{operation=\"PutObject\"} 2.004001\n");
    page_assert_has(page, "s3_call_duration_seconds_count{operation=\"PutObject\"} 3\n");
    page_assert_has(page, "s3_retries_total{operation=\"PutObject\"} 3\n");
    assert_int_equal(page_count_lines(page, "fileservice_s3_calls_total{"), 3);
    assert_int_equal(page_count_lines(page, "fileservice_s3_retries_total{"), 1);
    free(page);
    s3_metrics_free(a);
    s3_metrics_free(b);
}

static void every_operation_and_every_result_has_a_name(void **state) {
    struct s3_metrics *m = s3_metrics_new();
    (void)state;
    for (unsigned operation = 0; operation < S3_OPERATION_COUNT; operation++)
        for (unsigned err = 0; err <= ERR_INTERNAL; err++)
            count(m, operation, err, 2, 1000);
    char *page = page_of((const struct s3_metrics *const[]){m}, 1);
    assert_int_equal(page_count_lines(page, "fileservice_s3_calls_total{"),
                     S3_OPERATION_COUNT * (ERR_INTERNAL + 1));
    assert_int_equal(page_count_lines(page, "fileservice_s3_retries_total{"), S3_OPERATION_COUNT);
    assert_null(strstr(page, "unknown"));
    assert_null(strstr(page, "\"\""));
    free(page);
    s3_metrics_free(m);
}

static void nothing_was_called_yet(void **state) {
    struct s3_metrics *m = s3_metrics_new();
    (void)state;
    char *page = page_of((const struct s3_metrics *const[]){m}, 1);
    assert_int_equal(page_count_lines(page, "# TYPE fileservice_s3_"), 3);
    assert_int_equal(page_count_lines(page, "fileservice_s3_"), 0);
    free(page);
    s3_metrics_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_are_added_up),
        cmocka_unit_test(every_operation_and_every_result_has_a_name),
        cmocka_unit_test(nothing_was_called_yet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

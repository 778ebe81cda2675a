/* What an operator is told of an outage: once that it began, once what it cost. */
#include "report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct {
    unsigned outages;
    unsigned recoveries;
    uint64_t dropped;
    unsigned rejections;
    uint64_t rejected;
} told;

static void on_outage(const struct error *error) {
    assert_non_null(error);
    told.outages++;
}

static void on_recovery(uint64_t dropped) {
    told.recoveries++;
    told.dropped += dropped;
}

static void on_rejected(uint64_t lines) {
    told.rejections++;
    told.rejected += lines;
}

static const struct logs_cloudwatch_options options = {
    .on_outage = on_outage, .on_recovery = on_recovery, .on_rejected = on_rejected};
static const struct logs_cloudwatch_options nobody;
static const struct error failure = {.err = ERR_UNREACHABLE};

static int start(void **state) {
    (void)state;
    memset(&told, 0, sizeof told);
    return 0;
}

static void fail_batch(struct report *r, unsigned times) {
    for (unsigned i = 0; i < times; i++)
        report_failure(r, &options, i, &failure);
}

static void two_failures_are_no_outage(void **state) {
    (void)state;
    struct queue q;
    struct report r = {0};
    queue_init(&q, 100000);
    fail_batch(&r, 2);
    report_look(&r, &options, &q, 1000, false);
    report_success(&r, true);
    report_look(&r, &options, &q, 2000, false);
    assert_int_equal(told.outages, 0);
    assert_int_equal(told.recoveries, 0);
    queue_done(&q);
}

static void an_outage_has_a_line_at_each_end(void **state) {
    (void)state;
    struct queue q;
    struct report r = {0};
    queue_init(&q, 100000);
    fail_batch(&r, 50);
    assert_int_equal(told.outages, 1);
    q.counts.dropped = 7;
    report_look(&r, &options, &q, 1000, false);
    assert_int_equal(told.recoveries, 0); /* it goes on */
    report_success(&r, true);
    q.counts.dropped = 9;
    q.bytes = 90000;
    report_look(&r, &options, &q, 2000, false);
    assert_int_equal(told.recoveries, 0); /* the queue is still full: more may be dropped */
    q.bytes = 50000;
    report_look(&r, &options, &q, 2001, false);
    assert_int_equal(told.recoveries, 1);
    assert_int_equal(told.dropped, 9);
    report_look(&r, &options, &q, 99000, false);
    assert_int_equal(told.recoveries, 1);
    queue_done(&q);
}

static void an_outage_ends_when_both_streams_flow(void **state) {
    (void)state;
    struct queue q;
    struct report r = {0};
    queue_init(&q, 100000);
    fail_batch(&r, 3);
    fail_batch(&r, 3);
    report_success(&r, true);
    report_look(&r, &options, &q, 1000, false);
    assert_int_equal(told.recoveries, 0);
    report_success(&r, true);
    report_look(&r, &options, &q, 1001, false);
    assert_int_equal(told.recoveries, 1);
    assert_int_equal(told.dropped, 0);
    queue_done(&q);
}

static void lasting_loss_is_told_of_at_growing_intervals(void **state) {
    (void)state;
    struct queue q;
    struct report r = {0};
    queue_init(&q, 100000);
    q.bytes = 100000;
    for (uint64_t now = 1000; now <= 100000; now += 100) {
        q.counts.dropped++;
        report_look(&r, &options, &q, now, false);
    }
    assert_int_equal(told.recoveries, 3); /* at 11, 31 and 71 s */
    report_look(&r, &options, &q, 100001, true);
    assert_int_equal(told.dropped, 991);
    assert_int_equal(told.recoveries, 4);
    queue_done(&q);
}

static void rejected_lines_are_told_of_at_once_and_then_at_growing_intervals(void **state) {
    (void)state;
    struct queue q;
    struct report r = {0};
    queue_init(&q, 100000);
    for (uint64_t now = 20000; now <= 40000; now += 100) {
        q.counts.rejected[LOGS_REJECT_TOO_OLD]++;
        report_look(&r, &options, &q, now, false);
    }
    assert_int_equal(told.rejections, 2); /* at 20 and 40 s */
    assert_int_equal(told.rejected, 1 + 200);
    assert_int_equal(told.recoveries, 0);
    /* The line that tells of them is rejected, too: for days that is a line an hour. */
    for (uint64_t now = 41000; now <= 2 * 86400000; now += 1000) {
        q.counts.rejected[LOGS_REJECT_TOO_OLD] = told.rejected + 1;
        report_look(&r, &options, &q, now, false);
    }
    assert_in_range(told.rejections, 48, 60);
    queue_done(&q);
}

static void the_end_has_one_last_word(void **state) {
    (void)state;
    struct queue q;
    struct report r = {0};
    queue_init(&q, 100000);
    for (uint64_t now = 1000; now < 3000; now++) {
        q.counts.rejected[LOGS_REJECT_TOO_NEW] =
            told.rejected + 1; /* what tells of it is rejected */
        report_look(&r, &options, &q, now, true);
    }
    assert_int_equal(told.rejections, 1);
    queue_done(&q);
}

static void rest_brings_the_interval_back(void **state) {
    (void)state;
    struct queue q;
    struct report r = {0};
    queue_init(&q, 100000);
    for (uint64_t now = 1000; now < 200000; now += 100) {
        q.counts.dropped++;
        report_look(&r, &options, &q, now, false);
    }
    report_look(&r, &options, &q, 500000, false); /* the rest of it */
    unsigned before = told.recoveries;
    for (uint64_t now = 501000; now < 3000000; now += 1000)
        report_look(&r, &options, &q, now, false);
    q.counts.dropped++;
    report_look(&r, &options, &q, 3000000, false);
    q.counts.dropped++;
    report_look(&r, &options, &q, 3020000, false);
    assert_int_equal(told.recoveries, before + 2);
    queue_done(&q);
}

static void nobody_needs_to_listen(void **state) {
    (void)state;
    struct queue q;
    struct report r = {0};
    queue_init(&q, 100000);
    for (unsigned i = 0; i < 5; i++)
        report_failure(&r, &nobody, i, &failure);
    report_success(&r, true);
    q.counts.dropped = q.counts.rejected[LOGS_REJECT_INVALID] = 3;
    report_look(&r, &nobody, &q, 20000, true);
    assert_false(r.outage);
    queue_done(&q);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(two_failures_are_no_outage, start),
        cmocka_unit_test_setup(an_outage_has_a_line_at_each_end, start),
        cmocka_unit_test_setup(an_outage_ends_when_both_streams_flow, start),
        cmocka_unit_test_setup(lasting_loss_is_told_of_at_growing_intervals, start),
        cmocka_unit_test_setup(rejected_lines_are_told_of_at_once_and_then_at_growing_intervals,
                               start),
        cmocka_unit_test_setup(the_end_has_one_last_word, start),
        cmocka_unit_test_setup(rest_brings_the_interval_back, start),
        cmocka_unit_test_setup(nobody_needs_to_listen, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "fileservice/aws/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void outcomes_are_transient_throttled_or_final(void **state) {
    static const struct {
        enum err transport;
        int status;
        const char *code;
        enum retry_kind want;
    } rows[] = {
        {ERR_UNREACHABLE, 0, "", RETRY_TRANSIENT},
        {ERR_TIMEOUT, 0, "", RETRY_TRANSIENT},
        {ERR_NO_MEMORY, 0, "", RETRY_NEVER},
        {ERR_LIMIT, 0, "", RETRY_NEVER},
        {ERR_OK, 500, "", RETRY_TRANSIENT},
        {ERR_OK, 502, "", RETRY_TRANSIENT},
        {ERR_OK, 503, "", RETRY_TRANSIENT},
        {ERR_OK, 504, "", RETRY_TRANSIENT},
        {ERR_OK, 501, "NotImplemented", RETRY_NEVER},
        {ERR_OK, 503, "SlowDown", RETRY_THROTTLED},
        {ERR_OK, 400, "ThrottlingException", RETRY_THROTTLED},
        {ERR_OK, 429, "", RETRY_THROTTLED},
        {ERR_OK, 400, "RequestTimeout", RETRY_TRANSIENT},
        {ERR_OK, 409, "OperationAborted", RETRY_TRANSIENT},
        {ERR_OK, 403, "RequestTimeTooSkewed", RETRY_TRANSIENT},
        {ERR_OK, 400, "ExpiredToken", RETRY_TRANSIENT},
        {ERR_OK, 400, "", RETRY_NEVER},
        {ERR_OK, 403, "AccessDenied", RETRY_NEVER},
        {ERR_OK, 403, "SignatureDoesNotMatch", RETRY_NEVER},
        {ERR_OK, 404, "NoSuchKey", RETRY_NEVER},
        {ERR_OK, 200, "", RETRY_NEVER},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(retry_classify(rows[i].transport, rows[i].status, span_of(rows[i].code)),
                         rows[i].want);
}

static void the_bucket_allows_35_transient_retries_and_then_none(void **state) {
    struct retry_bucket b;
    unsigned n = 0;
    (void)state;
    retry_bucket_init(&b);
    while (retry_acquire(&b, RETRY_TRANSIENT))
        n++;
    assert_int_equal(n, 35);
    assert_true(retry_acquire(&b, RETRY_THROTTLED)); /* 10 are left: two of 5 */
    assert_true(retry_acquire(&b, RETRY_THROTTLED));
    assert_false(retry_acquire(&b, RETRY_THROTTLED));
}

static void success_gives_back_what_it_cost_and_never_more_than_full(void **state) {
    struct retry_bucket b;
    (void)state;
    retry_bucket_init(&b);
    retry_succeeded(&b, RETRY_NEVER);
    assert_int_equal(b.tokens, RETRY_BUCKET_MAX);
    assert_true(retry_acquire(&b, RETRY_TRANSIENT));
    assert_true(retry_acquire(&b, RETRY_TRANSIENT));
    retry_succeeded(&b, RETRY_TRANSIENT);
    assert_int_equal(b.tokens, RETRY_BUCKET_MAX - 14);
    assert_true(retry_acquire(&b, RETRY_THROTTLED));
    retry_succeeded(&b, RETRY_THROTTLED);
    assert_int_equal(b.tokens, RETRY_BUCKET_MAX - 14);
    retry_succeeded(&b, RETRY_NEVER);
    assert_int_equal(b.tokens, RETRY_BUCKET_MAX - 13);
}

static void delays_double_up_to_twenty_seconds_and_follow_the_hint(void **state) {
    (void)state;
    static const struct {
        enum retry_kind kind;
        unsigned attempt;
        double fraction;
        int64_t hint_ms;
        uint64_t want;
    } rows[] = {
        {RETRY_TRANSIENT, 1, 0.0, -1, 0},
        {RETRY_TRANSIENT, 1, 0.5, -1, 25},
        {RETRY_TRANSIENT, 2, 0.5, -1, 50},
        {RETRY_TRANSIENT, 3, 0.5, -1, 100},
        {RETRY_THROTTLED, 1, 0.5, -1, 500},
        {RETRY_THROTTLED, 2, 0.5, -1, 1000},
        {RETRY_THROTTLED, 60, 0.5, -1, 10000},
        {RETRY_TRANSIENT, 60, 0.5, -1, 10000},
        {RETRY_TRANSIENT, 1, 0.5, 1000, 1000}, /* the server asks for more */
        {RETRY_TRANSIENT, 1, 0.5, 10, 25},     /* and never makes it less */
        {RETRY_TRANSIENT, 1, 0.5, 60000, 5025} /* nor more than 5 s later */,
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(
            retry_delay_ms(rows[i].kind, rows[i].attempt, rows[i].fraction, rows[i].hint_ms),
            rows[i].want);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outcomes_are_transient_throttled_or_final),
        cmocka_unit_test(the_bucket_allows_35_transient_retries_and_then_none),
        cmocka_unit_test(success_gives_back_what_it_cost_and_never_more_than_full),
        cmocka_unit_test(delays_double_up_to_twenty_seconds_and_follow_the_hint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

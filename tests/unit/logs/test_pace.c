/* How often something is told: soon at first, ever more seldom while it goes on. */
#include "pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void the_first_is_told_at_once_and_the_next_in_growing_intervals(void **state) {
    struct pace p = {0};
    uint64_t now = 5;
    (void)state;
    assert_true(pace_is_time(&p, now));
    for (uint64_t every = 2 * LOGS_PACE_EVERY_MS; every < LOGS_PACE_MOST_MS; every *= 2) {
        pace_told(&p, now);
        assert_false(pace_is_time(&p, now + every - 1));
        assert_true(pace_is_time(&p, now + every));
        now += every;
    }
    for (int i = 0; i < 3; i++) {
        pace_told(&p, now);
        assert_false(pace_is_time(&p, now + LOGS_PACE_MOST_MS - 1));
        now += LOGS_PACE_MOST_MS;
        assert_true(pace_is_time(&p, now));
    }
}

static void an_interval_of_quiet_makes_them_short_again(void **state) {
    struct pace p = {0};
    (void)state;
    pace_told(&p, 1000);
    pace_told(&p, 100000); /* 40 s from here */
    pace_quiet(&p, 139999);
    pace_told(&p, 140000);
    assert_int_equal(p.every_ms, 80000);
    pace_quiet(&p, 220000);
    pace_told(&p, 230000);
    assert_int_equal(p.every_ms, 2 * LOGS_PACE_EVERY_MS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_is_told_at_once_and_the_next_in_growing_intervals),
        cmocka_unit_test(an_interval_of_quiet_makes_them_short_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

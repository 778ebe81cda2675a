#include "fileservice/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void times_are_written_in_three_forms(void **state) {
    static const struct {
        int64_t wall_ms;
        const char *with_ms;
        const char *with_s;
        const char *amz;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00Z", "19700101T000000Z"},
        {1369353600000, "2013-05-24T00:00:00.000Z", "2013-05-24T00:00:00Z", "20130524T000000Z"},
        {1795521599007, "2026-11-24T11:59:59.007Z", "2026-11-24T11:59:59Z", "20261124T115959Z"},
        {951782400000, "2000-02-29T00:00:00.000Z", "2000-02-29T00:00:00Z", "20000229T000000Z"},
        {-1, "1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59Z", "19691231T235959Z"},
        {INT64_MAX, "9999-12-31T23:59:59.807Z", "9999-12-31T23:59:59Z", "99991231T235959Z"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char ms[CLOCK_RFC3339_BYTES];
        char s[CLOCK_RFC3339_BYTES];
        char amz[CLOCK_AMZ_BYTES];
        clock_format_rfc3339_ms(rows[i].wall_ms, ms);
        clock_format_rfc3339_s(rows[i].wall_ms, s);
        clock_format_amz(rows[i].wall_ms, amz);
        assert_string_equal(ms, rows[i].with_ms);
        assert_string_equal(s, rows[i].with_s);
        assert_string_equal(amz, rows[i].amz);
    }
}

static void rfc3339_is_read_or_refused(void **state) {
    static const struct {
        const char *in;
        int64_t want; /* negative: refused */
    } rows[] = {
        {"2013-05-24T00:00:00Z", 1369353600000},
        {"2013-05-24T00:00:00.5Z", 1369353600500},
        {"2013-05-24T00:00:00.123456Z", 1369353600123},
        {"2013-05-24T00:00:00+00:00", 1369353600000},
        {"2013-05-24T00:00:00", -1},
        {"2013-05-24T00:00:00.Z", -1},
        {"2013-05-24T00:00:00+01:00", -1},
        {"2013-02-30T00:00:00Z", -1},
        {"2013-13-01T00:00:00Z", -1},
        {"2013-05-24T24:00:00Z", -1},
        {"2013-05-24 00:00:00Z", -1},
        {"2013-05-24T00:00:00Zx", -1},
        {"", -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t got = 0;
        assert_int_equal(clock_parse_rfc3339(span_of(rows[i].in), &got), rows[i].want >= 0);
        if (rows[i].want >= 0)
            assert_int_equal(got, rows[i].want);
    }
}

static void every_prefix_of_a_time_is_refused(void **state) {
    int64_t got;
    struct span rfc3339 = SPAN("2013-05-24T00:00:00.5Z");
    struct span http = SPAN("Fri, 24 May 2013 00:00:00 GMT");
    (void)state;
    for (size_t n = 0; n < rfc3339.n; n++)
        assert_false(clock_parse_rfc3339((struct span){rfc3339.p, n}, &got));
    for (size_t n = 0; n < http.n; n++)
        assert_false(clock_parse_http_date((struct span){http.p, n}, &got));
    assert_true(clock_parse_http_date(http, &got));
    assert_int_equal(got, 1369353600000);
    assert_false(clock_parse_http_date(SPAN("Fri, 24 Mai 2013 00:00:00 GMT"), &got));
    assert_false(clock_parse_http_date(SPAN("Fri, 31 Feb 2013 00:00:00 GMT"), &got));
}

static void written_times_are_read_back(void **state) {
    (void)state;
    for (int64_t at = 0; at < 4102444800000; at += 86399999007) {
        char text[CLOCK_RFC3339_BYTES];
        int64_t got = 0;
        clock_format_rfc3339_ms(at, text);
        assert_true(clock_parse_rfc3339(span_of(text), &got));
        assert_int_equal(got, at);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_written_in_three_forms),
        cmocka_unit_test(rfc3339_is_read_or_refused),
        cmocka_unit_test(every_prefix_of_a_time_is_refused),
        cmocka_unit_test(written_times_are_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

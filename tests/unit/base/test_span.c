#include "fileservice/base/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void numbers_are_digits_only_and_do_not_overflow(void **state) {
    static const struct {
        const char *text;
        bool good;
        uint64_t want;
    } rows[] = {
        {"0", true, 0},
        {"007", true, 7},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"99999999999999999999", false, 0},
        {"", false, 0},
        {"+1", false, 0},
        {"-1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"0x1", false, 0},
        {"1e3", false, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t n = 42;
        assert_int_equal(span_to_u64(span_of(rows[i].text), &n), rows[i].good);
        assert_true(n == (rows[i].good ? rows[i].want : 42));
    }
}

static void utf8_is_well_formed_or_not(void **state) {
    static const struct {
        struct span text;
        bool good;
    } rows[] = {
        {{"", 0}, true},
        {{"plain", 5}, true},
        {{"\0", 1}, true},
        {{"\xC3\xA4", 2}, true},
        {{"\xE2\x82\xAC", 3}, true},
        {{"\xF0\x9F\x98\x80", 4}, true},
        {{"\xF4\x8F\xBF\xBF", 4}, true},
        {{"\xC3", 1}, false},
        {{"\xE2\x82", 2}, false},
        {{"\xF0\x9F\x98", 3}, false},
        {{"\x80", 1}, false},
        {{"\xC0\xAF", 2}, false},         /* overlong '/' */
        {{"\xE0\x80\xAF", 3}, false},     /* the same */
        {{"\xF0\x80\x80\xAF", 4}, false}, /* the same */
        {{"\xED\xA0\x80", 3}, false},     /* a surrogate */
        {{"\xF4\x90\x80\x80", 4}, false}, /* beyond U+10FFFF */
        {{"\xFF", 1}, false},
        {{"a\xC3z", 3}, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(span_is_utf8(rows[i].text), rows[i].good);
}

static void cutting_hands_out_every_piece_also_empty_ones(void **state) {
    static const char *const want[] = {"", "a", "", "b", ""};
    struct span rest = SPAN(",a,,b,");
    struct span piece;
    size_t n = 0;
    (void)state;
    while (span_cut(&rest, ',', &piece)) {
        assert_true(n < 5);
        assert_true(span_eq(piece, span_of(want[n])));
        n++;
    }
    assert_int_equal(n, 5);
    struct span none = {NULL, 0};
    assert_false(span_cut(&none, ',', &piece));
}

static void order_is_by_bytes_and_then_by_length(void **state) {
    (void)state;
    assert_true(span_cmp(SPAN("a"), SPAN("b")) < 0);
    assert_true(span_cmp(SPAN("a"), SPAN("aa")) < 0);
    assert_true(span_cmp(SPAN("\x80"), SPAN("a")) > 0);
    assert_true(span_cmp(SPAN(""), SPAN("")) == 0);
    assert_true(span_cmp(SPAN("Z"), SPAN("a")) < 0);
}

static void beginnings_ends_and_blanks(void **state) {
    (void)state;
    assert_true(span_starts(SPAN("abc"), SPAN("ab")) && !span_starts(SPAN("a"), SPAN("ab")));
    assert_true(span_ends(SPAN("abc"), SPAN("bc")) && !span_ends(SPAN("c"), SPAN("bc")));
    assert_true(span_starts(SPAN("x"), SPAN("")) && span_ends(SPAN("x"), SPAN("")));
    assert_true(span_eq(span_trim(SPAN(" \t\r\nx y\n")), SPAN("x y")));
    assert_int_equal(span_trim(SPAN(" \t ")).n, 0);
    assert_int_equal(span_from(SPAN("abc"), 3).n, 0);
    assert_int_equal(span_from(SPAN("abc"), 99).n, 0);
    assert_int_equal(span_find(SPAN("abc"), 'c'), 2);
    assert_int_equal(span_find(SPAN("abc"), 'x'), 3);
    assert_true(span_eq_nocase(SPAN("AbC"), SPAN("aBc")));
    assert_false(span_eq_nocase(SPAN("[" /* '[' ^ 0x20 is '{' */), SPAN("{")));
    assert_false(span_eq(SPAN("a\0b"), SPAN("a\0c")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_digits_only_and_do_not_overflow),
        cmocka_unit_test(utf8_is_well_formed_or_not),
        cmocka_unit_test(cutting_hands_out_every_piece_also_empty_ones),
        cmocka_unit_test(order_is_by_bytes_and_then_by_length),
        cmocka_unit_test(beginnings_ends_and_blanks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

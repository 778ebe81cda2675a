#include "fileservice/base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void it_grows_up_to_its_ceiling_and_not_beyond(void **state) {
    struct buf b;
    (void)state;
    buf_init(&b, 1000);
    assert_string_equal(buf_text(&b), "");
    for (int i = 0; i < 1000; i++)
        buf_append_byte(&b, 'x');
    assert_int_equal(buf_error(&b), ERR_OK);
    buf_append_byte(&b, 'y');
    assert_int_equal(buf_error(&b), ERR_LIMIT);
    assert_int_equal(b.n, 1000);
    assert_int_equal(strlen(buf_text(&b)), 1000);
    buf_done(&b);
}

static void failure_is_sticky_until_it_is_cleared(void **state) {
    struct buf b;
    (void)state;
    buf_init(&b, 4);
    buf_append_text(&b, "abc");
    buf_append_text(&b, "de");
    buf_append_byte(&b, 'f'); /* would fit, but comes after a gap */
    assert_int_equal(buf_error(&b), ERR_LIMIT);
    assert_string_equal(buf_text(&b), "abc");
    assert_null(buf_steal(&b));
    buf_clear(&b);
    buf_append_text(&b, "good");
    assert_int_equal(buf_error(&b), ERR_OK);
    assert_string_equal(buf_text(&b), "good");
    buf_done(&b);
}

static void numbers_and_formats(void **state) {
    struct buf b;
    (void)state;
    buf_init(&b, 100);
    buf_append_u64(&b, 0);
    buf_append_byte(&b, ' ');
    buf_append_u64(&b, UINT64_MAX);
    buf_append_format(&b, " %s-%d", "x", 7);
    assert_string_equal(buf_text(&b), "0 18446744073709551615 x-7");
    buf_done(&b);
}

static void a_format_that_does_not_fit_leaves_nothing(void **state) {
    struct buf b;
    (void)state;
    buf_init(&b, 5);
    buf_append_format(&b, "%s", "sixsix");
    assert_int_equal(buf_error(&b), ERR_LIMIT);
    assert_int_equal(b.n, 0);
    buf_done(&b);
}

static void nul_is_data_and_stealing_moves_the_memory(void **state) {
    struct buf b;
    (void)state;
    buf_init(&b, 100);
    buf_append(&b, SPAN("a\0b"));
    assert_int_equal(b.n, 3);
    char *p = buf_steal(&b);
    assert_memory_equal(p, "a\0b", 4);
    assert_int_equal(b.n, 0);
    buf_append_text(&b, "again");
    assert_string_equal(buf_text(&b), "again");
    free(p);
    buf_done_secret(&b);
    buf_done_secret(&b);
    buf_done(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_grows_up_to_its_ceiling_and_not_beyond),
        cmocka_unit_test(failure_is_sticky_until_it_is_cleared),
        cmocka_unit_test(numbers_and_formats),
        cmocka_unit_test(a_format_that_does_not_fit_leaves_nothing),
        cmocka_unit_test(nul_is_data_and_stealing_moves_the_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

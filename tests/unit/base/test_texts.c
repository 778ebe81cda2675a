#include "fileservice/base/texts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void what_went_in_comes_out(void **state) {
    struct texts t;
    (void)state;
    texts_init(&t, 1000, 1000000);
    for (size_t i = 0; i < 1000; i++) {
        char text[1000];
        memset(text, (int)('a' + i % 26), i);
        texts_append(&t, (struct span){text, i}); /* the first is empty */
    }
    assert_int_equal(texts_error(&t), ERR_OK);
    assert_int_equal(t.count, 1000);
    for (size_t i = 0; i < 1000; i++) {
        struct span s = texts_at(&t, i);
        assert_int_equal(s.n, i);
        assert_true(i == 0 || (s.p[0] == (char)('a' + i % 26) && s.p[i - 1] == s.p[0]));
    }
    texts_done(&t);
    texts_done(&t);
}

static void a_text_of_nul_bytes_is_data(void **state) {
    struct texts t;
    (void)state;
    texts_init(&t, 2, 10);
    texts_append(&t, (struct span){"\0a\0", 3});
    texts_append(&t, SPAN(""));
    assert_true(span_eq(texts_at(&t, 0), (struct span){"\0a\0", 3}));
    assert_int_equal(texts_at(&t, 1).n, 0);
    texts_done(&t);
}

static void a_failure_sticks_until_it_is_cleared(void **state) {
    static const struct {
        size_t count;
        size_t bytes;
    } ceilings[] = {{2, 100}, {100, 5}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct texts t;
        texts_init(&t, ceilings[i].count, ceilings[i].bytes);
        texts_append(&t, SPAN("ab"));
        texts_append(&t, SPAN("cd"));
        assert_int_equal(texts_error(&t), ERR_OK);
        texts_append(&t, SPAN("ef"));
        assert_int_equal(texts_error(&t), ERR_LIMIT);
        texts_append(&t, SPAN(""));
        assert_int_equal(t.count, 2);
        assert_true(span_eq(texts_at(&t, 1), SPAN("cd")));
        texts_clear(&t);
        texts_append(&t, SPAN("gh"));
        assert_int_equal(texts_error(&t), ERR_OK);
        assert_true(t.count == 1 && span_eq(texts_at(&t, 0), SPAN("gh")));
        texts_done(&t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_went_in_comes_out),
        cmocka_unit_test(a_text_of_nul_bytes_is_data),
        cmocka_unit_test(a_failure_sticks_until_it_is_cleared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

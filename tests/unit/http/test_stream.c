/* The ring of a streamed answer: what is put in comes out, in order, whatever the sizes. */
#include "stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static unsigned char byte_at(uint64_t position) { return (unsigned char)(position * 31 / 7); }

static void bytes_come_out_as_they_went_in(void **state) {
    static char piece[STREAM_RING_BYTES + 1];
    struct stream s = {.ring = NULL};
    uint64_t in = 0;
    unsigned seed = 4;
    (void)state;
    assert_int_equal(stream_begin(&s, 0), ERR_OK);
    for (int i = 0; i < 3000; i++) {
        size_t n = (size_t)rand_r(&seed) % 40000;
        for (size_t k = 0; k < n; k++)
            piece[k] = (char)byte_at(in + k);
        bool fits = n <= STREAM_RING_BYTES - s.n;
        assert_int_equal(stream_put(&s, (struct span){piece, n}), fits);
        in += fits ? n : 0;
        uint64_t before = s.taken;
        size_t got = stream_take(&s, piece, (size_t)rand_r(&seed) % 40000);
        assert_int_equal(s.taken, before + got);
        for (size_t k = 0; k < got; k++)
            assert_int_equal((unsigned char)piece[k], byte_at(before + k));
    }
    assert_int_equal(in, s.taken + s.n);
    stream_done(&s);
}

static void room_is_told_once_and_not_before_half_of_it_is_free(void **state) {
    static char piece[STREAM_RING_BYTES];
    struct stream s = {.ring = NULL};
    (void)state;
    assert_int_equal(stream_begin(&s, 0), ERR_OK);
    assert_true(stream_put(&s, (struct span){piece, sizeof piece}));
    assert_false(stream_has_room(&s)); /* nobody was refused */
    assert_false(stream_put(&s, (struct span){piece, 1}));
    assert_int_equal(stream_take(&s, piece, STREAM_RING_BYTES / 2 - 1), STREAM_RING_BYTES / 2 - 1);
    assert_false(stream_has_room(&s));
    assert_int_equal(stream_take(&s, piece, 1), 1);
    assert_true(stream_has_room(&s));
    assert_false(stream_has_room(&s));
    stream_done(&s);
    stream_done(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_out_as_they_went_in),
        cmocka_unit_test(room_is_told_once_and_not_before_half_of_it_is_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

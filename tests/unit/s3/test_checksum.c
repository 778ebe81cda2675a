#include "fileservice/s3/checksum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Digests by Python's hashlib; the CRCs of "123456789" are the check values of their definitions. */
struct vector {
    const char *data;
    const char *want[CHECKSUM_KINDS];
};

static const struct vector vectors[] = {
    {"",
     {"1B2M2Y8AsgTpgAmY7PhCfg==", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
      "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==",
      "AAAAAA==", "AAAAAAAAAAA="}},
    {"123456789",
     {"JfnnlDI7RTiF9RgfG2JNCw==", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=",
      "2eZ2LdHI6vbWGzxhkvxAjU1tXxF20MKRabwk5xw/J0rSf81YEbMT1oH35V7ALXPUmclUVba1u1A6z1dPuo/+hQ==",
      "y/Q5Jg==", "rosUhgp5mIg="}},
};

static const char data_text[] =
    "The quick brown fox jumps over the lazy dog, and over 8 bytes more";

static void check_value(struct checksum_set *s, enum checksum_kind kind, const char *text) {
    unsigned char got[CHECKSUM_MAX_BYTES];
    unsigned char want[CHECKSUM_MAX_BYTES];
    assert_true(checksum_decode(kind, span_of(text), want));
    assert_int_equal(checksum_set_end(s, kind, got), ERR_OK);
    assert_memory_equal(got, want, checksum_bytes(kind));
}

static void known_values_are_found(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct checksum_set *s = checksum_set_new((1u << CHECKSUM_KINDS) - 1);
        assert_non_null(s);
        assert_int_equal(checksum_set_update(s, span_of(vectors[i].data)), ERR_OK);
        for (unsigned kind = 0; kind < CHECKSUM_KINDS; kind++)
            check_value(s, kind, vectors[i].want[kind]);
        checksum_set_free(s);
    }
    assert_int_equal(checksum_crc(CHECKSUM_CRC32, 0, SPAN("123456789")), 0xCBF43926);
    assert_true(checksum_crc(CHECKSUM_CRC64NVME, 0, SPAN("123456789")) == 0xAE8B14860A799888);
}

/* By the definition, a bit at a time. */
static uint64_t slow_crc(uint64_t polynomial, uint64_t ones, const unsigned char *p, size_t n) {
    uint64_t crc = ones;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc & 1) != 0 ? crc >> 1 ^ polynomial : crc >> 1;
    }
    return crc ^ ones;
}

static void tables_agree_with_the_definition(void **state) {
    unsigned char bytes[300];
    uint32_t seed = 1;
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++) {
        seed = seed * 1664525 + 1013904223;
        bytes[i] = (unsigned char)(seed >> 24);
    }
    for (size_t at = 0; at < 9; at++)
        for (size_t n = 0; at + n <= sizeof bytes; n++) {
            struct span s = {(const char *)bytes + at, n};
            assert_true(checksum_crc(CHECKSUM_CRC32, 0, s) ==
                        slow_crc(0xEDB88320, UINT32_MAX, bytes + at, n));
            assert_true(checksum_crc(CHECKSUM_CRC64NVME, 0, s) ==
                        slow_crc(0x9A6C9329AC4BC9B5, UINT64_MAX, bytes + at, n));
        }
}

static void any_split_equals_the_whole(void **state) {
    struct span whole = span_of(data_text);
    unsigned char want[CHECKSUM_KINDS][CHECKSUM_MAX_BYTES];
    (void)state;
    for (size_t at = 0; at <= whole.n; at++) {
        struct checksum_set *s = checksum_set_new((1u << CHECKSUM_KINDS) - 1);
        assert_non_null(s);
        assert_int_equal(checksum_set_update(s, (struct span){whole.p, at}), ERR_OK);
        assert_int_equal(checksum_set_update(s, span_from(whole, at)), ERR_OK);
        for (unsigned kind = 0; kind < CHECKSUM_KINDS; kind++) {
            unsigned char got[CHECKSUM_MAX_BYTES];
            assert_int_equal(checksum_set_end(s, kind, got), ERR_OK);
            if (at == 0)
                memcpy(want[kind], got, checksum_bytes(kind));
            assert_memory_equal(got, want[kind], checksum_bytes(kind));
        }
        checksum_set_free(s);
    }
}

static void a_set_holds_only_its_kinds(void **state) {
    (void)state;
    for (unsigned kinds = 1; kinds < 1u << CHECKSUM_KINDS; kinds++) {
        struct checksum_set *s = checksum_set_new(kinds);
        assert_non_null(s);
        assert_int_equal(checksum_set_update(s, SPAN("123456789")), ERR_OK);
        for (unsigned kind = 0; kind < CHECKSUM_KINDS; kind++)
            if ((kinds & CHECKSUM_BIT(kind)) != 0)
                check_value(s, kind, vectors[1].want[kind]);
        checksum_set_free(s);
    }
    checksum_set_free(NULL);
}

static void a_crc_is_written_with_its_highest_byte_first(void **state) {
    char text[CHECKSUM_TEXT_MAX_BYTES];
    (void)state;
    checksum_crc_encode(CHECKSUM_CRC32, 0xCBF43926, text);
    assert_string_equal(text, "y/Q5Jg==");
    checksum_crc_encode(CHECKSUM_CRC64NVME, 0xAE8B14860A799888, text);
    assert_string_equal(text, "rosUhgp5mIg=");
}

static void base64_is_read_only_when_it_is_whole_and_canonical(void **state) {
    static const char *const rows[] = {
        "",         "y/Q5Jg",    "y/Q5Jg=",  "y/Q5Jg===", "y/Q5Jh==", "y/Q5J===",     "y/Q5 g==",
        "y_Q5Jg==", " y/Q5Jg==", "=/Q5Jg==", "y/Q5JgAA",  "y/Q5Jg=A", "y/Q5JgAAAAA=",
    };
    unsigned char value[CHECKSUM_MAX_BYTES] = {0};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_false(checksum_decode(CHECKSUM_CRC32, span_of(rows[i]), value));
    assert_int_equal(value[0], 0);
    for (unsigned kind = 0; kind < CHECKSUM_KINDS; kind++) {
        struct span whole = span_of(vectors[1].want[kind]);
        for (size_t n = 0; n < whole.n; n++)
            assert_false(checksum_decode(kind, (struct span){whole.p, n}, value));
        assert_true(checksum_decode(kind, whole, value));
        char text[CHECKSUM_TEXT_MAX_BYTES];
        checksum_encode(kind, value, text);
        assert_string_equal(text, vectors[1].want[kind]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values_are_found),
        cmocka_unit_test(tables_agree_with_the_definition),
        cmocka_unit_test(any_split_equals_the_whole),
        cmocka_unit_test(a_set_holds_only_its_kinds),
        cmocka_unit_test(a_crc_is_written_with_its_highest_byte_first),
        cmocka_unit_test(base64_is_read_only_when_it_is_whole_and_canonical),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

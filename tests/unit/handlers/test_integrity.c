#include "integrity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Of "123456789". */
#define MD5 "JfnnlDI7RTiF9RgfG2JNCw=="
#define SHA256 "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="
#define SHA512                                                                                     \
    "2eZ2LdHI6vbWGzxhkvxAjU1tXxF20MKRabwk5xw/J0rSf81YEbMT1oH35V7ALXPUmclUVba1u1A6z1dPuo/+hQ=="
#define CRC32 "y/Q5Jg=="
#define CRC64NVME "rosUhgp5mIg="
/* Of nothing. */
#define EMPTY_SHA256 "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

struct said {
    const char *name;
    const char *value;
};

static const struct said good[] = {
    {"Content-MD5", MD5},
    {"content-md5", "  " MD5 "\t"},
    {"Content-Digest", "sha-256=:" SHA256 ":"},
    {"Content-Digest", "sha-512=:" SHA512 ":"},
    {"content-digest", "sha-256=:" SHA256 ":, \t sha-512=:" SHA512 ":"},
    {"Content-Digest", "unixsum=:AAA=:,sha-256=:" SHA256 ":,*x.y_z-1=::"},
    {"Content-Digest", "sha-256=:" SHA256 ":, sha-256=:" SHA256 ":"},
    {"X-Amz-Checksum-CRC32", CRC32},
    {"x-amz-checksum-crc64nvme", CRC64NVME},
    {"x-amz-checksum-sha256", SHA256},
};

static void take(struct integrity **i, const struct said *s) {
    struct error error;
    assert_true(integrity_is_name(span_of(s->name)));
    assert_int_equal(integrity_take(i, span_of(s->name), span_of(s->value), &error), ERR_OK);
}

static enum err check(struct integrity *i, const char *bytes, size_t cut) {
    struct error error;
    struct span s = span_of(bytes);
    assert_int_equal(integrity_update(i, (struct span){s.p, cut}, &error), ERR_OK);
    assert_int_equal(integrity_update(i, span_from(s, cut), &error), ERR_OK);
    enum err e = integrity_check(i, &error);
    if (e != ERR_OK)
        assert_string_equal(error.code, "BadDigest");
    integrity_free(i);
    return e;
}

static void each_way_to_say_it_is_checked(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof good / sizeof *good; k++)
        for (size_t cut = 0; cut <= 9; cut++) {
            struct integrity *i = NULL;
            take(&i, &good[k]);
            assert_int_equal(check(i, "123456789", cut), ERR_OK);
            i = NULL;
            take(&i, &good[k]);
            assert_int_equal(check(i, "123456780", cut), ERR_BAD_INPUT);
        }
}

static void all_of_them_at_once_must_hold(void **state) {
    struct integrity *i = NULL;
    (void)state;
    for (size_t k = 0; k < sizeof good / sizeof *good; k++)
        take(&i, &good[k]);
    assert_int_equal(check(i, "123456789", 4), ERR_OK);
    i = NULL;
    for (size_t k = 0; k < sizeof good / sizeof *good; k++)
        take(&i, &good[k]);
    assert_int_equal(check(i, "", 0), ERR_BAD_INPUT);
}

static void one_that_does_not_hold_is_enough(void **state) {
    static const struct said other = {"Content-Digest", "sha-256=:" EMPTY_SHA256 ":"};
    struct integrity *i = NULL;
    (void)state;
    take(&i, &good[0]);
    take(&i, &other);
    assert_int_equal(check(i, "123456789", 0), ERR_BAD_INPUT);
    i = NULL;
    take(&i, &other);
    assert_int_equal(check(i, "", 0), ERR_OK);
}

static void nothing_said_is_nothing_checked(void **state) {
    static const struct said unknown = {"Content-Digest", "sha=:AAAA:"};
    struct integrity *i = NULL;
    enum checksum_kind kind;
    char text[CHECKSUM_TEXT_MAX_BYTES];
    (void)state;
    assert_int_equal(check(NULL, "123456789", 3), ERR_OK);
    assert_false(integrity_for_s3(NULL, &kind, text));
    take(&i, &unknown);
    assert_false(integrity_for_s3(i, &kind, text));
    assert_int_equal(check(i, "123456789", 3), ERR_OK);
}

static void refuse(const char *name, struct span value, const char *code) {
    struct integrity *i = NULL;
    struct error error;
    assert_int_equal(integrity_take(&i, span_of(name), value, &error), ERR_BAD_INPUT);
    assert_string_equal(error.code, code);
    integrity_free(i);
}

static void what_is_malformed_is_refused(void **state) {
    static const struct said rows[] = {
        {"Content-MD5", ""},
        {"Content-MD5", SHA256},
        {"Content-MD5", "JfnnlDI7RTiF9RgfG2JNCx=="},
        {"Content-MD5", "25f9e794323b453885f5181f1b624d0b"},
        {"Content-MD5", MD5 ", " MD5},
        {"x-amz-checksum-crc32", "cbf43926"},
        {"x-amz-checksum-crc32", CRC64NVME},
        {"Content-Digest", ""},
        {"Content-Digest", ","},
        {"Content-Digest", "sha-256"},
        {"Content-Digest", "sha-256=" SHA256},
        {"Content-Digest", "sha-256=\"" SHA256 "\""},
        {"Content-Digest", "SHA-256=:" SHA256 ":"},
        {"Content-Digest", "sha-256 =:" SHA256 ":"},
        {"Content-Digest", "sha-256=:" SHA256 ":;a=1"},
        {"Content-Digest", "sha-256=:" SHA256 ":,"},
        {"Content-Digest", "sha-256=:" SHA256 ": sha-512=:" SHA512 ":"},
        {"Content-Digest", "sha-256=:" SHA256 ":,,sha-512=:" SHA512 ":"},
        {"Content-Digest", "sha-256=:" SHA256 ":, sha-256=:" EMPTY_SHA256 ":"},
        {"Content-Digest", "sha-256=:" MD5 ":"},
        {"Content-Digest", "other=1, sha-256=:" SHA256 ":"},
        {"Content-Digest", "1x=:AAAA:"},
        {"Content-Digest", "sha-256=:" SHA256 ":, other=:A!A:"},
    };
    (void)state;
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        refuse(rows[k].name, span_of(rows[k].value), "InvalidDigest");
}

static void every_prefix_is_refused(void **state) {
    static const size_t whole[] = {0, 2, 3, 7, 8, 9};
    static const struct said two = {"Content-Digest", "sha-256=:" SHA256 ":, sha-512=:" SHA512 ":"};
    const size_t first = sizeof "sha-256=:" SHA256 ":" - 1;
    (void)state;
    for (size_t k = 0; k < sizeof whole / sizeof *whole; k++)
        for (size_t n = 0; n < strlen(good[whole[k]].value); n++)
            refuse(good[whole[k]].name, (struct span){good[whole[k]].value, n}, "InvalidDigest");
    for (size_t n = 0; n < strlen(two.value); n++)
        if (n != first) /* a whole member */
            refuse(two.name, (struct span){two.value, n}, "InvalidDigest");
}

static void kinds_that_are_not_checked_are_refused(void **state) {
    static const char *const names[] = {"x-amz-checksum-crc32c", "x-amz-checksum-sha1",
                                        "X-Amz-Checksum-", "x-amz-checksum-sha512"};
    static const char *const others[] = {"x-amz-checksum-algorithm",
                                         "x-amz-checksum-type",
                                         "X-Amz-Checksum-Mode",
                                         "x-amz-checksum",
                                         "digest",
                                         ""};
    (void)state;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        assert_true(integrity_is_name(span_of(names[k])));
        refuse(names[k], SPAN(CRC32), "InvalidRequest");
    }
    for (size_t k = 0; k < sizeof others / sizeof *others; k++)
        assert_false(integrity_is_name(span_of(others[k])));
}

static void two_values_of_one_kind_must_agree(void **state) {
    struct integrity *i = NULL;
    struct error error;
    (void)state;
    take(&i, &good[2]);
    take(&i, &good[9]);
    assert_int_equal(integrity_take(&i, SPAN("x-amz-checksum-sha256"), SPAN(EMPTY_SHA256), &error),
                     ERR_BAD_INPUT);
    assert_string_equal(error.code, "InvalidDigest");
    integrity_free(i);
}

static void s3_is_given_one_of_its_own(void **state) {
    static const struct {
        size_t rows[3];
        size_t count;
        const char *want;
        enum checksum_kind kind;
    } rows[] = {
        {{9, 7, 8}, 3, CRC64NVME, CHECKSUM_CRC64NVME},
        {{9, 7}, 2, CRC32, CHECKSUM_CRC32},
        {{0, 9}, 2, SHA256, CHECKSUM_SHA256},
        {{0, 2}, 2, NULL, CHECKSUM_MD5},
    };
    (void)state;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct integrity *i = NULL;
        enum checksum_kind kind;
        char text[CHECKSUM_TEXT_MAX_BYTES];
        for (size_t k = 0; k < rows[r].count; k++)
            take(&i, &good[rows[r].rows[k]]);
        assert_int_equal(integrity_for_s3(i, &kind, text), rows[r].want != NULL);
        if (rows[r].want != NULL) {
            assert_string_equal(text, rows[r].want);
            assert_int_equal(kind, rows[r].kind);
        }
        integrity_free(i);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_way_to_say_it_is_checked),
        cmocka_unit_test(all_of_them_at_once_must_hold),
        cmocka_unit_test(one_that_does_not_hold_is_enough),
        cmocka_unit_test(nothing_said_is_nothing_checked),
        cmocka_unit_test(what_is_malformed_is_refused),
        cmocka_unit_test(every_prefix_is_refused),
        cmocka_unit_test(kinds_that_are_not_checked_are_refused),
        cmocka_unit_test(two_values_of_one_kind_must_agree),
        cmocka_unit_test(s3_is_given_one_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

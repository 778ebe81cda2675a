#include "metadata.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static enum err take(struct metadata *m, const char *name, const char *value, struct error *error) {
    return metadata_take(m, span_of(name), span_of(value), error);
}

static void expect_pair(const struct sigv4_pair *pair, const char *name, const char *value) {
    assert_true(span_eq(pair->name, span_of(name)));
    assert_true(span_eq(pair->value, span_of(value)));
}

static void names_are_known_without_regard_to_case(void **state) {
    static const char *const names[] = {"x-amz-meta-a",        "X-Amz-Meta-",
                                        "Cache-Control",       "CONTENT-ENCODING",
                                        "content-disposition", "Content-Language"};
    static const char *const others[] = {"", "x-amz-meta", "content-type", "x-amz-storage-class"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_true(metadata_is_name(span_of(names[i])));
        assert_int_equal(metadata_is_user_name(span_of(names[i])), i < 2);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(metadata_is_name(span_of(others[i])));
}

static void what_is_taken_comes_out_in_order(void **state) {
    struct sigv4_pair pairs[S3_UPLOAD_HEADERS_MAX];
    struct metadata m;
    struct error error;
    (void)state;
    metadata_init(&m);
    assert_int_equal(metadata_pairs(&m, pairs), 0);
    assert_int_equal(take(&m, "X-Amz-Meta-Author", " Ann  of B ", &error), ERR_OK);
    assert_int_equal(take(&m, "x-amz-meta-empty", "", &error), ERR_OK);
    assert_int_equal(take(&m, "Cache-Control", "max-age=60, public", &error), ERR_OK);
    assert_int_equal(take(&m, "Content-Language", "  ", &error), ERR_OK);
    assert_int_equal(take(&m, "Content-Encoding", "gzip", &error), ERR_OK);
    assert_int_equal(metadata_pairs(&m, pairs), 4);
    expect_pair(&pairs[0], "x-amz-meta-author", "Ann  of B");
    expect_pair(&pairs[1], "x-amz-meta-empty", "");
    expect_pair(&pairs[2], "cache-control", "max-age=60, public");
    expect_pair(&pairs[3], "content-encoding", "gzip");
    metadata_done(&m);
}

static void what_no_header_can_hold_is_refused(void **state) {
    static const char *const rows[][3] = {
        {"x-amz-meta-a", "caf\xC3\xA9", "InvalidMetadata"},
        {"x-amz-meta-a", "a\r\nx-amz-acl: public-read", "InvalidMetadata"},
        {"x-amz-meta-a", "a\tb", "InvalidMetadata"},
        {"x-amz-meta-a", "a\x7F", "InvalidMetadata"},
        {"x-amz-meta-", "a", "InvalidMetadata"},
        {"x-amz-meta-a b", "a", "InvalidMetadata"},
        {"x-amz-meta-a:", "a", "InvalidMetadata"},
        {"x-amz-meta-a\r\nx", "a", "InvalidMetadata"},
        {"x-amz-meta-\xC3\xA9", "a", "InvalidMetadata"},
        {"content-disposition", "attachment; filename=\"\xC3\xA9\"", "InvalidMetadata"},
        {"X-Amz-Meta-There", "2", "InvalidMetadata"},
        {"content-encoding", "aws-chunked", "InvalidRequest"},
        {"content-encoding", "gzip, AWS-Chunked", "InvalidRequest"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct metadata m;
        struct error error;
        metadata_init(&m);
        assert_int_equal(take(&m, "x-amz-meta-there", "1", &error), ERR_OK);
        assert_int_equal(take(&m, rows[i][0], rows[i][1], &error), ERR_BAD_INPUT);
        assert_string_equal(error.code, rows[i][2]);
        assert_int_equal(m.count, 1);
        metadata_done(&m);
    }
}

/* A NUL is data, and would end the header for who reads it as text. */
static void a_nul_is_refused(void **state) {
    struct metadata m;
    struct error error;
    (void)state;
    metadata_init(&m);
    assert_int_equal(metadata_take(&m, SPAN("x-amz-meta-a"), SPAN("a\0b"), &error), ERR_BAD_INPUT);
    assert_int_equal(metadata_take(&m, SPAN("x-amz-meta-a\0"), SPAN("a"), &error), ERR_BAD_INPUT);
    metadata_done(&m);
}

static void user_metadata_has_2048_bytes_as_s3_counts_them(void **state) {
    static char value[METADATA_USER_MAX_BYTES + 1];
    struct metadata m;
    struct error error;
    (void)state;
    memset(value, 'v', sizeof value - 1);
    for (size_t over = 0; over < 2; over++) {
        metadata_init(&m);
        assert_int_equal(take(&m, "x-amz-meta-a", "1", &error), ERR_OK);
        struct span rest = {value, METADATA_USER_MAX_BYTES - 4 + over};
        enum err e = metadata_take(&m, SPAN("x-amz-meta-bb"), rest, &error);
        assert_int_equal(e, over == 0 ? ERR_OK : ERR_BAD_INPUT);
        if (over != 0)
            assert_string_equal(error.code, "MetadataTooLarge");
        else
            assert_int_equal(take(&m, "x-amz-meta-c", "", &error), ERR_BAD_INPUT);
        assert_int_equal(take(&m, "cache-control", "no-store", &error), ERR_OK);
        metadata_done(&m);
    }
}

static void the_other_headers_have_a_ceiling_of_their_own(void **state) {
    static char value[METADATA_SYSTEM_MAX_BYTES];
    struct metadata m;
    struct error error;
    (void)state;
    memset(value, 'v', sizeof value - 1);
    metadata_init(&m);
    assert_int_equal(take(&m, "cache-control", value, &error), ERR_BAD_INPUT);
    assert_string_equal(error.code, "MetadataTooLarge");
    value[METADATA_SYSTEM_MAX_BYTES - strlen("cache-control")] = '\0';
    assert_int_equal(take(&m, "cache-control", value, &error), ERR_OK);
    assert_int_equal(take(&m, "content-language", "en", &error), ERR_BAD_INPUT);
    metadata_done(&m);
}

static void as_many_as_can_be_sent_are_taken(void **state) {
    struct sigv4_pair pairs[S3_UPLOAD_HEADERS_MAX];
    char name[32];
    struct metadata m;
    struct error error;
    (void)state;
    metadata_init(&m);
    for (unsigned i = 0; i <= METADATA_USER_MAX; i++) {
        snprintf(name, sizeof name, "x-amz-meta-%u", i);
        assert_int_equal(take(&m, name, "v", &error),
                         i < METADATA_USER_MAX ? ERR_OK : ERR_BAD_INPUT);
    }
    assert_string_equal(error.code, "MetadataTooLarge");
    assert_int_equal(take(&m, "cache-control", "a", &error), ERR_OK);
    assert_int_equal(take(&m, "content-disposition", "a", &error), ERR_OK);
    assert_int_equal(take(&m, "content-encoding", "a", &error), ERR_OK);
    assert_int_equal(take(&m, "content-language", "a", &error), ERR_OK);
    assert_int_equal(metadata_pairs(&m, pairs), METADATA_USER_MAX + 4);
    metadata_done(&m);
}

static void framing_of_the_sdks_is_seen(void **state) {
    static const struct {
        const char *name;
        const char *value;
        bool framed;
    } rows[] = {
        {"Content-Encoding", "aws-chunked", true},
        {"content-encoding", " gzip ,\taws-chunked ", true},
        {"content-encoding", "gzip", false},
        {"content-encoding", "aws-chunkedx", false},
        {"X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", true},
        {"x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", true},
        {"x-amz-content-sha256", "UNSIGNED-PAYLOAD", false},
        {"cache-control", "aws-chunked", false},
    };
    struct error error;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(
            metadata_check_framing(span_of(rows[i].name), span_of(rows[i].value), &error),
            rows[i].framed ? ERR_BAD_INPUT : ERR_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_known_without_regard_to_case),
        cmocka_unit_test(what_is_taken_comes_out_in_order),
        cmocka_unit_test(what_no_header_can_hold_is_refused),
        cmocka_unit_test(a_nul_is_refused),
        cmocka_unit_test(user_metadata_has_2048_bytes_as_s3_counts_them),
        cmocka_unit_test(the_other_headers_have_a_ceiling_of_their_own),
        cmocka_unit_test(as_many_as_can_be_sent_are_taken),
        cmocka_unit_test(framing_of_the_sdks_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

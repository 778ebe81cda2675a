/* The documents of a deletion of many: what is asked, and what is read of the answer. */
#include "fileservice/s3/remove_many.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char result_text[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<DeleteResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
    "<Deleted><Key>a&amp;&lt;&#13;\xC3\xA4</Key><DeleteMarker>true</DeleteMarker></Deleted>\n"
    "<Error><Key>b</Key><VersionId>1</VersionId><Code>AccessDenied</Code><Message>Access Denied"
    "</Message></Error><Error><Message>no code</Message><Key>c</Key></Error>"
    "<Deleted><Key> d </Key></Deleted></DeleteResult>";

static enum err read_text(const char *text, size_t n, struct s3_removed *removed) {
    s3_removed_init(removed);
    return s3_remove_many_read((struct span){text, n}, removed);
}

static void check_failure(const struct s3_removed *removed, size_t i, const char *key,
                          const char *code, const char *message) {
    struct s3_remove_failure f = s3_removed_failure(removed, i);
    assert_true(span_eq(f.key, span_of(key)));
    assert_true(span_eq(f.code, span_of(code)));
    assert_true(span_eq(f.message, span_of(message)));
}

static void a_result_is_read(void **state) {
    struct s3_removed removed;
    (void)state;
    assert_int_equal(read_text(result_text, sizeof result_text - 1, &removed), ERR_OK);
    assert_int_equal(removed.deleted.count, 2);
    assert_true(span_eq(texts_at(&removed.deleted, 0), SPAN("a&<\r\xC3\xA4")));
    assert_true(span_eq(texts_at(&removed.deleted, 1), SPAN(" d ")));
    assert_int_equal(s3_removed_failure_count(&removed), 2);
    check_failure(&removed, 0, "b", "AccessDenied", "Access Denied");
    check_failure(&removed, 1, "c", "", "no code");
    s3_removed_done(&removed);
}

static void every_prefix_of_a_result_is_refused(void **state) {
    (void)state;
    for (size_t n = 0; n < sizeof result_text - 1; n++) {
        char *copy = malloc(n + 1); /* of its own size, so that a look past the end is seen */
        struct s3_removed removed;
        assert_non_null(copy);
        memcpy(copy, result_text, n);
        assert_int_equal(read_text(copy, n, &removed), ERR_UPSTREAM);
        s3_removed_done(&removed);
        free(copy);
    }
}

static void what_is_no_result_is_refused(void **state) {
    static const char *const rows[] = {
        "",
        "not xml",
        "<Error><Code>InternalError</Code></Error>",
        "<!DOCTYPE DeleteResult><DeleteResult/>",
        "<!DOCTYPE e [<!ENTITY a \"b\">]><DeleteResult>&a;</DeleteResult>",
        "<DeleteResult><Deleted/></DeleteResult>",
        "<DeleteResult><Deleted><Key/></Deleted></DeleteResult>",
        "<DeleteResult><Error><Code>AccessDenied</Code></Error></DeleteResult>",
        "<DeleteResult><Error><Key>a</Key></Error><Error><Code>b</Code></Error></DeleteResult>",
        "<DeleteResult/><DeleteResult/>",
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct s3_removed removed;
        if (read_text(rows[i], strlen(rows[i]), &removed) != ERR_UPSTREAM)
            fail_msg("taken: %s", rows[i]);
        s3_removed_done(&removed);
    }
}

static void append_row(struct buf *b, const char *row, const char *name, size_t letters) {
    buf_append_format(b, "<%s><Key>k</Key><%s>", row, name);
    for (size_t i = 0; i < letters; i++)
        buf_append_byte(b, 'm');
    buf_append_format(b, "</%s></%s>", name, row);
}

static void ceilings_hold(void **state) {
    static const struct {
        const char *row;
        const char *name;
        size_t letters;
        size_t count;
        enum err want;
    } rows[] = {
        {"Deleted", "Key", S3_KEY_MAX_BYTES, S3_REMOVE_KEYS_MAX, ERR_OK},
        {"Deleted", "Key", S3_KEY_MAX_BYTES + 1, 1, ERR_UPSTREAM},
        {"Deleted", "Key", 1, S3_REMOVE_KEYS_MAX + 1, ERR_UPSTREAM},
        {"Error", "Key", S3_KEY_MAX_BYTES + 1, 1, ERR_UPSTREAM},
        {"Error", "Message", 1, S3_REMOVE_KEYS_MAX + 1, ERR_UPSTREAM},
        {"Error", "Message", 4000, S3_REMOVE_KEYS_MAX, ERR_OK},
        {"Error", "Code", 4000, 1, ERR_OK},
        {"Other", "Other", S3_REMOVE_DOCUMENT_MAX_BYTES, 1, ERR_UPSTREAM},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct s3_removed removed;
        struct buf b;
        buf_init(&b, (size_t)2 * S3_REMOVE_DOCUMENT_MAX_BYTES);
        buf_append_text(&b, "<DeleteResult>");
        for (size_t n = 0; n < rows[i].count; n++)
            append_row(&b, rows[i].row, rows[i].name, rows[i].letters);
        buf_append_text(&b, "</DeleteResult>");
        if (read_text(b.p, b.n, &removed) != rows[i].want)
            fail_msg("row %zu", i);
        for (size_t n = 0; n < s3_removed_failure_count(&removed); n++) {
            assert_true(s3_removed_failure(&removed, n).message.n <= S3_REMOVE_MESSAGE_MAX_BYTES);
            assert_true(s3_removed_failure(&removed, n).code.n <= ERROR_CODE_MAX_BYTES);
        }
        s3_removed_done(&removed);
        buf_done(&b);
    }
}

static void a_key_that_is_not_reported_is_a_failure(void **state) {
    static const char *const asked[] = {"x", "a&<\r\xC3\xA4", "b", "b", "", " d", "c", "x", "bb"};
    struct s3_removed removed;
    struct texts keys;
    (void)state;
    texts_init(&keys, S3_REMOVE_KEYS_MAX, S3_REMOVE_KEYS_MAX_BYTES);
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++)
        texts_append(&keys, span_of(asked[i]));
    assert_int_equal(read_text(result_text, sizeof result_text - 1, &removed), ERR_OK);
    assert_int_equal(s3_removed_complete(&removed, &keys), ERR_OK);
    assert_int_equal(removed.deleted.count, 2);
    assert_int_equal(s3_removed_failure_count(&removed), 2 + 5);
    static const char *const missing[] = {"x", "", " d", "x", "bb"};
    for (size_t i = 0; i < 5; i++)
        check_failure(&removed, 2 + i, missing[i], S3_REMOVE_NOT_REPORTED,
                      "S3 did not say what became of this key.");
    s3_removed_done(&removed);
    texts_done(&keys);
}

static void what_is_asked_for_is_escaped_and_fits(void **state) {
    struct texts keys;
    struct buf b;
    char longest[S3_KEY_MAX_BYTES];
    (void)state;
    texts_init(&keys, S3_REMOVE_KEYS_MAX, S3_REMOVE_KEYS_MAX_BYTES);
    buf_init(&b, S3_REMOVE_DOCUMENT_MAX_BYTES);
    texts_append(&keys, SPAN("a/b"));
    texts_append(&keys, SPAN(" <&>'\" "));
    s3_remove_many_write(&b, &keys);
    assert_string_equal(buf_text(&b),
                        "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                        "<Object><Key>a/b</Key></Object>"
                        "<Object><Key> &lt;&amp;&gt;&apos;&quot; </Key></Object></Delete>");
    buf_clear(&b);
    texts_clear(&keys);
    memset(longest, '"', sizeof longest);
    for (size_t i = 0; i < S3_REMOVE_KEYS_MAX; i++)
        texts_append(&keys, (struct span){longest, sizeof longest});
    assert_int_equal(texts_error(&keys), ERR_OK);
    s3_remove_many_write(&b, &keys);
    assert_int_equal(buf_error(&b), ERR_OK);
    texts_done(&keys);
    buf_done(&b);
}

static void a_checksum_is_md5_in_base64(void **state) {
    char md5[S3_CONTENT_MD5_BYTES];
    (void)state;
    assert_int_equal(s3_content_md5(SPAN(""), md5), ERR_OK);
    assert_string_equal(md5, "1B2M2Y8AsgTpgAmY7PhCfg==");
    assert_int_equal(s3_content_md5(SPAN("abc"), md5), ERR_OK);
    assert_string_equal(md5, "kAFQmDzST7DWlj99KOF/cg==");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_result_is_read),
        cmocka_unit_test(every_prefix_of_a_result_is_refused),
        cmocka_unit_test(what_is_no_result_is_refused),
        cmocka_unit_test(ceilings_hold),
        cmocka_unit_test(a_key_that_is_not_reported_is_a_failure),
        cmocka_unit_test(what_is_asked_for_is_escaped_and_fits),
        cmocka_unit_test(a_checksum_is_md5_in_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

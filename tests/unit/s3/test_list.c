/* Pages and cursors: what is read, what is refused, and what is noticed. */
#include "fileservice/s3/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NAMESPACE "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

/* As S3 writes it, and the rows that most servers leave out. */
static const char page_text[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult " NAMESPACE ">"
    "<Name>b</Name><Prefix>a%2F</Prefix><NextContinuationToken>t/+=&amp;</NextContinuationToken>"
    "<KeyCount>3</KeyCount><MaxKeys>3</MaxKeys><Delimiter>%2F</Delimiter>"
    "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
    "<Contents><Key>a%2Fb+c%2Bd%0A%C3%A4</Key><LastModified>2026-11-24T12:00:00.000Z</LastModified>"
    "<ETag>&quot;e1&quot;</ETag><Size>18446744073709551615</Size><StorageClass>STANDARD"
    "</StorageClass><Owner><ID>1</ID><Key>no key</Key></Owner></Contents>\n"
    "<Contents><Size>0</Size><Key>a%2F%00</Key></Contents>"
    "<CommonPrefixes><Prefix>a%2F%F0%9F%98%80%2F</Prefix></CommonPrefixes>"
    "</ListBucketResult>";

static enum err read_text(const char *text, size_t n, struct s3_list_page *page) {
    s3_list_page_init(page);
    return s3_list_read((struct span){text, n}, page);
}

static void check_object(const struct s3_list_page *page, size_t i, struct span key, uint64_t size,
                         const char *etag, const char *modified) {
    struct s3_list_object o = s3_list_object(page, i);
    assert_true(span_eq(o.key, key));
    assert_true(o.size == size);
    assert_true(span_eq(o.etag, span_of(etag)));
    assert_true(span_eq(o.last_modified, span_of(modified)));
}

static void a_page_is_read_and_decoded(void **state) {
    struct s3_list_page page;
    (void)state;
    assert_int_equal(read_text(page_text, sizeof page_text - 1, &page), ERR_OK);
    assert_int_equal(page.keys.count, 2);
    check_object(&page, 0, SPAN("a/b c+d\n\xC3\xA4"), UINT64_MAX, "\"e1\"", "2026-11-24T12:00:00Z");
    check_object(&page, 1, (struct span){"a/\0", 3}, 0, "", "");
    assert_int_equal(page.prefixes.count, 1);
    assert_true(span_eq(texts_at(&page.prefixes, 0), SPAN("a/\xF0\x9F\x98\x80/")));
    assert_string_equal(buf_text(&page.token), "t/+=&");
    s3_list_page_done(&page);
}

static void names_may_have_a_namespace_prefix(void **state) {
    static const char text[] =
        "<s3:ListBucketResult xmlns:s3=\"u\"><s3:IsTruncated>false</s3:IsTruncated>"
        "<s3:Contents><s3:Key>k</s3:Key><s3:Size>1</s3:Size></s3:Contents></s3:ListBucketResult>";
    struct s3_list_page page;
    (void)state;
    assert_int_equal(read_text(text, sizeof text - 1, &page), ERR_OK);
    assert_int_equal(page.keys.count, 1);
    s3_list_page_done(&page);
}

/* Whether keys are encoded is said before them, after them, or they are not. */
static void only_what_was_encoded_is_decoded(void **state) {
    static const char row[] = "<Contents><Key>a%20b+c</Key><Size>1</Size></Contents>"
                              "<CommonPrefixes><Prefix>p%20+/</Prefix></CommonPrefixes>";
    static const char said[] = "<EncodingType>url</EncodingType>";
    static const struct {
        const char *before;
        const char *after;
        const char *key;
        const char *prefix;
    } rows[] = {
        {said, "", "a b c", "p  /"},
        {"", said, "a b c", "p  /"},
        {"", "", "a%20b+c", "p%20+/"},
        {"", "<EncodingType></EncodingType>", "a%20b+c", "p%20+/"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct s3_list_page page;
        struct buf b;
        buf_init(&b, 1000);
        buf_append_format(&b, "<ListBucketResult>%s%s%s</ListBucketResult>", rows[i].before, row,
                          rows[i].after);
        assert_int_equal(read_text(b.p, b.n, &page), ERR_OK);
        assert_true(span_eq(s3_list_object(&page, 0).key, span_of(rows[i].key)));
        assert_true(span_eq(texts_at(&page.prefixes, 0), span_of(rows[i].prefix)));
        assert_int_equal(page.token.n, 0);
        s3_list_page_done(&page);
        buf_done(&b);
    }
}

static void every_prefix_of_a_page_is_refused(void **state) {
    (void)state;
    for (size_t n = 0; n < sizeof page_text - 1; n++) {
        char *copy = malloc(n + 1); /* of its own size, so that a look past the end is seen */
        struct s3_list_page page;
        assert_non_null(copy);
        memcpy(copy, page_text, n);
        assert_int_equal(read_text(copy, n, &page), ERR_UPSTREAM);
        s3_list_page_done(&page);
        free(copy);
    }
}

static void what_is_no_page_is_refused(void **state) {
#define IN(text) "<ListBucketResult>" text "</ListBucketResult>"
    static const char *const rows[] = {
        "",
        "not xml",
        "<Error><Code>InternalError</Code></Error>",
        "<ListAllMyBucketsResult/>",
        "<!DOCTYPE ListBucketResult><ListBucketResult/>",
        "<!DOCTYPE e [<!ENTITY a \"b\">]>" IN("<Contents><Key>&a;</Key><Size>1</Size></Contents>"),
        "<ListBucketResult/><ListBucketResult/>",
        IN("<Contents></Contents>"),
        IN("<Contents><Key>k</Key></Contents>"),
        IN("<Contents><Key>k</Key><Size>1</Size></Contents><Contents><Key>l</Key></Contents>"),
        IN("<Contents><Size>1</Size></Contents>"),
        IN("<Contents><Key></Key><Size>1</Size></Contents>"),
        IN("<Contents><Key>k</Key><Size></Size></Contents>"),
        IN("<Contents><Key>k</Key><Size>-1</Size></Contents>"),
        IN("<Contents><Key>k</Key><Size>1.5</Size></Contents>"),
        IN("<Contents><Key>k</Key><Size>18446744073709551616</Size></Contents>"),
        IN("<Contents><Inner><Key>k</Key></Inner><Size>1</Size></Contents>"),
        IN("<CommonPrefixes/>"),
        IN("<IsTruncated>true</IsTruncated>"),
        IN("<EncodingType>url</EncodingType><Contents><Key>%zz</Key><Size>1</Size></Contents>"),
        IN("<EncodingType>url</EncodingType><Contents><Key>a%2</Key><Size>1</Size></Contents>"),
        IN("<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a></a></a>"
           "</a></a></a></a></a></a>"),
    };
#undef IN
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct s3_list_page page;
        if (read_text(rows[i], strlen(rows[i]), &page) != ERR_UPSTREAM)
            fail_msg("taken: %s", rows[i]);
        s3_list_page_done(&page);
    }
}

static void append_many(struct buf *b, const char *text, size_t n) {
    for (size_t i = 0; i < n; i++)
        buf_append_text(b, text);
}

static void append_object(struct buf *b, const char *letter, size_t key_letters) {
    buf_append_text(b, "<Contents><Key>");
    append_many(b, letter, key_letters);
    buf_append_text(b, "</Key><Size>1</Size></Contents>");
}

static void a_full_page_of_the_longest_keys_is_read(void **state) {
    struct s3_list_page page;
    struct buf b;
    (void)state;
    buf_init(&b, S3_LIST_RESPONSE_MAX_BYTES);
    buf_append_text(&b, "<ListBucketResult><EncodingType>url</EncodingType>");
    for (size_t i = 0; i < S3_LIST_LIMIT_MAX; i++)
        append_object(&b, "%01", S3_KEY_MAX_BYTES);
    append_many(&b, "<CommonPrefixes><Prefix>p</Prefix></CommonPrefixes>", S3_LIST_LIMIT_MAX);
    buf_append_text(&b, "</ListBucketResult>");
    assert_int_equal(buf_error(&b), ERR_OK);
    assert_int_equal(read_text(b.p, b.n, &page), ERR_OK);
    assert_int_equal(page.keys.count, S3_LIST_LIMIT_MAX);
    assert_int_equal(page.prefixes.count, S3_LIST_LIMIT_MAX);
    for (size_t i = 0; i < S3_LIST_LIMIT_MAX; i++)
        assert_int_equal(s3_list_object(&page, i).key.n, S3_KEY_MAX_BYTES);
    s3_list_page_done(&page);
    buf_done(&b);
}

static void more_than_s3_gives_is_refused(void **state) {
    struct s3_list_page page;
    struct buf b;
    (void)state;
    buf_init(&b, (size_t)2 * S3_LIST_RESPONSE_MAX_BYTES);
    for (int what = 0; what < 5; what++) {
        buf_clear(&b);
        buf_append_text(&b, "<ListBucketResult>");
        if (what == 0)
            for (size_t i = 0; i <= S3_LIST_LIMIT_MAX; i++)
                append_object(&b, "k", 1);
        else if (what == 1)
            append_many(&b, "<CommonPrefixes><Prefix>p</Prefix></CommonPrefixes>",
                        S3_LIST_LIMIT_MAX + 1);
        else if (what == 2)
            append_object(&b, "k", (size_t)3 * S3_KEY_MAX_BYTES + 1);
        else if (what == 3)
            append_many(&b, " ", S3_LIST_RESPONSE_MAX_BYTES);
        else {
            buf_append_text(&b, "<NextContinuationToken>");
            append_many(&b, "t", S3_LIST_TOKEN_MAX_BYTES + 1);
            buf_append_text(&b, "</NextContinuationToken>");
        }
        buf_append_text(&b, "</ListBucketResult>");
        assert_int_equal(read_text(b.p, b.n, &page), ERR_UPSTREAM);
        s3_list_page_done(&page);
    }
    buf_done(&b);
}

/* Cursors */

static const struct s3_list_query query = {
    .bucket = {"bucket", 6},
    .prefix = {"a/", 2},
    .delimiter = {"/", 1},
};

static void a_cursor_gives_its_token_back(void **state) {
    (void)state;
    for (size_t n = 1; n <= S3_LIST_TOKEN_MAX_BYTES; n += n < 300 ? 1 : 997) {
        char token[S3_LIST_TOKEN_MAX_BYTES];
        struct buf cursor;
        struct buf opened;
        for (size_t i = 0; i < n; i++)
            token[i] = (char)(i * 7 + n);
        buf_init(&cursor, S3_LIST_CURSOR_MAX_BYTES);
        buf_init(&opened, S3_LIST_TOKEN_MAX_BYTES);
        assert_int_equal(s3_list_seal(&query, (struct span){token, n}, &cursor), ERR_OK);
        for (size_t i = 0; i < cursor.n; i++)
            assert_non_null(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                   "0123456789-_",
                                   cursor.p[i]));
        assert_int_equal(s3_list_open(&query, buf_span(&cursor), &opened), ERR_OK);
        assert_true(span_eq(buf_span(&opened), (struct span){token, n}));
        buf_done(&cursor);
        buf_done(&opened);
    }
}

static void a_token_that_is_too_long_makes_no_cursor(void **state) {
    static const char token[S3_LIST_TOKEN_MAX_BYTES + 1];
    struct buf cursor;
    (void)state;
    buf_init(&cursor, S3_LIST_CURSOR_MAX_BYTES);
    assert_int_equal(s3_list_seal(&query, (struct span){token, sizeof token - 1}, &cursor), ERR_OK);
    buf_clear(&cursor);
    assert_int_equal(s3_list_seal(&query, (struct span){token, sizeof token}, &cursor), ERR_LIMIT);
    buf_done(&cursor);
}

static enum err open_cursor(const struct s3_list_query *q, struct span cursor) {
    struct buf opened;
    buf_init(&opened, S3_LIST_TOKEN_MAX_BYTES);
    enum err e = s3_list_open(q, cursor, &opened);
    assert_true(e == ERR_OK || opened.n == 0);
    buf_done(&opened);
    return e;
}

static void a_cursor_is_for_the_same_list_alone(void **state) {
    const struct s3_list_query others[] = {
        {.bucket = SPAN("buckets"), .prefix = query.prefix, .delimiter = query.delimiter},
        {.bucket = query.bucket, .prefix = SPAN("a"), .delimiter = query.delimiter},
        {.bucket = query.bucket, .prefix = SPAN("a//"), .delimiter = SPAN("")},
        {.bucket = query.bucket, .prefix = SPAN(""), .delimiter = SPAN("a//")},
        {.bucket = query.bucket, .prefix = query.prefix},
        {.bucket = query.bucket},
    };
    struct s3_list_query same = query;
    struct buf cursor;
    (void)state;
    buf_init(&cursor, S3_LIST_CURSOR_MAX_BYTES);
    assert_int_equal(s3_list_seal(&query, SPAN("token"), &cursor), ERR_OK);
    same.limit = 7;
    same.token = SPAN("another");
    assert_int_equal(open_cursor(&same, buf_span(&cursor)), ERR_OK);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(open_cursor(&others[i], buf_span(&cursor)), ERR_BAD_INPUT);
    buf_done(&cursor);
}

static void every_change_of_a_cursor_is_noticed(void **state) {
    struct buf cursor;
    (void)state;
    for (size_t length = 1; length < 8; length++) {
        buf_init(&cursor, S3_LIST_CURSOR_MAX_BYTES);
        assert_int_equal(s3_list_seal(&query, (struct span){"token/+", length}, &cursor), ERR_OK);
        for (size_t i = 0; i < cursor.n; i++) {
            char was = cursor.p[i];
            for (int c = 0; c < 256; c++) {
                cursor.p[i] = (char)c;
                assert_int_equal(open_cursor(&query, buf_span(&cursor)),
                                 (char)c == was ? ERR_OK : ERR_BAD_INPUT);
            }
            cursor.p[i] = was;
            assert_int_equal(open_cursor(&query, (struct span){cursor.p, i}), ERR_BAD_INPUT);
        }
        buf_append_byte(&cursor, 'A');
        assert_int_equal(open_cursor(&query, buf_span(&cursor)), ERR_BAD_INPUT);
        buf_done(&cursor);
    }
}

static void what_is_no_cursor_is_refused(void **state) {
    static char longest[S3_LIST_CURSOR_MAX_BYTES + 8];
    static const char *const rows[] = {"", " ", "=", "====", "A", "AQ==", "not a cursor", "\x80"};
    struct buf cursor;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(open_cursor(&query, span_of(rows[i])), ERR_BAD_INPUT);
    memset(longest, 'A', sizeof longest);
    for (size_t n = sizeof longest - 16; n <= sizeof longest; n++)
        assert_int_equal(open_cursor(&query, (struct span){longest, n}), ERR_BAD_INPUT);
    /* Padded, or in the other alphabet, it is not the text that we made. */
    buf_init(&cursor, S3_LIST_CURSOR_MAX_BYTES);
    assert_int_equal(s3_list_seal(&query, SPAN("\xFF\xFF\xFF\xFF"), &cursor), ERR_OK);
    assert_non_null(strpbrk(buf_text(&cursor), "_-"));
    for (size_t i = 0; i < cursor.n; i++)
        cursor.p[i] = cursor.p[i] == '-' ? '+' : cursor.p[i] == '_' ? '/' : cursor.p[i];
    assert_int_equal(open_cursor(&query, buf_span(&cursor)), ERR_BAD_INPUT);
    buf_clear(&cursor);
    /* A token of nothing is none. */
    assert_int_equal(s3_list_seal(&query, SPAN(""), &cursor), ERR_OK);
    assert_int_equal(open_cursor(&query, buf_span(&cursor)), ERR_BAD_INPUT);
    buf_done(&cursor);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_is_read_and_decoded),
        cmocka_unit_test(names_may_have_a_namespace_prefix),
        cmocka_unit_test(only_what_was_encoded_is_decoded),
        cmocka_unit_test(every_prefix_of_a_page_is_refused),
        cmocka_unit_test(what_is_no_page_is_refused),
        cmocka_unit_test(a_full_page_of_the_longest_keys_is_read),
        cmocka_unit_test(more_than_s3_gives_is_refused),
        cmocka_unit_test(a_cursor_gives_its_token_back),
        cmocka_unit_test(a_token_that_is_too_long_makes_no_cursor),
        cmocka_unit_test(a_cursor_is_for_the_same_list_alone),
        cmocka_unit_test(every_change_of_a_cursor_is_noticed),
        cmocka_unit_test(what_is_no_cursor_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

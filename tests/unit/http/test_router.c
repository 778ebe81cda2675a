/* Paths to routes, names to rules, queries to values. */
#include "fileservice/http/router.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BYTES(literal)                                                                             \
    { literal, sizeof(literal) - 1 }
#define TEN "0123456789"
#define SIXTY TEN TEN TEN TEN TEN TEN
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define THOUSAND HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED
#define KEY_1024 THOUSAND TEN TEN "0123"

/* Targets */

struct target_row {
    struct span in;
    enum route route;
    const char *bucket;
    struct span key;
    struct span path;
    struct span query;
};

static const struct target_row targets[] = {
    {BYTES("/"), ROUTE_ROOT, "", BYTES(""), BYTES("/"), BYTES("")},
    {BYTES("/?"), ROUTE_ROOT, "", BYTES(""), BYTES("/"), BYTES("")},
    {BYTES("/?a=/file/b/c"), ROUTE_ROOT, "", BYTES(""), BYTES("/"), BYTES("a=/file/b/c")},
    {BYTES("/healthz"), ROUTE_HEALTHZ, "", BYTES(""), BYTES("/healthz"), BYTES("")},
    {BYTES("/healthz?x"), ROUTE_HEALTHZ, "", BYTES(""), BYTES("/healthz"), BYTES("x")},
    {BYTES("/readyz"), ROUTE_READYZ, "", BYTES(""), BYTES("/readyz"), BYTES("")},
    {BYTES("/file"), ROUTE_FILES, "", BYTES(""), BYTES("/file"), BYTES("")},
    {BYTES("/file/"), ROUTE_FILES, "", BYTES(""), BYTES("/file/"), BYTES("")},
    {BYTES("/file?a=b"), ROUTE_FILES, "", BYTES(""), BYTES("/file"), BYTES("a=b")},
    {BYTES("/file/?a=b"), ROUTE_FILES, "", BYTES(""), BYTES("/file/"), BYTES("a=b")},
    {BYTES("/file/abc"), ROUTE_BUCKET, "abc", BYTES(""), BYTES("/file/abc"), BYTES("")},
    {BYTES("/file/abc/"), ROUTE_BUCKET, "abc", BYTES(""), BYTES("/file/abc/"), BYTES("")},
    {BYTES("/file/abc?x=1"), ROUTE_BUCKET, "abc", BYTES(""), BYTES("/file/abc"), BYTES("x=1")},
    {BYTES("/file/%61bc"), ROUTE_BUCKET, "abc", BYTES(""), BYTES("/file/%61bc"), BYTES("")},
    {BYTES("/file/abc/k"), ROUTE_OBJECT, "abc", BYTES("k"), BYTES("/file/abc/k"), BYTES("")},
    {BYTES("/file/abc/k?a?b"), ROUTE_OBJECT, "abc", BYTES("k"), BYTES("/file/abc/k"), BYTES("a?b")},
    {BYTES("/file/abc/k%3Fa"), ROUTE_OBJECT, "abc", BYTES("k?a"), BYTES("/file/abc/k%3Fa"),
     BYTES("")},
    {BYTES("/file/abc/a/"), ROUTE_OBJECT, "abc", BYTES("a/"), BYTES("/file/abc/a/"), BYTES("")},
    {BYTES("/file/abc//"), ROUTE_OBJECT, "abc", BYTES("/"), BYTES("/file/abc//"), BYTES("")},
    {BYTES("/file/abc//a"), ROUTE_OBJECT, "abc", BYTES("/a"), BYTES("/file/abc//a"), BYTES("")},
    {BYTES("/file/abc/a//b"), ROUTE_OBJECT, "abc", BYTES("a//b"), BYTES("/file/abc/a//b"),
     BYTES("")},
    {BYTES("/file/abc/a%2Fb"), ROUTE_OBJECT, "abc", BYTES("a/b"), BYTES("/file/abc/a%2Fb"),
     BYTES("")},
    {BYTES("/file/abc/%252F"), ROUTE_OBJECT, "abc", BYTES("%2F"), BYTES("/file/abc/%252F"),
     BYTES("")},
    {BYTES("/file/abc/%252e%252e/x"), ROUTE_OBJECT, "abc", BYTES("%2e%2e/x"),
     BYTES("/file/abc/%252e%252e/x"), BYTES("")},
    {BYTES("/file/abc/%25zz"), ROUTE_OBJECT, "abc", BYTES("%zz"), BYTES("/file/abc/%25zz"),
     BYTES("")},
    {BYTES("/file/abc/a+b%20c"), ROUTE_OBJECT, "abc", BYTES("a+b c"), BYTES("/file/abc/a+b%20c"),
     BYTES("")},
    {BYTES("/file/abc/%c3%A4\xC3\xA4"), ROUTE_OBJECT, "abc", BYTES("\xC3\xA4\xC3\xA4"),
     BYTES("/file/abc/%c3%A4\xC3\xA4"), BYTES("")},
    {BYTES("/file/abc/..."), ROUTE_OBJECT, "abc", BYTES("..."), BYTES("/file/abc/..."), BYTES("")},
    {BYTES("/file/abc/" KEY_1024), ROUTE_OBJECT, "abc", BYTES(KEY_1024),
     BYTES("/file/abc/" KEY_1024), BYTES("")},
    {BYTES(""), ROUTE_NONE, "", BYTES(""), BYTES(""), BYTES("")},
    {BYTES("*"), ROUTE_NONE, "", BYTES(""), BYTES("*"), BYTES("")},
    {BYTES("//"), ROUTE_NONE, "", BYTES(""), BYTES("//"), BYTES("")},
    {BYTES("/nowhere"), ROUTE_NONE, "", BYTES(""), BYTES("/nowhere"), BYTES("")},
    {BYTES("/%zz"), ROUTE_NONE, "", BYTES(""), BYTES("/%zz"), BYTES("")},
    {BYTES("/files/"), ROUTE_NONE, "", BYTES(""), BYTES("/files/"), BYTES("")},
    {BYTES("/FILE/abc"), ROUTE_NONE, "", BYTES(""), BYTES("/FILE/abc"), BYTES("")},
    {BYTES("//file/abc/k"), ROUTE_NONE, "", BYTES(""), BYTES("//file/abc/k"), BYTES("")},
    {BYTES("file/abc/k"), ROUTE_NONE, "", BYTES(""), BYTES("file/abc/k"), BYTES("")},
    {BYTES("/healthz/"), ROUTE_NONE, "", BYTES(""), BYTES("/healthz/"), BYTES("")},
    {BYTES("/healthz\0"), ROUTE_NONE, "", BYTES(""), BYTES("/healthz\0"), BYTES("")},
};

static void a_target_is_taken_apart(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        const struct target_row *r = &targets[i];
        struct router_target t;
        struct error error = {.err = ERR_OK};
        enum err e = router_parse(r->in, &t, &error);
        if (e != ERR_OK || t.route != r->route || strcmp(t.bucket, r->bucket) != 0 ||
            !span_eq(buf_span(&t.key), r->key) || !span_eq(t.path, r->path) ||
            !span_eq(t.query, r->query))
            fail_msg("%.*s: %s, route %d, bucket %s, key %s", (int)r->in.n, r->in.p, err_name(e),
                     (int)t.route, t.bucket, buf_text(&t.key));
        router_target_done(&t);
    }
}

static const struct {
    struct span in;
    const char *code;
} bad_targets[] = {
    {BYTES("/file//"), "InvalidBucketName"},
    {BYTES("/file//x"), "InvalidBucketName"},
    {BYTES("/file/ab"), "InvalidBucketName"},
    {BYTES("/file/ab/k"), "InvalidBucketName"},
    {BYTES("/file/Abc/k"), "InvalidBucketName"},
    {BYTES("/file/b%2Fc/k"), "InvalidBucketName"},
    {BYTES("/file/b%00c/k"), "InvalidBucketName"},
    {BYTES("/file/abc%00/k"), "InvalidBucketName"},
    {BYTES("/file/%2561bc/k"), "InvalidBucketName"},
    {BYTES("/file/" SIXTY "abcd/k"), "InvalidBucketName"},
    {BYTES("/file/" THOUSAND "/k"), "InvalidBucketName"},
    {BYTES("/file/../etc"), "InvalidBucketName"},
    {BYTES("/file/ab%/k"), "InvalidURI"},
    {BYTES("/file/ab%4/k"), "InvalidURI"},
    {BYTES("/file/ab%zz"), "InvalidURI"},
    {BYTES("/file/abc/%"), "InvalidURI"},
    {BYTES("/file/abc/%4"), "InvalidURI"},
    {BYTES("/file/abc/%4g"), "InvalidURI"},
    {BYTES("/file/abc/%?20"), "InvalidURI"},
    {BYTES("/file/abc/a%00b"), "InvalidKey"},
    {BYTES("/file/abc/a%0Ab"), "InvalidKey"},
    {BYTES("/file/abc/a%1Fb"), "InvalidKey"},
    {BYTES("/file/abc/a%7Fb"), "InvalidKey"},
    {BYTES("/file/abc/a\0b"), "InvalidKey"},
    {BYTES("/file/abc/."), "InvalidKey"},
    {BYTES("/file/abc/.."), "InvalidKey"},
    {BYTES("/file/abc/../x"), "InvalidKey"},
    {BYTES("/file/abc/a/./b"), "InvalidKey"},
    {BYTES("/file/abc/a/.."), "InvalidKey"},
    {BYTES("/file/abc/%2E%2e/x"), "InvalidKey"},
    {BYTES("/file/abc/a%2F..%2Fb"), "InvalidKey"},
    {BYTES("/file/abc/%FF"), "InvalidKey"},
    {BYTES("/file/abc/%C0%AF"), "InvalidKey"},
    {BYTES("/file/abc/%ED%A0%80"), "InvalidKey"},
    {BYTES("/file/abc/" KEY_1024 "x"), "InvalidKey"},
    {BYTES("/file/abc/" KEY_1024 "%41"), "InvalidKey"},
};

static void a_bad_target_is_refused_with_its_code(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad_targets / sizeof *bad_targets; i++) {
        struct router_target t;
        struct error error = {.err = ERR_OK};
        enum err e = router_parse(bad_targets[i].in, &t, &error);
        if (e != ERR_BAD_INPUT || error.err != e || error.message[0] == '\0' ||
            strcmp(error.code, bad_targets[i].code) != 0)
            fail_msg("%.*s: %s, code %s, want %s", (int)bad_targets[i].in.n, bad_targets[i].in.p,
                     err_name(e), error.code, bad_targets[i].code);
        router_target_done(&t);
    }
}

/* In memory of its own size, so that a look past the end is seen. */
static void every_prefix_of_a_target_is_safe(void **state) {
    (void)state;
    static const char whole[] = "/file/a%62c/%C3%A4/%252F..%41?expires=%31&x=+";
    for (size_t n = 0; n < sizeof whole; n++) {
        char *copy = malloc(n + 1);
        struct router_target t;
        struct error error;
        assert_non_null(copy);
        if (n > 0)
            memcpy(copy + 1, whole, n);
        enum err e = router_parse((struct span){copy + 1, n}, &t, &error);
        assert_true(e == ERR_OK || e == ERR_BAD_INPUT);
        assert_int_equal(t.path.n + t.query.n + (memchr(whole, '?', n) != NULL), n);
        router_target_done(&t);
        free(copy);
    }
}

/* Buckets */

static void a_good_bucket_name_is_taken(void **state) {
    (void)state;
    static const char *const names[] = {
        "abc",     "a-b",       "a.b",       "1a2",         "a--b",
        "123",     "1.2.3",     "1.2.3.4.5", "1.2.3.a",     "1234.1.1.1",
        "a.-b",    "xn-a",      "mrap",      "a-s3aliases", "a-amzn-s3-demo-b",
        "sthreea", SIXTY "abc",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct error error = {.err = ERR_OK};
        enum err e = router_check_bucket(span_of(names[i]), &error);
        if (e != ERR_OK)
            fail_msg("%s: %s %s", names[i], err_name(e), error.message);
    }
}

static void a_bad_bucket_name_is_refused_with_its_rule(void **state) {
    (void)state;
    static const struct {
        struct span in;
        const char *rule; /* a word of the sentence */
    } rows[] = {
        {BYTES(""), "3 to 63"},
        {BYTES("ab"), "3 to 63"},
        {BYTES(SIXTY "abcd"), "3 to 63"},
        {BYTES("aBc"), "only"},
        {BYTES("a_b"), "only"},
        {BYTES("a b"), "only"},
        {BYTES("a/b"), "only"},
        {BYTES("ab\0"), "only"},
        {BYTES("\xC3\xA4 bc"), "only"},
        {BYTES("a..b"), "dots"},
        {BYTES("-ab"), "begins"},
        {BYTES("ab-"), "begins"},
        {BYTES(".ab"), "begins"},
        {BYTES("ab."), "begins"},
        {BYTES("192.168.5.4"), "address"},
        {BYTES("1.2.3.4"), "address"},
        {BYTES("xn--abc"), "reserved"},
        {BYTES("sthree-abc"), "reserved"},
        {BYTES("amzn-s3-demo-abc"), "reserved"},
        {BYTES("abc-s3alias"), "reserved"},
        {BYTES("abc--ol-s3"), "reserved"},
        {BYTES("abc.mrap"), "reserved"},
        {BYTES("abc--x-s3"), "reserved"},
        {BYTES("abc--table-s3"), "reserved"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error error = {.err = ERR_OK};
        enum err e = router_check_bucket(rows[i].in, &error);
        if (e != ERR_BAD_INPUT || strcmp(error.code, "InvalidBucketName") != 0 ||
            strstr(error.message, rows[i].rule) == NULL)
            fail_msg("%s: %s, %s, %s", rows[i].in.p, err_name(e), error.code, error.message);
    }
    assert_int_equal(router_check_bucket(SPAN("ab"), NULL), ERR_BAD_INPUT);
}

/* Keys */

static void each_key_obeys_or_breaks_its_rule(void **state) {
    (void)state;
    static const struct {
        struct span in;
        const char *rule; /* a word of the sentence; NULL: a good key */
    } rows[] = {
        {BYTES("a"), NULL},           {BYTES(KEY_1024), NULL},    {BYTES("/"), NULL},
        {BYTES("a//b/"), NULL},       {BYTES("..."), NULL},       {BYTES(".a"), NULL},
        {BYTES("a./..b"), NULL},      {BYTES(" "), NULL},         {BYTES("\xF0\x9F\x98\x80"), NULL},
        {BYTES("a\\..\\b"), NULL},    {BYTES(""), "empty"},       {BYTES(KEY_1024 "x"), "1024"},
        {BYTES("a\xFF"), "UTF-8"},    {BYTES("\xC3"), "UTF-8"},   {BYTES("\xED\xA0\x80"), "UTF-8"},
        {BYTES("\xC0\xAF"), "UTF-8"}, {BYTES("a\0b"), "control"}, {BYTES("\x1F"), "control"},
        {BYTES("a\n"), "control"},    {BYTES("\x7F"), "control"}, {BYTES("."), "segment"},
        {BYTES(".."), "segment"},     {BYTES("a/."), "segment"},  {BYTES("../a"), "segment"},
        {BYTES("a/../b"), "segment"}, {BYTES("/./"), "segment"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error error = {.err = ERR_OK};
        enum err e = router_check_key(rows[i].in, &error);
        bool good = rows[i].rule == NULL
                        ? e == ERR_OK
                        : e == ERR_BAD_INPUT && strcmp(error.code, "InvalidKey") == 0 &&
                              strstr(error.message, rows[i].rule) != NULL;
        if (!good)
            fail_msg("row %zu, %s: %s, %s, %s", i, rows[i].in.p, err_name(e), error.code,
                     error.message);
    }
}

/* Methods */

static void methods_are_known_by_their_exact_names(void **state) {
    (void)state;
    assert_int_equal(router_method(SPAN("GET")), ROUTER_GET);
    assert_int_equal(router_method(SPAN("HEAD")), ROUTER_HEAD);
    assert_int_equal(router_method(SPAN("POST")), ROUTER_POST);
    assert_int_equal(router_method(SPAN("PUT")), ROUTER_PUT);
    assert_int_equal(router_method(SPAN("DELETE")), ROUTER_DELETE);
    assert_int_equal(router_method(SPAN("OPTIONS")), ROUTER_OPTIONS);
    static const char *const others[] = {"", "get", "GETS", "GE", "PATCH", "BREW", "TRACE"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(router_method(span_of(others[i])), ROUTER_OTHER);
}

static void each_route_names_its_methods(void **state) {
    (void)state;
    static const struct {
        enum route route;
        unsigned methods;
        const char *allow;
    } rows[] = {
        {ROUTE_NONE, 0, "OPTIONS"},
        {ROUTE_ROOT, ROUTER_GET | ROUTER_HEAD, "GET, HEAD, OPTIONS"},
        {ROUTE_HEALTHZ, ROUTER_GET | ROUTER_HEAD, "GET, HEAD, OPTIONS"},
        {ROUTE_READYZ, ROUTER_GET | ROUTER_HEAD, "GET, HEAD, OPTIONS"},
        {ROUTE_FILES, ROUTER_POST, "OPTIONS, POST"},
        {ROUTE_BUCKET, ROUTER_GET | ROUTER_HEAD | ROUTER_POST, "GET, HEAD, OPTIONS, POST"},
        {ROUTE_OBJECT, ROUTER_GET | ROUTER_HEAD | ROUTER_PUT | ROUTER_DELETE,
         "DELETE, GET, HEAD, OPTIONS, PUT"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf allow;
        buf_init(&allow, 128);
        router_append_allow(&allow, rows[i].route);
        assert_int_equal(router_methods(rows[i].route), rows[i].methods);
        assert_string_equal(buf_text(&allow), rows[i].allow);
        buf_done(&allow);
    }
}

/* Queries */

static void a_query_parameter_is_found_once_or_refused(void **state) {
    (void)state;
    static const struct {
        const char *query;
        enum err err;
        struct span want;
    } rows[] = {
        {"expires=60", ERR_OK, BYTES("60")},
        {"a=b&expires=60&c=d", ERR_OK, BYTES("60")},
        {"expires=", ERR_OK, BYTES("")},
        {"expires", ERR_OK, BYTES("")},
        {"expires=a=b", ERR_OK, BYTES("a=b")},
        {"expires=a+b%20c%2Bd", ERR_OK, BYTES("a b c+d")},
        {"expires=+", ERR_OK, BYTES(" ")},
        {"expires=%2530", ERR_OK, BYTES("%30")},
        {"expires=a%00b", ERR_OK, BYTES("a\0b")},
        {"expires=a?b", ERR_OK, BYTES("a?b")},
        {"&&expires=60&", ERR_OK, BYTES("60")},
        {"x=%zz&expires=60", ERR_OK, BYTES("60")},
        {"", ERR_NOT_FOUND, BYTES("")},
        {"&", ERR_NOT_FOUND, BYTES("")},
        {"a=expires", ERR_NOT_FOUND, BYTES("")},
        {"expire=60", ERR_NOT_FOUND, BYTES("")},
        {"expiress=60", ERR_NOT_FOUND, BYTES("")},
        {"Expires=60", ERR_NOT_FOUND, BYTES("")},
        {"expires=60&expires=60", ERR_BAD_INPUT, BYTES("")},
        {"expires&a&expires", ERR_BAD_INPUT, BYTES("")},
        {"expires=%", ERR_BAD_INPUT, BYTES("")},
        {"expires=1%2", ERR_BAD_INPUT, BYTES("")},
        {"expires=%zz+", ERR_BAD_INPUT, BYTES("")},
        {"expires=%3&x=1", ERR_BAD_INPUT, BYTES("")},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf value;
        buf_init(&value, 64);
        enum err e = router_query(span_of(rows[i].query), "expires", &value);
        if (e != rows[i].err || (e == ERR_OK && !span_eq(buf_span(&value), rows[i].want)))
            fail_msg("%s: %s, %s", rows[i].query, err_name(e), buf_text(&value));
        buf_done(&value);
    }
}

static void a_query_has_a_parameter_or_not(void **state) {
    (void)state;
    static const struct {
        const char *query;
        bool want;
    } rows[] = {
        {"delete", true},     {"delete=", true},  {"delete=x", true},      {"a=b&delete&c", true},
        {"&&delete", true},   {"", false},        {"deletes", false},      {"delet", false},
        {"Delete", false},    {"=delete", false}, {"a=delete", false},     {"%64elete", false},
        {"a&delete2", false}, {"&", false},       {"delete&delete", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (router_query_has(span_of(rows[i].query), "delete") != rows[i].want)
            fail_msg("%s", rows[i].query);
}

static void a_value_that_is_too_long_is_not_cut(void **state) {
    (void)state;
    struct buf value;
    buf_init(&value, 4);
    assert_int_equal(router_query(SPAN("expires=12345"), "expires", &value), ERR_LIMIT);
    buf_done(&value);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_is_taken_apart),
        cmocka_unit_test(a_bad_target_is_refused_with_its_code),
        cmocka_unit_test(every_prefix_of_a_target_is_safe),
        cmocka_unit_test(a_good_bucket_name_is_taken),
        cmocka_unit_test(a_bad_bucket_name_is_refused_with_its_rule),
        cmocka_unit_test(each_key_obeys_or_breaks_its_rule),
        cmocka_unit_test(methods_are_known_by_their_exact_names),
        cmocka_unit_test(each_route_names_its_methods),
        cmocka_unit_test(a_query_parameter_is_found_once_or_refused),
        cmocka_unit_test(a_query_has_a_parameter_or_not),
        cmocka_unit_test(a_value_that_is_too_long_is_not_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "fileservice/base/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void decoding_what_was_encoded_gives_it_back(void **state) {
    (void)state;
    char all[256];
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (char)i;
    for (int keep_slash = 0; keep_slash < 2; keep_slash++) {
        struct buf encoded;
        struct buf decoded;
        buf_init(&encoded, 1000);
        buf_init(&decoded, 1000);
        url_encode(&encoded, (struct span){all, sizeof all}, keep_slash == 1);
        assert_int_equal(encoded.n, 66 + 190 * 3 - (keep_slash == 1 ? 2 : 0));
        assert_int_equal(url_decode(&decoded, buf_span(&encoded)), ERR_OK);
        assert_true(span_eq(buf_span(&decoded), (struct span){all, sizeof all}));
        buf_done(&encoded);
        buf_done(&decoded);
    }
}

static void encoding_is_awss(void **state) {
    struct buf b;
    (void)state;
    buf_init(&b, 100);
    url_encode(&b, SPAN("aZ0-._~ +/%\xC3\xA4"), false);
    assert_string_equal(buf_text(&b), "aZ0-._~%20%2B%2F%25%C3%A4");
    buf_done(&b);
}

static void decoding_happens_once_and_broken_codes_are_refused(void **state) {
    static const struct {
        const char *in;
        const char *want; /* NULL: refused */
    } rows[] = {
        {"", ""},       {"a%20b", "a b"}, {"%252F", "%2F"}, {"a+b", "a+b"}, {"%c3%A4", "\xC3\xA4"},
        {"%", NULL},    {"%2", NULL},     {"a%", NULL},     {"%zz", NULL},  {"%2g", NULL},
        {"%%20", NULL}, {"100%", NULL},   {"% 20", NULL},   {"%+1", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf b;
        buf_init(&b, 100);
        enum err e = url_decode(&b, span_of(rows[i].in));
        assert_int_equal(e, rows[i].want == NULL ? ERR_BAD_INPUT : ERR_OK);
        if (rows[i].want != NULL)
            assert_string_equal(buf_text(&b), rows[i].want);
        buf_done(&b);
    }
}

static void in_a_form_a_plus_is_a_blank(void **state) {
    static const struct {
        const char *in;
        const char *want; /* NULL: refused */
    } rows[] = {
        {"", ""},           {"a", "a"},       {"+", " "},
        {"a+b++", "a b  "}, {"a%2Bb", "a+b"}, {"%20+%2520", "  %20"},
        {"a+%", NULL},      {"%4+1", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf b;
        buf_init(&b, 100);
        enum err e = url_decode_form(&b, span_of(rows[i].in));
        assert_int_equal(e, rows[i].want == NULL ? ERR_BAD_INPUT : ERR_OK);
        if (e == ERR_OK)
            assert_string_equal(buf_text(&b), rows[i].want);
        buf_done(&b);
    }
}

static void endpoints(void **state) {
    static const struct {
        const char *in;
        const char *origin; /* NULL: refused */
        const char *host;
    } rows[] = {
        {"http://localhost:4566", "http://localhost:4566", "localhost:4566"},
        {"http://LOCALHOST:4566/", "http://localhost:4566", "localhost:4566"},
        {"http://a.b", "http://a.b", "a.b"},
        {"http://a.b:80", "http://a.b", "a.b"},
        {"https://a.b:443/", "https://a.b", "a.b"},
        {"https://a.b:80", "https://a.b:80", "a.b:80"},
        {"http://[::1]:9000", "http://[::1]:9000", "[::1]:9000"},
        {"https://[fd00:ec2::23]", "https://[fd00:ec2::23]", "[fd00:ec2::23]"},
        {"", NULL, NULL},
        {"localhost", NULL, NULL},
        {"ftp://a", NULL, NULL},
        {"http://", NULL, NULL},
        {"http://:80", NULL, NULL},
        {"http://a:", NULL, NULL},
        {"http://a:0", NULL, NULL},
        {"http://a:65536", NULL, NULL},
        {"http://a:123456", NULL, NULL},
        {"http://a:8x", NULL, NULL},
        {"http://user@a", NULL, NULL},
        {"http://a/path", NULL, NULL},
        {"http://a?x", NULL, NULL},
        {"http://a b", NULL, NULL},
        {"http://[::1", NULL, NULL},
        {"http://[]", NULL, NULL},
        {"http://[zz]", NULL, NULL},
        {"http://a\r\nx", NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct url_endpoint e;
        struct buf b;
        buf_init(&b, 1000);
        enum err err = url_parse_endpoint(span_of(rows[i].in), &e);
        assert_int_equal(err, rows[i].origin == NULL ? ERR_BAD_INPUT : ERR_OK);
        if (err == ERR_OK) {
            url_append_origin(&b, &e);
            assert_string_equal(buf_text(&b), rows[i].origin);
            buf_clear(&b);
            url_append_host(&b, &e);
            assert_string_equal(buf_text(&b), rows[i].host);
        }
        buf_done(&b);
    }
}

static void a_host_that_is_too_long_is_refused(void **state) {
    char text[400] = "http://";
    struct url_endpoint e;
    (void)state;
    memset(text + 7, 'a', 300);
    assert_int_equal(url_parse_endpoint((struct span){text, 7 + 255}, &e), ERR_OK);
    assert_int_equal(url_parse_endpoint((struct span){text, 7 + 300}, &e), ERR_BAD_INPUT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoding_what_was_encoded_gives_it_back),
        cmocka_unit_test(encoding_is_awss),
        cmocka_unit_test(decoding_happens_once_and_broken_codes_are_refused),
        cmocka_unit_test(in_a_form_a_plus_is_a_blank),
        cmocka_unit_test(endpoints),
        cmocka_unit_test(a_host_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

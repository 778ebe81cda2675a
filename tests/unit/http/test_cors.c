/* Cross-origin headers: who gets them, and that nothing of a client's can split an answer. */
#include "fileservice/http/cors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BYTES(literal)                                                                             \
    { literal, sizeof(literal) - 1 }
#define EXPOSED                                                                                    \
    "Access-Control-Expose-Headers: ETag, Location, X-Request-Id, Content-Range, Accept-Ranges, "  \
    "Content-Disposition, Retry-After\n"
#define PREFLIGHT                                                                                  \
    "Access-Control-Allow-Methods: DELETE, GET, HEAD, POST, PUT\n"                                 \
    "Access-Control-Max-Age: 3600\n"
#define ANY "Access-Control-Allow-Origin: *\n" EXPOSED
#define VARY "Vary: Origin\n"
#define APP "Access-Control-Allow-Origin: https://app.example\n" EXPOSED

static const char *const origins[] = {"https://app.example", "http://localhost:3000"};
static const struct cors_policy any = {.any = true};
static const struct cors_policy list = {.origins = origins, .count = 2};
static const struct cors_policy none = {.count = 0};

static void write_down(void *context, const char *name, const char *value) {
    buf_append_format(context, "%s: %s\n", name, value);
}

static const struct row {
    const char *name;
    const struct cors_policy *policy;
    struct span origin;
    bool preflight;
    struct span requested;
    const char *want;
} rows[] = {
    {"any origin", &any, BYTES("https://app.example"), false, BYTES(""), ANY},
    {"any policy, no origin", &any, BYTES(""), false, BYTES(""), ANY},
    {"any policy, an opaque origin", &any, BYTES("null"), false, BYTES(""), ANY},
    {"headers asked for, but no preflight", &any, BYTES("https://a.example"), false,
     BYTES("x-a, x-b"), ANY},
    {"a preflight without headers", &any, BYTES("https://a.example"), true, BYTES(""),
     ANY PREFLIGHT},
    {"a preflight with headers", &any, BYTES("https://a.example"), true,
     BYTES("content-type, x-request-id"),
     ANY PREFLIGHT "Access-Control-Allow-Headers: content-type, x-request-id\n"},
    {"CR and LF asked for", &any, BYTES(""), true, BYTES("x\r\nSet-Cookie: a"), ANY PREFLIGHT},
    {"LF asked for", &any, BYTES(""), true, BYTES("x\ny"), ANY PREFLIGHT},
    {"NUL asked for", &any, BYTES(""), true, BYTES("x\0y"), ANY PREFLIGHT},
    {"DEL asked for", &any, BYTES(""), true, BYTES("x\x7Fy"), ANY PREFLIGHT},
    {"a listed origin", &list, BYTES("https://app.example"), false, BYTES(""), VARY APP},
    {"the second listed origin", &list, BYTES("http://localhost:3000"), false, BYTES(""),
     VARY "Access-Control-Allow-Origin: http://localhost:3000\n" EXPOSED},
    {"a listed origin's preflight", &list, BYTES("https://app.example"), true, BYTES("x-a"),
     VARY APP PREFLIGHT "Access-Control-Allow-Headers: x-a\n"},
    {"a listed origin in another case", &list, BYTES("HTTPS://App.Example"), false, BYTES(""),
     VARY "Access-Control-Allow-Origin: HTTPS://App.Example\n" EXPOSED},
    {"an origin off the list", &list, BYTES("https://evil.example"), false, BYTES(""), VARY},
    {"a preflight off the list", &list, BYTES("https://evil.example"), true, BYTES("x-a"), VARY},
    {"no origin", &list, BYTES(""), false, BYTES(""), VARY},
    {"an opaque origin", &list, BYTES("null"), false, BYTES(""), VARY},
    {"a listed origin with more behind", &list, BYTES("https://app.example.evil"), false, BYTES(""),
     VARY},
    {"a listed origin with more in front", &list, BYTES("xhttps://app.example"), false, BYTES(""),
     VARY},
    {"a beginning of a listed origin", &list, BYTES("https://app.exampl"), false, BYTES(""), VARY},
    {"another port", &list, BYTES("http://localhost:3001"), false, BYTES(""), VARY},
    {"a listed origin and NUL", &list, BYTES("https://app.example\0x"), false, BYTES(""), VARY},
    {"a star is no origin", &list, BYTES("*"), false, BYTES(""), VARY},
    {"an empty list", &none, BYTES("https://app.example"), true, BYTES("x-a"), VARY},
    {"an empty list, no origin", &none, BYTES(""), false, BYTES(""), VARY},
};

static void each_request_gets_its_headers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf got;
        buf_init(&got, 8192);
        enum err e = cors_answer(rows[i].policy, rows[i].origin, rows[i].preflight,
                                 rows[i].requested, write_down, &got);
        assert_int_equal(buf_error(&got), ERR_OK);
        if (e != ERR_OK || strcmp(buf_text(&got), rows[i].want) != 0)
            fail_msg("%s: got %s\n%swant\n%s", rows[i].name, err_name(e), buf_text(&got),
                     rows[i].want);
        buf_done(&got);
    }
}

static void no_control_byte_is_echoed(void **state) {
    (void)state;
    for (int byte = 0; byte <= 0x7F; byte++) {
        char asked[] = {'x', (char)byte, 'y'};
        struct buf got;
        buf_init(&got, 8192);
        assert_int_equal(cors_answer(&any, SPAN("https://a.example"), true,
                                     (struct span){asked, sizeof asked}, write_down, &got),
                         ERR_OK);
        bool echoed = strstr(buf_text(&got), "Access-Control-Allow-Headers") != NULL;
        assert_int_equal(echoed, byte >= ' ' && byte < 0x7F);
        buf_done(&got);
    }
}

/* Half a list would be a lie: what is too long is left out as a whole. */
static void a_very_long_list_of_headers_is_not_echoed(void **state) {
    (void)state;
    static char asked[5000];
    struct buf got;
    memset(asked, 'x', sizeof asked);
    buf_init(&got, 16384);
    assert_int_equal(
        cors_answer(&any, SPAN(""), true, (struct span){asked, sizeof asked}, write_down, &got),
        ERR_OK);
    assert_string_equal(buf_text(&got), ANY PREFLIGHT);
    buf_done(&got);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_request_gets_its_headers),
        cmocka_unit_test(no_control_byte_is_echoed),
        cmocka_unit_test(a_very_long_list_of_headers_is_not_echoed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

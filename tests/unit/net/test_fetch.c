/* Requests over the transport, waited for: what goes out, what comes back, and every way to fail. */
#include "fileservice/net/fetch.h"

#include "fileservice/base/clock.h"

#include "stand_in.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct stand_in *server;
static struct fetcher *fetcher;
static char seen[4096]; /* the last request, "METHOD target x-test body" */
static unsigned requests;

static void answer(void *context, const struct stand_in_request *r, struct buf *out) {
    (void)context;
    requests++;
    struct span test = stand_in_header(r, "X-Test");
    (void)snprintf(seen, sizeof seen, "%.*s %.*s %.*s %.*s", (int)r->method.n, r->method.p,
                   (int)r->target.n, r->target.p, (int)test.n, test.p == NULL ? "" : test.p,
                   (int)r->body.n, r->body.p);
    if (span_eq(r->target, SPAN("/silent")))
        usleep(600000);
    else if (span_eq(r->target, SPAN("/cut")))
        buf_append_text(out, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nonly");
    else if (span_eq(r->target, SPAN("/nonsense")))
        buf_append_text(out, "this is no HTTP\r\n\r\n");
    else if (span_eq(r->target, SPAN("/redirect")))
        buf_append_text(out,
                        "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n");
    else if (span_eq(r->target, SPAN("/long"))) {
        buf_append_format(out, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n",
                          TRANSPORT_RESPONSE_BODY_MAX_BYTES + 1);
        for (size_t i = 0; i < TRANSPORT_RESPONSE_BODY_MAX_BYTES + 1; i++)
            buf_append_byte(out, 'x');
    } else
        stand_in_say(out, 418, "the body");
}

static int set_up(void **state) {
    struct error error;
    (void)state;
    server = stand_in_start(answer, NULL);
    return server != NULL && transport_global_init() == ERR_OK &&
                   fetcher_new(&fetcher, &error) == ERR_OK
               ? 0
               : -1;
}

static int tear_down(void **state) {
    (void)state;
    fetcher_free(fetcher);
    transport_global_done();
    stand_in_stop(server);
    return 0;
}

static enum err fetch(const char *method, uint16_t port, const char *target, struct span body,
                      uint32_t silence_ms, uint32_t deadline_ms, int *status, struct buf *got,
                      struct error *error) {
    char url[200];
    const char *headers[] = {"X-Test: yes"};
    struct span pieces[2] = {{body.p, body.n / 2}, span_from(body, body.n / 2)};
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s", (unsigned)port, target);
    struct transport_request r = {
        .method = method,
        .url = url,
        .headers = headers,
        .header_count = 1,
        .body = pieces,
        .body_count = 2,
        .has_body = body.p != NULL,
        .connect_ms = 2000,
        .silence_ms = silence_ms,
    };
    *status = 0;
    buf_init(got, 4 * TRANSPORT_RESPONSE_BODY_MAX_BYTES);
    return fetcher_run(fetcher, &r, deadline_ms, status, got, error);
}

static void requests_go_out_as_they_are_and_answers_come_back(void **state) {
    static const struct {
        const char *method;
        const char *target;
        struct span body;
        const char *want;
        const char *answer;
    } rows[] = {
        {"GET", "/a?b=c%20d", {NULL, 0}, "GET /a?b=c%20d yes ", "the body"},
        {"GET", "/a/../b/./c//d", {NULL, 0}, "GET /a/../b/./c//d yes ", "the body"},
        {"DELETE", "/x", {NULL, 0}, "DELETE /x yes ", "the body"},
        {"HEAD", "/x", {NULL, 0}, "HEAD /x yes ", ""},
        {"PUT", "/x", {"twopieces", 9}, "PUT /x yes twopieces", "the body"},
        {"PUT", "/x", {"", 0}, "PUT /x yes ", "the body"},
        {"POST", "/x", {"form", 4}, "POST /x yes form", "the body"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error error;
        struct buf got;
        int status;
        assert_int_equal(fetch(rows[i].method, stand_in_port(server), rows[i].target, rows[i].body,
                               5000, 5000, &status, &got, &error),
                         ERR_OK);
        assert_int_equal(status, 418);
        assert_string_equal(buf_text(&got), rows[i].answer);
        assert_string_equal(seen, rows[i].want);
        buf_done(&got);
    }
}

static void a_redirect_is_an_answer_like_any_other(void **state) {
    struct error error;
    struct buf got;
    int status;
    unsigned before = requests;
    (void)state;
    assert_int_equal(fetch("GET", stand_in_port(server), "/redirect", (struct span){NULL, 0}, 5000,
                           5000, &status, &got, &error),
                     ERR_OK);
    assert_int_equal(status, 302);
    assert_int_equal(requests, before + 1);
    buf_done(&got);
}

static void every_failure_has_its_kind_and_a_reason(void **state) {
    static const struct {
        const char *target;
        bool refused;
        uint32_t silence_ms;
        uint32_t deadline_ms;
        enum err want;
    } rows[] = {
        {"/x", true, 5000, 5000, ERR_UNREACHABLE},
        {"/cut", false, 5000, 5000, ERR_UNREACHABLE},
        {"/nonsense", false, 5000, 5000, ERR_UNREACHABLE},
        {"/silent", false, 100, 5000, ERR_TIMEOUT},
        {"/silent", false, 5000, 100, ERR_TIMEOUT},
        {"/long", false, 5000, 5000, ERR_LIMIT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error error;
        struct buf got;
        int status;
        uint64_t begin = clock_monotonic_ms();
        uint16_t port = rows[i].refused ? 1 : stand_in_port(server);
        assert_int_equal(fetch("GET", port, rows[i].target, (struct span){NULL, 0},
                               rows[i].silence_ms, rows[i].deadline_ms, &status, &got, &error),
                         rows[i].want);
        assert_int_equal(status, 0);
        assert_true(error.err == rows[i].want && error.message[0] != '\0');
        assert_null(strstr(error.message, "127.0.0.1:"));
        assert_true(clock_monotonic_ms() - begin < 4000);
        buf_done(&got);
    }
}

static void a_request_may_raise_or_lower_the_ceiling_of_its_answer(void **state) {
    static const struct {
        const char *target;
        size_t max;
        enum err want;
    } rows[] = {
        {"/long", TRANSPORT_RESPONSE_BODY_MAX_BYTES + 1, ERR_OK},
        {"/long", TRANSPORT_RESPONSE_BODY_MAX_BYTES, ERR_LIMIT},
        {"/x", sizeof "the body" - 1, ERR_OK},
        {"/x", sizeof "the body" - 2, ERR_LIMIT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error error;
        struct buf got;
        char url[100];
        int status = 0;
        (void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s", (unsigned)stand_in_port(server),
                       rows[i].target);
        struct transport_request r = {
            .method = "GET",
            .url = url,
            .connect_ms = 2000,
            .silence_ms = 5000,
            .response_max_bytes = rows[i].max,
        };
        buf_init(&got, 2 * TRANSPORT_RESPONSE_BODY_MAX_BYTES);
        assert_int_equal(fetcher_run(fetcher, &r, 5000, &status, &got, &error), rows[i].want);
        if (rows[i].want == ERR_OK)
            assert_int_equal(got.n, rows[i].max);
        buf_done(&got);
    }
}

static void a_stopped_fetcher_fetches_no_more(void **state) {
    struct error error;
    struct buf got;
    int status;
    (void)state;
    fetcher_stop(fetcher);
    assert_int_equal(fetch("GET", stand_in_port(server), "/x", (struct span){NULL, 0}, 5000, 5000,
                           &status, &got, &error),
                     ERR_CANCELLED);
    buf_done(&got);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(requests_go_out_as_they_are_and_answers_come_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_redirect_is_an_answer_like_any_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_failure_has_its_kind_and_a_reason, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_request_may_raise_or_lower_the_ceiling_of_its_answer,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stopped_fetcher_fetches_no_more, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

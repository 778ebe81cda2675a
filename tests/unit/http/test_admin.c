/* The admin door, over a real socket. */
#include "fileservice/http/admin.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define ANSWER_MAX_BYTES 4194304
#define PAGE "some_total 1\n"

static enum err outcome;
static size_t page_bytes; /* 0: PAGE */

static enum err render(void *context, struct buf *page) {
    assert_ptr_equal(context, &outcome);
    if (page_bytes == 0)
        buf_append_text(page, PAGE);
    for (size_t i = 0; i < page_bytes; i++)
        buf_append_byte(page, 'x');
    return outcome;
}

static struct admin *admin;
static struct sockaddr_in address;

static int start(void **state) {
    struct admin_options options = {render, &outcome};
    struct error error;
    socklen_t n = sizeof address;
    (void)state;
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bind(fd, (struct sockaddr *)&address, n) != 0 || listen(fd, 5) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &n) != 0)
        return -1;
    return admin_start(&options, fd, &admin, &error) == ERR_OK ? 0 : -1;
}

static int stop(void **state) {
    (void)state;
    admin_stop(admin);
    return 0;
}

/* Sends a request head and reads to the end of the connection. */
static void ask(const char *head, struct buf *answer) {
    struct timeval limit = {.tv_sec = 5};
    char piece[4096];
    ssize_t got;
    struct buf request;
    buf_init(&request, 4096);
    buf_append_format(&request, "%s\r\nHost: a\r\nConnection: close\r\n\r\n", head);
    buf_init(answer, ANSWER_MAX_BYTES);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_int_equal(send(fd, buf_text(&request), request.n, MSG_NOSIGNAL), request.n);
    while ((got = recv(fd, piece, sizeof piece, 0)) > 0)
        buf_append(answer, (struct span){piece, (size_t)got});
    assert_int_equal(got, 0);
    close(fd);
    buf_done(&request);
}

static void it_knows_one_path_and_two_methods(void **state) {
    static const struct {
        const char *head;
        const char *status;
        const char *within;
    } rows[] = {
        {"GET /metrics HTTP/1.1", "HTTP/1.1 200 ", "\r\n\r\n" PAGE},
        {"GET /metrics?name=x HTTP/1.1", "HTTP/1.1 200 ", "\r\n\r\n" PAGE},
        {"GET http://a/metrics HTTP/1.1", "HTTP/1.1 200 ", "\r\n\r\n" PAGE},
        {"GET /metrics HTTP/1.1", "HTTP/1.1 200 ",
         "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"},
        {"HEAD /metrics HTTP/1.1", "HTTP/1.1 200 ", "Content-Length: 13\r\n"},
        {"POST /metrics HTTP/1.1\r\nContent-Length: 3", "HTTP/1.1 405 ", "Allow: GET, HEAD\r\n"},
        {"DELETE /metrics HTTP/1.1", "HTTP/1.1 405 ", "\"code\":\"MethodNotAllowed\""},
        {"BREW /metrics HTTP/1.1", "HTTP/1.1 405 ", "\"request_id\":\""},
        {"GET / HTTP/1.1", "HTTP/1.1 404 ", "\"message\":\"Route / does not exist.\""},
        {"GET /metrics/ HTTP/1.1", "HTTP/1.1 404 ", "Route /metrics/ does not exist."},
        {"GET /metrics%00x HTTP/1.1", "HTTP/1.1 404 ", "Route /metrics%00x does not exist."},
        {"GET /file/b/k HTTP/1.1", "HTTP/1.1 404 ", "X-Request-Id: "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf answer;
        ask(rows[i].head, &answer);
        if (!span_starts(buf_span(&answer), span_of(rows[i].status)) ||
            strstr(buf_text(&answer), rows[i].within) == NULL)
            fail_msg("%s: %s", rows[i].head, buf_text(&answer));
        if (span_starts(span_of(rows[i].head), SPAN("HEAD")))
            assert_true(span_ends(buf_span(&answer), SPAN("\r\n\r\n")));
        buf_done(&answer);
    }
}

static void a_page_that_fails_is_an_error(void **state) {
    static const struct {
        enum err outcome;
        size_t bytes;
        const char *status;
    } rows[] = {
        {ERR_NO_MEMORY, 0, "HTTP/1.1 503 "},
        {ERR_LIMIT, 0, "HTTP/1.1 500 "},
        {ERR_OK, ADMIN_PAGE_MAX_BYTES, "HTTP/1.1 200 "},
        {ERR_OK, ADMIN_PAGE_MAX_BYTES + 1, "HTTP/1.1 500 "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf answer;
        outcome = rows[i].outcome;
        page_bytes = rows[i].bytes;
        ask("GET /metrics HTTP/1.1", &answer);
        assert_true(span_starts(buf_span(&answer), span_of(rows[i].status)));
        buf_done(&answer);
    }
    outcome = ERR_OK;
    page_bytes = 0;
}

/* A client that says nothing holds nobody. */
static void others_are_answered_beside_a_silent_client(void **state) {
    struct buf answer;
    (void)state;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, "GET /met", 8, MSG_NOSIGNAL), 8);
    ask("GET /metrics HTTP/1.1", &answer);
    assert_true(span_ends(buf_span(&answer), SPAN(PAGE)));
    buf_done(&answer);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_knows_one_path_and_two_methods),
        cmocka_unit_test(a_page_that_fails_is_an_error),
        cmocka_unit_test(others_are_answered_beside_a_silent_client),
    };
    return cmocka_run_group_tests(tests, start, stop);
}

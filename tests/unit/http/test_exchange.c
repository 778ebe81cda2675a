/* The exchange, over a real socket: whatever way the bytes are cut, a handler sees one head, the whole
 * body, one end and one close. */
#include "fileservice/http/worker.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define ANSWER_MAX_BYTES 65536
#define WAIT_MS 10000

/* A handler that says what it saw. Its state is freed by on_close, which also counts. */
struct record {
    struct exchange *exchange;
    struct loop_task more;
    struct buf body;
    unsigned heads;
    unsigned ends;
};

static struct loop *loop;
static atomic_uint opened;
static atomic_uint closed;

static struct record *record_of(struct exchange *x) { return exchange_state(x); }

static void more_run(struct loop_task *task) {
    exchange_continue(CONTAINER_OF(task, struct record, more)->exchange);
}

static void on_head(struct exchange *x) {
    struct record *r = calloc(1, sizeof *r);
    assert_non_null(r);
    atomic_fetch_add(&opened, 1);
    r->exchange = x;
    r->heads++;
    loop_task_init(&r->more, more_run);
    buf_init(&r->body, 1 << 20);
    exchange_set_state(x, r);
    if (span_eq(buf_span(&exchange_target(x)->key), SPAN("refused"))) {
        struct error error;
        error_set(&error, ERR_DENIED, "Not here.");
        exchange_fail(x, &error);
    }
}

static bool note_header(void *context, struct span name, struct span value) {
    buf_append(context, name);
    buf_append(context, SPAN("="));
    buf_append(context, value);
    buf_append(context, SPAN(";"));
    return !span_eq(name, SPAN("Last"));
}

/* Takes everything, or for the key "slow" one byte at a time. */
static size_t on_body(struct exchange *x, struct span data) {
    struct record *r = record_of(x);
    size_t n = span_eq(buf_span(&exchange_target(x)->key), SPAN("slow")) ? 1 : data.n;
    assert_int_equal(r->ends, 0);
    buf_append(&r->body, (struct span){data.p, n});
    if (n < data.n)
        loop_post(loop, &r->more);
    return n;
}

static void on_body_end(struct exchange *x) {
    struct record *r = record_of(x);
    struct reply reply;
    r->ends++;
    reply_init(&reply, 200);
    buf_append_format(&reply.body, "%u %u ", r->heads, r->ends);
    buf_append(&reply.body, buf_span(&r->body));
    if (span_eq(buf_span(&exchange_target(x)->key), SPAN("headers")))
        exchange_each_header(x, note_header, &reply.body);
    exchange_reply(x, &reply);
}

static void on_close(struct exchange *x) {
    struct record *r = record_of(x);
    if (r == NULL)
        return;
    loop_cancel(loop, &r->more);
    buf_done(&r->body);
    free(r);
    atomic_fetch_add(&closed, 1);
}

static const struct exchange_handler handlers[] = {
    {.route = ROUTE_OBJECT,
     .methods = ROUTER_GET | ROUTER_PUT,
     .on_head = on_head,
     .on_body = on_body,
     .on_body_end = on_body_end,
     .on_close = on_close},
};

/* One worker and its clients */

static struct config config;
static struct auth *auth;
static struct worker *worker;

static int start(void **state) {
    struct error error;
    (void)state;
    config = (struct config){
        .cors_any = true,
        .max_connections = 100,
        .client_header_timeout_s = 10,
        .client_idle_timeout_s = 10,
    };
    auth = auth_new(NULL, 0);
    struct worker_options options = {&config, auth, handlers, 1};
    if (auth == NULL || worker_new(&options, &worker, &error) != ERR_OK)
        return -1;
    loop = worker_loop(worker);
    return worker_start(worker, &error) == ERR_OK ? 0 : -1;
}

static int stop(void **state) {
    (void)state;
    worker_stop(worker);
    worker_free(worker);
    auth_free(auth);
    return atomic_load(&opened) == atomic_load(&closed) ? 0 : -1;
}

/* A client's end of a connection that the worker has. */
static int connect_client(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof address;
    int one = 1;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &n), 0);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int served = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(served >= 0);
    close(listener);
    assert_int_equal(worker_adopt(worker, served, "127.0.0.1"), ERR_OK);
    return client;
}

static void send_pieces(int fd, struct span text, size_t piece) {
    while (text.n > 0) {
        size_t n = piece < text.n ? piece : text.n;
        assert_int_equal(send(fd, text.p, n, MSG_NOSIGNAL), n);
        text = span_from(text, n);
    }
}

/* Reads until the text was seen `times`, or to the end of the connection when times is 0. */
static void read_until(int fd, struct buf *answer, const char *text, unsigned times) {
    char piece[4096];
    for (;;) {
        unsigned seen = 0;
        for (const char *at = buf_text(answer); times > 0 && (at = strstr(at, text)) != NULL; at++)
            seen++;
        if (times > 0 && seen >= times)
            return;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, WAIT_MS) <= 0)
            fail_msg("no answer in time; so far: %s", buf_text(answer));
        ssize_t n = recv(fd, piece, sizeof piece, 0);
        if (n <= 0 && times == 0)
            return;
        if (n <= 0)
            fail_msg("closed; so far: %s", buf_text(answer));
        buf_append(answer, (struct span){piece, (size_t)n});
    }
}

static void expect_answer(struct span request, size_t piece, const char *want, unsigned times) {
    struct buf answer;
    int fd = connect_client();
    buf_init(&answer, ANSWER_MAX_BYTES);
    send_pieces(fd, request, piece);
    read_until(fd, &answer, want, times);
    buf_done(&answer);
    close(fd);
}

#define HEAD(key) "PUT /file/bucket/" key " HTTP/1.1\r\nHost: x\r\n"

static void a_body_of_known_length_arrives_whole_however_it_is_cut(void **state) {
    static const size_t pieces[] = {1, 2, 3, 7, 64, 1000};
    struct span request = SPAN(HEAD("a") "Content-Length: 26\r\n\r\nabcdefghijklmnopqrstuvwxyz");
    (void)state;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        expect_answer(request, pieces[i], "\r\n\r\n1 1 abcdefghijklmnopqrstuvwxyz", 1);
}

static void a_chunked_body_arrives_whole_however_it_is_cut(void **state) {
    static const size_t pieces[] = {1, 2, 5, 1000};
    struct span request =
        SPAN(HEAD("a") "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n15\r\nfghijklmnopqrstuvwxyz"
                       "\r\n0\r\n\r\n");
    (void)state;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        expect_answer(request, pieces[i], "\r\n\r\n1 1 abcdefghijklmnopqrstuvwxyz", 1);
}

static void a_handler_that_takes_one_byte_at_a_time_gets_all_of_them(void **state) {
    (void)state;
    expect_answer(SPAN(HEAD("slow") "Content-Length: 26\r\n\r\nabcdefghijklmnopqrstuvwxyz"), 1000,
                  "\r\n\r\n1 1 abcdefghijklmnopqrstuvwxyz", 1);
    expect_answer(SPAN(HEAD("slow") "Transfer-Encoding: chunked\r\n\r\n1a\r\n"
                                    "abcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n"),
                  3, "\r\n\r\n1 1 abcdefghijklmnopqrstuvwxyz", 1);
}

static void an_empty_body_ends_once(void **state) {
    (void)state;
    expect_answer(SPAN(HEAD("a") "Content-Length: 0\r\n\r\n"), 1, "\r\n\r\n1 1 ", 1);
    expect_answer(SPAN(HEAD("a") "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 1, "\r\n\r\n1 1 ",
                  1);
    expect_answer(SPAN("GET /file/bucket/a HTTP/1.1\r\nHost: x\r\n\r\n"), 1, "\r\n\r\n1 1 ", 1);
}

static void headers_are_visited_in_order_until_it_is_enough(void **state) {
    (void)state;
    expect_answer(SPAN("GET /file/bucket/headers HTTP/1.1\r\nHost: x\r\nA: 1\r\na:  2 \r\nEmpty:"
                       "\r\nLast: 3\r\nB: 4\r\n\r\n"),
                  1, "\r\n\r\n1 1 Host=x;A=1;a=2;Empty=;Last=3;", 1);
}

static void requests_in_a_row_are_answered_in_a_row(void **state) {
    struct span requests = SPAN(HEAD("a") "Content-Length: 3\r\n\r\none" HEAD(
        "slow") "Content-Length: 3\r\n\r\ntwo" HEAD("a") "Content-Length: 5\r\n\r\nthree");
    struct buf answer;
    (void)state;
    for (size_t piece = 1; piece < 200; piece += 66) {
        int fd = connect_client();
        buf_init(&answer, ANSWER_MAX_BYTES);
        send_pieces(fd, requests, piece);
        read_until(fd, &answer, "three", 1);
        const char *one = strstr(buf_text(&answer), "1 1 one");
        const char *two = strstr(buf_text(&answer), "1 1 two");
        const char *three = strstr(buf_text(&answer), "1 1 three");
        assert_true(one != NULL && two != NULL && three != NULL && one < two && two < three);
        buf_done(&answer);
        close(fd);
    }
}

static void a_refusal_is_read_by_a_client_that_still_sends(void **state) {
    static char body[100000];
    struct buf answer;
    int fd = connect_client();
    (void)state;
    buf_init(&answer, ANSWER_MAX_BYTES);
    send_pieces(fd, SPAN(HEAD("refused") "Content-Length: 100000\r\n\r\n"), 1);
    send_pieces(fd, (struct span){body, sizeof body}, 10000);
    read_until(fd, &answer, "", 0);
    assert_true(span_starts(buf_span(&answer), SPAN("HTTP/1.1 403 ")));
    assert_non_null(strstr(buf_text(&answer), "Connection: close\r\n"));
    assert_non_null(strstr(buf_text(&answer), "\"message\":\"Not here.\""));
    buf_done(&answer);
    close(fd);
}

static void what_the_http_library_lets_pass_is_refused_here(void **state) {
    static const char *const rows[] = {
        HEAD("a") "Host: y\r\nContent-Length: 0\r\n\r\n",
        HEAD("a") "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        HEAD("a") "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "PUT /file/bucket/%00 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        "PUT /file/bucket/%0a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        "PUT /file/bucket/.. HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    };
    unsigned before = atomic_load(&opened);
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_answer(span_of(rows[i]), 1000, "HTTP/1.1 400 ", 1);
    assert_int_equal(atomic_load(&opened), before);
}

static void a_client_that_goes_away_closes_its_exchange(void **state) {
    (void)state;
    for (int i = 0; i < 50; i++) {
        unsigned before = atomic_load(&opened);
        int fd = connect_client();
        send_pieces(fd, SPAN(HEAD("slow") "Content-Length: 100\r\n\r\nsome of it"), 1000);
        while (atomic_load(&opened) == before)
            usleep(100);
        close(fd);
    }
    for (int i = 0; i < WAIT_MS && atomic_load(&closed) != atomic_load(&opened); i++)
        usleep(1000);
    assert_int_equal(atomic_load(&closed), atomic_load(&opened));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_of_known_length_arrives_whole_however_it_is_cut),
        cmocka_unit_test(a_chunked_body_arrives_whole_however_it_is_cut),
        cmocka_unit_test(a_handler_that_takes_one_byte_at_a_time_gets_all_of_them),
        cmocka_unit_test(an_empty_body_ends_once),
        cmocka_unit_test(headers_are_visited_in_order_until_it_is_enough),
        cmocka_unit_test(requests_in_a_row_are_answered_in_a_row),
        cmocka_unit_test(a_refusal_is_read_by_a_client_that_still_sends),
        cmocka_unit_test(what_the_http_library_lets_pass_is_refused_here),
        cmocka_unit_test(a_client_that_goes_away_closes_its_exchange),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, start, stop);
}

/* The shipper whose n-th allocation fails, for n = 1, 2, … until the run passes: each time it either
 * does not start, or every line is delivered or counted as dropped, and nothing leaks. What it does
 * with all kinds of answers is in tests/e2e/test_cloudwatch.py. */
#include "fileservice/logs/cloudwatch.h"

#include "failing.h"
#include "stand_in.h"

#include "fileservice/net/transport.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define LINES 40 /* of each stream */
#define FLUSH_MS 10000

/* Waits between two tries take a 50th of their time; the flush's own limit stays. */
enum err __real_loop_timer_start(struct loop *l, struct loop_timer *timer, uint64_t delay_ms);
enum err __wrap_loop_timer_start(struct loop *l, struct loop_timer *timer, uint64_t delay_ms);
enum err __wrap_loop_timer_start(struct loop *l, struct loop_timer *timer, uint64_t delay_ms) {
    bool waits = delay_ms >= 50 && delay_ms < FLUSH_MS;
    return __real_loop_timer_start(l, timer, waits ? delay_ms / 50 : delay_ms);
}

/* CloudWatch, in a thread of its own: it knows what was made, and counts lines. */

static atomic_bool group_is_there;
static atomic_bool stream_is_there[LOG_STREAM_COUNT];
static atomic_uint stored;

static void say(struct buf *out, int status, const char *body) {
    buf_append_format(out,
                      "HTTP/1.1 %d X\r\nx-amzn-RequestId: 1\r\nContent-Length: %zu\r\n"
                      "Connection: close\r\n\r\n%s",
                      status, strlen(body), body);
}

static bool holds(struct span body, const char *text) {
    return memmem(body.p, body.n, text, strlen(text)) != NULL;
}

static unsigned count_events(struct span body) {
    static const char mark[] = "\"timestamp\":";
    unsigned n = 0;
    const char *at = body.p;
    while ((at = memmem(at, body.n - (size_t)(at - body.p), mark, sizeof mark - 1)) != NULL) {
        n++;
        at += sizeof mark - 1;
    }
    return n;
}

static void answer(void *context, const struct stand_in_request *r, struct buf *out) {
    (void)context;
    failing_leave_out_thread();
    struct span target = stand_in_header(r, "x-amz-target");
    size_t stream =
        holds(r->body, "\"logStreamName\":\"service\"") ? LOG_STREAM_SERVICE : LOG_STREAM_DEFAULT;
    bool found = atomic_load(&group_is_there) &&
                 (span_ends(target, SPAN("CreateLogStream")) || stream_is_there[stream]);
    if (span_ends(target, SPAN("CreateLogGroup"))) {
        atomic_store(&group_is_there, true);
    } else if (!span_ends(target, SPAN("PutRetentionPolicy")) && !found) {
        say(out, 400, "{\"__type\":\"ResourceNotFoundException\",\"message\":\"none\"}");
        return;
    } else if (span_ends(target, SPAN("CreateLogStream"))) {
        atomic_store(&stream_is_there[stream], true);
    } else if (span_ends(target, SPAN("PutLogEvents"))) {
        atomic_fetch_add(&stored, count_events(r->body));
    }
    say(out, 200, "{}");
}

/* One run */

static struct stand_in *server;
static struct credentials_source *credentials;
static atomic_uint told;

static void on_outage(const struct error *error) {
    assert_int_not_equal(error->err, ERR_OK);
    atomic_fetch_add(&told, 1);
}

static void write_lines(struct logs_cloudwatch *c) {
    static char filling[3000];
    struct log_sink sink = logs_cloudwatch_sink(c);
    memset(filling, 'x', sizeof filling);
    for (int64_t i = 0; i < LINES; i++)
        for (int stream = 0; stream < LOG_STREAM_COUNT; stream++) {
            struct log_line line = {
                1700000000000 + i, LOG_INFO, (enum log_stream)stream, {filling, sizeof filling}};
            sink.write(sink.context, &line);
        }
}

static void wait_flushed(struct logs_cloudwatch *c) {
    struct timespec moment = {0, 200000};
    for (unsigned i = 0; i < 100000 && !logs_cloudwatch_is_flushed(c); i++)
        nanosleep(&moment, NULL);
    assert_true(logs_cloudwatch_is_flushed(c));
}

static void check(struct logs_cloudwatch *c, bool failed) {
    struct logs_cloudwatch_counts n = logs_cloudwatch_counts(c);
    assert_int_equal(n.produced, LINES * LOG_STREAM_COUNT);
    if (n.delivered + n.dropped != n.produced)
        fail_msg("allocation %u: %d delivered, %d dropped", failing_which(), (int)n.delivered,
                 (int)n.dropped);
    assert_int_equal(n.queue_bytes, 0);
    assert_true(atomic_load(&stored) >= n.delivered);
    assert_true(failed || n.dropped == 0);
    /* One failure costs the lines that there was no memory for, and no others. */
    assert_true(n.dropped <= 1);
}

/* Returns whether the n-th allocation was reached. */
static bool fail_nth(unsigned n) {
    struct logs_cloudwatch_options options = {
        .endpoint = {.host = "127.0.0.1", .port = stand_in_port(server)},
        .region = "us-east-1",
        .group = "group",
        .retention_days = 30,
        .queue_bytes = 1 << 20,
        .credentials = credentials,
        .connect_ms = 5000,
        .silence_ms = 5000,
        .on_outage = on_outage,
    };
    struct logs_cloudwatch *c = NULL;
    struct error error = {.err = ERR_OK};
    atomic_store(&group_is_there, false);
    for (size_t i = 0; i < LOG_STREAM_COUNT; i++)
        atomic_store(&stream_is_there[i], false);
    atomic_store(&stored, 0);
    failing_begin(n);
    enum err e = logs_cloudwatch_start(&options, &c, &error);
    if (e == ERR_OK) {
        write_lines(c);
        logs_cloudwatch_flush(c, FLUSH_MS);
        wait_flushed(c);
    }
    bool reached = failing_end();
    if (e == ERR_OK)
        check(c, reached);
    else
        assert_true(reached && error.err == e && error.message[0] != '\0');
    logs_cloudwatch_free(c);
    return reached;
}

static void any_allocation_may_fail(void **state) {
    (void)state;
    assert_false(fail_nth(0)); /* and the server's thread is known from now on */
    unsigned n = 1;
    while (fail_nth(n))
        n++;
    print_message("%u allocations\n", n - 1);
    assert_true(n > 50);
    assert_int_equal(atomic_load(&told), 0); /* one failure is no outage */
}

static int start(void **state) {
    struct error error;
    struct credentials_options options = {
        .access_key_id = "AKID", .secret_access_key = "secret", .region = "us-east-1"};
    (void)state;
    server = stand_in_start(answer, NULL);
    return server == NULL || transport_global_init() != ERR_OK ||
           credentials_source_start(&options, &credentials, &error) != ERR_OK;
}

static int stop(void **state) {
    (void)state;
    credentials_source_stop(credentials);
    stand_in_stop(server);
    transport_global_done();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_allocation_may_fail)};
    return cmocka_run_group_tests(tests, start, stop);
}

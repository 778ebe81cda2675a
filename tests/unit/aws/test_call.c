/* What a call reports when it ends, against a scripted server: each call once, before its owner is
 * told, with what the last try brought. */
#include "fileservice/aws/call.h"

#include "fileservice/base/clock.h"

#include "stand_in.h"

#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define OPERATION 7
#define RUN_MAX_MS 20000
#define READER_PAUSE_MS 100
#define FAILED "HTTP/1.1 503 Scripted\r\nx-amz-request-id: FAILED\r\nContent-Length: 0\r\n\r\n"
#define GOOD "HTTP/1.1 200 Scripted\r\nx-amz-request-id: GOOD\r\nContent-Length: 4\r\n\r\nbody"
#define DENIED "HTTP/1.1 403 Scripted\r\nx-amz-request-id: DENIED\r\nContent-Length: 0\r\n\r\n"
#define BROKEN "HTTP/1.1 200 Scripted\r\nx-amz-request-id: BROKEN\r\nContent-Length: 9\r\n\r\nbody"
#define NAMELESS "HTTP/1.1 200 Scripted\r\nContent-Length: 0\r\n\r\n"
#define LATER                                                                                      \
    "HTTP/1.1 503 Scripted\r\nx-amz-request-id: FAILED\r\nx-amz-retry-after: 5000\r\n"             \
    "Content-Length: 0\r\n\r\n"
#define SILENT "" /* the connection is closed without a word */

static struct stand_in *server;
static struct credentials_source *credentials;
static struct credentials_source *no_credentials;
static const char *const *_Atomic script; /* answers, one after the other; the last is repeated */
static atomic_uint asked;
static sem_t held; /* an answer of NULL waits for it, and says nothing */
static atomic_bool is_holding;

static void answer(void *context, const struct stand_in_request *r, struct buf *out) {
    (void)context;
    (void)r;
    unsigned i = atomic_fetch_add(&asked, 1);
    const char *const *answers = atomic_load(&script);
    const char *text = answers[0];
    for (unsigned at = 0; at < i && answers[at + 1] != NULL; at++)
        text = answers[at + 1];
    if (text == NULL) {
        atomic_store(&is_holding, true);
        while (sem_wait(&held) != 0)
            continue;
    } else {
        buf_append_text(out, text);
    }
}

/* One run */

struct run {
    struct loop *loop;
    struct aws_client client;
    struct aws_call *call;
    struct loop_timer look; /* ends a run that hangs, and cancels when it is time */
    unsigned looks;
    bool (*is_time)(const struct run *r); /* to cancel; NULL: never */

    unsigned reports; /* what was told */
    unsigned dones;
    unsigned dones_at_report;
    struct aws_report report; /* its pointers point below */
    struct trace trace;
    struct error error;
    char request_id[64];
    enum err done_err;

    uint64_t head_us; /* as the sink saw it */
    unsigned pauses;
    struct loop_timer pause;
};

static void on_call(void *context, const struct aws_report *report) {
    struct run *r = context;
    assert_non_null(report->trace);
    assert_non_null(report->error);
    assert_true(report->request_id.n < sizeof r->request_id);
    r->reports++;
    r->dones_at_report = r->dones;
    r->report = *report;
    r->trace = *report->trace;
    r->error = *report->error;
    memcpy(r->request_id, report->request_id.p, report->request_id.n);
    r->request_id[report->request_id.n] = '\0';
}

static enum err judge(void *context, const struct aws_response *response, struct error *error,
                      enum retry_kind *retry) {
    (void)context;
    (void)retry;
    if (response->status < 300)
        return ERR_OK;
    return error_set(error, response->status == 403 ? ERR_DENIED : ERR_UPSTREAM, "status %d",
                     response->status);
}

static void on_done(void *context, enum err e, const struct aws_response *response,
                    const struct error *error) {
    struct run *r = context;
    (void)response;
    (void)error;
    r->dones++;
    r->done_err = e;
    r->call = NULL;
    loop_stop(r->loop);
}

static void look_fired(struct loop_timer *timer) {
    struct run *r = CONTAINER_OF(timer, struct run, look);
    if (++r->looks > RUN_MAX_MS)
        fail_msg("the run does not end");
    if (r->is_time != NULL && r->is_time(r)) {
        aws_call_cancel(r->call);
        r->call = NULL;
        loop_stop(r->loop);
        return;
    }
    assert_int_equal(loop_timer_start(r->loop, timer, 1), ERR_OK);
}

static void run_init(struct run *r, const char *const *answers) {
    struct error error;
    memset(r, 0, sizeof *r);
    atomic_store(&script, answers);
    atomic_store(&asked, 0);
    atomic_store(&is_holding, false);
    assert_int_equal(loop_new(&r->loop, &error), ERR_OK);
    r->look.fire = look_fired;
    r->client = (struct aws_client){
        .loop = r->loop,
        .credentials = credentials,
        .service = "s3",
        .region = "us-east-1",
        .max_attempts = 3,
        .connect_ms = 5000,
        .silence_ms = 10000,
        .on_call = on_call,
        .on_call_context = r,
    };
    retry_bucket_init(&r->client.bucket);
    assert_int_equal(transport_new(r->loop, 4, &r->client.transport, &error), ERR_OK);
}

static enum err start(struct run *r, const struct transport_sink *sink, const struct trace *trace,
                      size_t header_count) {
    static const struct sigv4_pair headers[AWS_CALL_HEADERS_MAX + 1];
    struct url_endpoint endpoint = {.host = "127.0.0.1", .port = stand_in_port(server)};
    struct aws_request request = {
        .method = "GET",
        .endpoint = &endpoint,
        .path = SPAN("/bucket/key"),
        .headers = headers,
        .header_count = header_count,
        .sink = sink,
        .operation = OPERATION,
        .trace = trace,
    };
    return aws_call_start(&r->client, &request, judge, on_done, r, &r->call);
}

static void run(struct run *r, const struct transport_sink *sink) {
    struct trace trace = {"request", "trace", "parent"};
    uint64_t before_us = clock_monotonic_us();
    assert_int_equal(start(r, sink, &trace, 0), ERR_OK);
    memset(&trace, 'x', sizeof trace); /* it is copied */
    assert_int_equal(loop_timer_start(r->loop, &r->look, 0), ERR_OK);
    loop_run(r->loop);
    assert_true(r->report.duration_us <= clock_monotonic_us() - before_us);
    assert_int_equal(r->reports, 1);
    assert_int_equal(r->dones_at_report, 0);
    assert_int_equal(r->report.operation, OPERATION);
    assert_string_equal(r->trace.request_id, "request");
    assert_string_equal(r->trace.trace_id, "trace");
    assert_string_equal(r->trace.parent_id, "parent");
    assert_int_equal(r->error.err, r->report.err);
    assert_int_equal(r->error.message[0] == '\0', r->report.err == ERR_OK);
}

static void run_done(struct run *r) {
    loop_timer_stop(r->loop, &r->look);
    loop_timer_stop(r->loop, &r->pause);
    transport_free(r->client.transport);
    aws_client_done(&r->client);
    loop_free(r->loop);
}

/* Calls that end by themselves */

static void a_report_says_what_the_last_try_brought(void **state) {
    static const struct {
        const char *name;
        const char *const answers[4];
        enum err err;
        int status;
        unsigned attempts;
        const char *request_id;
    } rows[] = {
        {"success", {GOOD}, ERR_OK, 200, 1, "GOOD"},
        {"success after a failure", {FAILED, GOOD}, ERR_OK, 200, 2, "GOOD"},
        {"success after silence", {SILENT, SILENT, GOOD}, ERR_OK, 200, 3, "GOOD"},
        {"without an id", {FAILED, NAMELESS}, ERR_OK, 200, 2, ""},
        {"a failure that stays one", {DENIED}, ERR_DENIED, 403, 1, "DENIED"},
        {"a failure that is tried again", {FAILED}, ERR_UPSTREAM, 503, 3, "FAILED"},
        {"another one at last", {FAILED, DENIED}, ERR_DENIED, 403, 2, "DENIED"},
        {"silence", {SILENT}, ERR_UNREACHABLE, 0, 3, ""},
        {"silence at last", {FAILED, SILENT}, ERR_UNREACHABLE, 0, 3, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct run r;
        run_init(&r, rows[i].answers);
        run(&r, NULL);
        assert_int_equal(r.dones, 1);
        assert_int_equal(r.done_err, rows[i].err);
        assert_int_equal(r.report.err, rows[i].err);
        assert_int_equal(r.report.status, rows[i].status);
        assert_int_equal(r.report.attempts, rows[i].attempts);
        assert_string_equal(r.request_id, rows[i].request_id);
        run_done(&r);
    }
}

static void a_call_that_cannot_be_signed_is_reported(void **state) {
    static const char *const answers[] = {GOOD, NULL};
    struct run r;
    (void)state;
    run_init(&r, answers);
    r.client.credentials = no_credentials;
    run(&r, NULL);
    assert_int_equal(r.report.err, ERR_CREDENTIALS);
    assert_int_equal(r.report.attempts, 0);
    assert_int_equal(r.report.status, 0);
    assert_int_equal(atomic_load(&asked), 0);
    run_done(&r);
}

static void a_call_for_nobody_has_an_empty_trace(void **state) {
    static const char *const answers[] = {GOOD, NULL};
    static const struct trace nobody;
    struct run r;
    (void)state;
    run_init(&r, answers);
    assert_int_equal(start(&r, NULL, NULL, 0), ERR_OK);
    loop_run(r.loop);
    assert_int_equal(r.reports, 1);
    assert_memory_equal(&r.trace, &nobody, sizeof nobody);
    run_done(&r);
}

static void nobody_has_to_be_told(void **state) {
    static const char *const answers[] = {GOOD, NULL};
    struct run r;
    (void)state;
    run_init(&r, answers);
    r.client.on_call = NULL;
    assert_int_equal(start(&r, NULL, NULL, 0), ERR_OK);
    loop_run(r.loop);
    assert_int_equal(r.dones, 1);
    assert_int_equal(start(&r, NULL, NULL, 0), ERR_OK);
    aws_call_cancel(r.call);
    run_done(&r);
}

static void a_call_that_does_not_start_is_none(void **state) {
    static const char *const answers[] = {GOOD, NULL};
    struct run r;
    (void)state;
    run_init(&r, answers);
    assert_int_equal(start(&r, NULL, NULL, AWS_CALL_HEADERS_MAX + 1), ERR_LIMIT);
    assert_int_equal(r.reports, 0);
    run_done(&r);
}

/* Calls that are cancelled */

static bool while_held(const struct run *r) {
    (void)r;
    return atomic_load(&is_holding);
}
static bool between_tries(const struct run *r) {
    return r->client.bucket.tokens < RETRY_BUCKET_MAX;
}

static void check_cancelled(struct run *r, int status, unsigned attempts, const char *request_id) {
    assert_int_equal(r->dones, 0);
    assert_int_equal(r->report.err, ERR_CANCELLED);
    assert_int_equal(r->report.status, status);
    assert_int_equal(r->report.attempts, attempts);
    assert_string_equal(r->request_id, request_id);
    run_done(r);
}

static void a_call_cancelled_before_it_was_sent_had_no_try(void **state) {
    static const char *const answers[] = {GOOD, NULL};
    struct run r;
    struct trace trace = {"request", "", ""};
    (void)state;
    run_init(&r, answers);
    assert_int_equal(start(&r, NULL, &trace, 0), ERR_OK);
    aws_call_cancel(r.call);
    assert_int_equal(r.reports, 1);
    assert_string_equal(r.trace.request_id, "request");
    check_cancelled(&r, 0, 0, "");
}

static void a_call_cancelled_while_s3_thinks_had_no_answer(void **state) {
    static const char *const answers[] = {NULL, NULL};
    struct run r;
    (void)state;
    run_init(&r, answers);
    r.is_time = while_held;
    run(&r, NULL);
    sem_post(&held);
    check_cancelled(&r, 0, 1, "");
}

static void a_call_cancelled_between_tries_says_how_the_first_ended(void **state) {
    static const char *const answers[] = {LATER, NULL};
    struct run r;
    (void)state;
    run_init(&r, answers);
    r.is_time = between_tries;
    run(&r, NULL);
    check_cancelled(&r, 503, 1, "FAILED");
}

/* Calls whose answer goes to a sink */

static bool sink_head(void *context, int status, struct span head) {
    struct run *r = context;
    (void)head;
    assert_int_equal(status, 200);
    r->head_us = clock_monotonic_us();
    return true;
}

/* Takes nothing at first. */
static bool sink_data(void *context, struct span data) {
    struct run *r = context;
    (void)data;
    if (r->pauses++ > 0)
        return true;
    assert_int_equal(loop_timer_start(r->loop, &r->pause, READER_PAUSE_MS), ERR_OK);
    return false;
}

static void pause_fired(struct loop_timer *timer) {
    struct run *r = CONTAINER_OF(timer, struct run, pause);
    aws_call_resume(r->call);
}

static bool no_head(void *context, int status, struct span head) {
    (void)context;
    (void)status;
    (void)head;
    return false;
}

static bool when_paused(const struct run *r) { return r->pauses > 0; }

static void run_streamed(struct run *r, const char *const *answers, bool cancel) {
    struct transport_sink sink = {sink_head, sink_data, r};
    run_init(r, answers);
    r->pause.fire = pause_fired;
    r->is_time = cancel ? when_paused : NULL;
    uint64_t before_us = clock_monotonic_us();
    run(r, &sink);
    assert_true(r->report.duration_us <= r->head_us - before_us);
    assert_true(cancel || clock_monotonic_us() - r->head_us >= (READER_PAUSE_MS - 1) * 1000);
    assert_int_equal(r->report.status, 200);
}

static void a_slow_reader_is_not_counted(void **state) {
    static const char *const answers[] = {FAILED, GOOD, NULL};
    struct run r;
    (void)state;
    run_streamed(&r, answers, false);
    assert_int_equal(r.report.err, ERR_OK);
    assert_int_equal(r.report.attempts, 2);
    assert_string_equal(r.request_id, "GOOD");
    run_done(&r);
}

static void a_stream_that_breaks_off_keeps_what_its_head_said(void **state) {
    static const char *const answers[] = {BROKEN, NULL};
    struct run r;
    (void)state;
    run_streamed(&r, answers, false);
    assert_int_equal(r.report.err, ERR_UNREACHABLE);
    assert_int_equal(r.report.attempts, 1);
    assert_string_equal(r.request_id, "BROKEN");
    run_done(&r);
}

static void a_stream_whose_reader_goes_is_cancelled(void **state) {
    static const char *const answers[] = {GOOD, NULL};
    struct run r;
    (void)state;
    run_streamed(&r, answers, true);
    check_cancelled(&r, 200, 1, "GOOD");
}

static void a_sink_that_wants_nothing_cancels(void **state) {
    static const char *const answers[] = {GOOD, NULL};
    struct transport_sink sink = {no_head, sink_data, NULL};
    struct run r;
    (void)state;
    run_init(&r, answers);
    run(&r, &sink);
    assert_int_equal(r.dones, 1);
    assert_int_equal(r.report.err, ERR_CANCELLED);
    assert_int_equal(r.report.status, 200);
    run_done(&r);
}

static void a_failure_of_a_call_with_a_sink_is_tried_again(void **state) {
    static const char *const answers[] = {FAILED, NULL};
    struct run r;
    struct transport_sink sink = {sink_head, sink_data, &r};
    (void)state;
    run_init(&r, answers);
    run(&r, &sink);
    assert_int_equal(r.report.err, ERR_UPSTREAM);
    assert_int_equal(r.report.status, 503);
    assert_int_equal(r.report.attempts, 3);
    assert_string_equal(r.request_id, "FAILED");
    run_done(&r);
}

static const char *nothing_set(void *context, const char *name) {
    (void)context;
    return strcmp(name, "AWS_EC2_METADATA_DISABLED") == 0 ? "true" : NULL;
}

static int set_up(void **state) {
    struct credentials_options options = {
        .access_key_id = "AKID", .secret_access_key = "secret", .region = "us-east-1"};
    struct credentials_options none = {.region = "us-east-1", .get = nothing_set};
    struct error error;
    (void)state;
    if (transport_global_init() != ERR_OK || sem_init(&held, 0, 0) != 0)
        return -1;
    server = stand_in_start(answer, NULL);
    return server != NULL && credentials_source_start(&options, &credentials, &error) == ERR_OK &&
                   credentials_source_start(&none, &no_credentials, &error) == ERR_OK
               ? 0
               : -1;
}

static int tear_down(void **state) {
    (void)state;
    stand_in_stop(server);
    credentials_source_stop(credentials);
    credentials_source_stop(no_credentials);
    transport_global_done();
    sem_destroy(&held);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_says_what_the_last_try_brought),
        cmocka_unit_test(a_call_that_cannot_be_signed_is_reported),
        cmocka_unit_test(a_call_for_nobody_has_an_empty_trace),
        cmocka_unit_test(nobody_has_to_be_told),
        cmocka_unit_test(a_call_that_does_not_start_is_none),
        cmocka_unit_test(a_call_cancelled_before_it_was_sent_had_no_try),
        cmocka_unit_test(a_call_cancelled_while_s3_thinks_had_no_answer),
        cmocka_unit_test(a_call_cancelled_between_tries_says_how_the_first_ended),
        cmocka_unit_test(a_slow_reader_is_not_counted),
        cmocka_unit_test(a_stream_that_breaks_off_keeps_what_its_head_said),
        cmocka_unit_test(a_stream_whose_reader_goes_is_cancelled),
        cmocka_unit_test(a_sink_that_wants_nothing_cancels),
        cmocka_unit_test(a_failure_of_a_call_with_a_sink_is_tried_again),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

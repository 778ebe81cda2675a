#include "exchange_mhd.h"

#include "request.h"
#include "stream.h"

#include "fileservice/base/clock.h"
#include "fileservice/base/log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "fileservice/base/banned.h"

#define EXCHANGE_DRAIN_MAX_BYTES 33554432 /* 32 MiB of a body that nobody wants */
#define EXCHANGE_DRAIN_MAX_MS 5000
#define EXCHANGE_UNWANTED_BODY_MAX_BYTES 1048576 /* body of a request that needs none */
#define EXCHANGE_RAW_ANSWER_MAX_BYTES 65536
#define EXCHANGE_STREAM_BLOCK_BYTES 65536 /* what MHD takes of a stream, and sends, at once */
#define STATUS_CLIENT_GONE 499 /* no status was sent; nginx's number, known to log readers */

enum exchange_state {
    STATE_HEAD,  /* request line and headers are looked at */
    STATE_BODY,  /* pieces of the body come */
    STATE_DRAIN, /* answered by our own hand; what still comes is thrown away */
    STATE_WAIT,  /* the body is whole; the handler works */
    STATE_REPLY, /* MHD has the answer, or takes it from the stream */
};

struct exchange {
    struct http_context *http;
    struct connection *connection;
    struct MHD_Connection *mhd;
    enum exchange_state state;
    bool suspended;

    char *raw_target;
    struct router_target target;
    enum router_method method;
    struct trace trace;                     /* with the request id */
    const struct exchange_handler *handler; /* NULL until routed */
    void *handler_state;

    bool chunked;
    bool length_known;
    uint64_t length;
    uint64_t received;
    uint64_t drained;
    size_t unread;          /* what MHD offered and we left, while suspended */
    uint64_t held_since_ms; /* when suspended for back-pressure; 0 otherwise */
    uint64_t held_ms;       /* since it was taken last */

    bool has_reply;
    struct reply reply;
    size_t reply_bytes;
    struct stream stream;    /* of an answer that comes piece by piece */
    struct loop_task room;   /* tells the handler that the stream takes bytes again */
    struct loop_task answer; /* acts on a reply that came while the body still comes */
    struct loop_timer drain_deadline;

    uint64_t started_us;
    char s3_request_id[ERROR_REQUEST_ID_MAX_BYTES];
};

/* What handlers ask */

enum router_method exchange_method(const struct exchange *x) { return x->method; }
const struct router_target *exchange_target(const struct exchange *x) { return &x->target; }
bool exchange_length_known(const struct exchange *x) { return x->length_known; }
uint64_t exchange_length(const struct exchange *x) { return x->length; }
const char *exchange_request_id(const struct exchange *x) { return x->trace.request_id; }
const struct trace *exchange_trace(const struct exchange *x) { return &x->trace; }
void *exchange_app(const struct exchange *x) { return x->http->app; }
void exchange_set_state(struct exchange *x, void *state) { x->handler_state = state; }
void *exchange_state(const struct exchange *x) { return x->handler_state; }

struct span exchange_header(const struct exchange *x, const char *name) {
    const char *value = NULL;
    size_t n = 0;
    if (MHD_lookup_connection_value_n(x->mhd, MHD_HEADER_KIND, name, strlen(name), &value, &n) !=
        MHD_YES)
        return (struct span){NULL, 0};
    return (struct span){value, n};
}

struct visit {
    bool (*each)(void *context, struct span name, struct span value);
    void *context;
};

static enum MHD_Result visit_header(void *context, enum MHD_ValueKind kind, const char *name,
                                    size_t name_n, const char *value, size_t value_n) {
    const struct visit *v = context;
    (void)kind;
    return v->each(v->context, (struct span){name, name_n}, (struct span){value, value_n}) ? MHD_YES
                                                                                           : MHD_NO;
}

void exchange_each_header(const struct exchange *x,
                          bool (*each)(void *context, struct span name, struct span value),
                          void *context) {
    struct visit v = {each, context};
    MHD_get_connection_values_n(x->mhd, MHD_HEADER_KIND, visit_header, &v);
}

void exchange_note_s3_request_id(struct exchange *x, const char *id) {
    size_t n = strnlen(id, sizeof x->s3_request_id - 1);
    memcpy(x->s3_request_id, id, n);
    x->s3_request_id[n] = '\0';
}

/* Holding a client back */

static void suspend(struct exchange *x) {
    x->suspended = true;
    MHD_suspend_connection(x->mhd);
}

static void resume(struct exchange *x) {
    if (!x->suspended)
        return;
    x->suspended = false;
    if (x->held_since_ms != 0)
        x->held_ms += loop_now_ms(x->http->loop) - x->held_since_ms;
    x->held_since_ms = 0;
    x->unread = 0;
    MHD_resume_connection(x->mhd);
    /* MHD's descriptor does not become ready by a resume: the next wait must not block. */
    x->http->mhd_due = true;
}

void exchange_release(struct exchange *x) { resume(x); }

void exchange_continue(struct exchange *x) {
    if (x->state == STATE_BODY)
        resume(x);
}

bool exchange_streams(const struct exchange *x) {
    return x->state == STATE_REPLY && x->stream.ring != NULL;
}
uint64_t exchange_streamed(const struct exchange *x) { return x->stream.taken; }

bool exchange_is_in_head(const struct exchange *x) { return x->state == STATE_HEAD; }

bool exchange_awaits_body(const struct exchange *x) {
    return (x->state == STATE_BODY || x->state == STATE_DRAIN) && (x->chunked || x->length > 0);
}
uint64_t exchange_received(const struct exchange *x) { return x->received + x->drained; }
size_t exchange_unread(const struct exchange *x) { return x->unread; }
bool exchange_is_chunked(const struct exchange *x) { return x->chunked; }

uint64_t exchange_take_held_ms(struct exchange *x) {
    uint64_t now = loop_now_ms(x->http->loop);
    uint64_t held = x->held_ms;
    if (x->held_since_ms != 0) {
        held += now - x->held_since_ms;
        x->held_since_ms = now;
    }
    x->held_ms = 0;
    return held;
}

/* Answering */

static void add_cors(void *context, const char *name, const char *value) {
    reply_header(context, name, span_of(value));
}

/* What every answer says, whoever made it. */
static void complete_reply(struct exchange *x, struct reply *r) {
    const struct http_context *http = x->http;
    bool preflight = x->method == ROUTER_OPTIONS;
    reply_header(r, "X-Request-Id", span_of(x->trace.request_id));
    reply_header(r, "X-Content-Type-Options", SPAN("nosniff"));
    enum err e = cors_answer(&http->cors, exchange_header(x, "Origin"), preflight,
                             exchange_header(x, "Access-Control-Request-Headers"), add_cors, r);
    if (http->draining)
        reply_header(r, "Connection", SPAN("close"));
    if (e != ERR_OK && r->error.err == ERR_OK)
        r->error.err = e;
}

void exchange_reply(struct exchange *x, struct reply *reply) {
    if (x->has_reply) {
        reply_done(reply);
        return;
    }
    struct error failed = {.err = ERR_OK};
    if (buf_error(&reply->body) != ERR_OK || buf_error(&reply->headers) != ERR_OK) {
        error_set(&failed, ERR_NO_MEMORY, "The answer could not be built.");
        reply_error(reply, &failed, x->trace.request_id);
    }
    complete_reply(x, reply);
    x->reply = *reply;
    reply_init(reply, 0);
    x->has_reply = true;
    if (x->state == STATE_BODY)
        loop_post(x->http->loop, &x->answer);
    else if (x->state == STATE_WAIT)
        resume(x);
}

void exchange_fail(struct exchange *x, const struct error *error) {
    struct reply r;
    reply_init(&r, 500);
    reply_error(&r, error, x->trace.request_id);
    exchange_reply(x, &r);
}

static void fail(struct exchange *x, enum err err, const char *code, const char *sentence) {
    struct error error;
    error_set(&error, err, "%s", sentence);
    memcpy(error.code, code, strlen(code) + 1);
    exchange_fail(x, &error);
}

static void add_to_response(void *context, const char *name, const char *value) {
    MHD_add_response_header(context, name, value);
}

/* MHD asks for the next bytes of a stream. */
static ssize_t read_stream(void *context, uint64_t position, char *out, size_t max) {
    struct exchange *x = context;
    (void)position;
    if (x->connection->broken)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    size_t n = stream_take(&x->stream, out, max);
    http_metrics_sent(x->http->metrics, n);
    if (n == 0) {
        x->held_since_ms = loop_now_ms(x->http->loop);
        suspend(x);
    }
    if (stream_has_room(&x->stream))
        loop_post(x->http->loop, &x->room);
    return (ssize_t)n;
}

static void room_run(struct loop_task *task) {
    struct exchange *x = CONTAINER_OF(task, struct exchange, room);
    x->handler->on_room(x);
}

bool exchange_stream(struct exchange *x, struct reply *reply, uint64_t length) {
    unsigned status = reply->status;
    bool begun = !x->has_reply && x->state == STATE_WAIT;
    if (begun && stream_begin(&x->stream, length) != ERR_OK)
        fail(x, ERR_NO_MEMORY, "ServiceUnavailable", "There is no memory for this answer.");
    exchange_reply(x, reply); /* thrown away after a failure, or turned into one */
    begun = begun && x->reply.status == status;
    if (!begun)
        stream_done(&x->stream);
    return begun;
}

bool exchange_write(struct exchange *x, struct span data) {
    bool taken = stream_put(&x->stream, data);
    if (x->state == STATE_REPLY)
        resume(x);
    return taken;
}

void exchange_cut(struct exchange *x, const struct error *error) {
    x->reply.error = *error;
    connection_break(x->connection);
}

static struct MHD_Response *make_response(struct exchange *x) {
    struct reply *r = &x->reply;
    size_t n = r->body.n;
    if (x->stream.ring != NULL && x->stream.length > 0)
        return MHD_create_response_from_callback(x->stream.length, EXCHANGE_STREAM_BLOCK_BYTES,
                                                 read_stream, x, NULL);
    char *body = buf_steal(&r->body);
    struct MHD_Response *response =
        n == 0
            ? MHD_create_response_empty(r->status == 304 ? MHD_RF_HEAD_ONLY_RESPONSE : MHD_RF_NONE)
            : MHD_create_response_from_buffer_with_free_callback(n, body, free);
    if (response == NULL || n == 0)
        free(body);
    return response;
}

/* Gives the answer to MHD: only in its first call, or after the whole body. */
static enum MHD_Result queue_reply(struct exchange *x) {
    struct reply *r = &x->reply;
    x->state = STATE_REPLY;
    x->reply_bytes = x->method == ROUTER_HEAD ? 0 : r->body.n;
    struct MHD_Response *response = make_response(x);
    if (response == NULL)
        return MHD_NO;
    reply_each_header(r, add_to_response, response);
    enum MHD_Result queued = MHD_queue_response(x->mhd, r->status, response);
    MHD_destroy_response(response);
    if (queued == MHD_YES && x->stream.ring != NULL)
        connection_stream_began(x->connection);
    return queued;
}

static void add_to_text(void *context, const char *name, const char *value) {
    if (span_eq_nocase(span_of(name), SPAN("Connection")))
        return;
    buf_append_format(context, "%s: %s\r\n", name, value);
}

/* The whole answer by our own hand; false when the socket does not take all of it at once. */
static bool send_reply(struct exchange *x) {
    struct reply *r = &x->reply;
    struct buf text;
    buf_init(&text, EXCHANGE_RAW_ANSWER_MAX_BYTES);
    buf_append_format(&text, "HTTP/1.1 %u %s\r\n", r->status, MHD_get_reason_phrase_for(r->status));
    reply_each_header(r, add_to_text, &text);
    buf_append_format(&text, "Content-Length: %zu\r\nConnection: close\r\n\r\n", r->body.n);
    if (x->method != ROUTER_HEAD)
        buf_append(&text, buf_span(&r->body));
    x->state = STATE_DRAIN;
    x->reply_bytes = r->body.n;
    ssize_t sent = -1;
    if (buf_error(&text) == ERR_OK)
        sent = send(x->connection->fd, text.p, text.n, MSG_NOSIGNAL | MSG_DONTWAIT);
    bool whole = sent >= 0 && (size_t)sent == text.n;
    buf_done_secret(&text);
    return whole;
}

/* MHD cannot answer while a body comes, and cutting the connection gives the client a broken pipe in
 * place of a reason. So the whole answer is written by hand, our side is closed, and what still comes
 * is thrown away for a while, so that no reset destroys the answer on its way. */
static void start_drain(struct exchange *x) {
    if (!send_reply(x) ||
        loop_timer_start(x->http->loop, &x->drain_deadline, EXCHANGE_DRAIN_MAX_MS) != ERR_OK) {
        connection_break(x->connection);
        return;
    }
    shutdown(x->connection->fd, SHUT_WR);
    resume(x);
    if (x->connection->half_closed)
        loop_post(x->http->loop, &x->connection->look);
}

static void answer_run(struct loop_task *task) {
    struct exchange *x = CONTAINER_OF(task, struct exchange, answer);
    if (x->state == STATE_BODY && x->has_reply && !x->connection->broken)
        start_drain(x);
}

/* A client that closed only its own side can still read why. */
void exchange_body_was_cut(struct exchange *x) {
    if (x->state == STATE_BODY && !x->has_reply) {
        fail(x, ERR_BAD_INPUT, "IncompleteBody", "The body is shorter than promised.");
        start_drain(x);
    } else if (x->state == STATE_DRAIN &&
               connection_queued(x->connection) ==
                   0) { /* closing over unread bytes would reset the answer away */
        connection_break(x->connection);
    }
}

static void drain_deadline_fired(struct loop_timer *timer) {
    connection_break(CONTAINER_OF(timer, struct exchange, drain_deadline)->connection);
}

/* Life */

void *exchange_on_target(void *context, const char *target, struct MHD_Connection *mhd) {
    struct http_context *http = context;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct exchange *x = calloc(1, sizeof *x);
    if (x == NULL || info == NULL || info->socket_context == NULL) {
        free(x);
        return NULL;
    }
    x->raw_target = strdup(target);
    if (x->raw_target == NULL) {
        free(x);
        return NULL;
    }
    x->http = http;
    x->mhd = mhd;
    x->connection = info->socket_context;
    x->started_us = clock_monotonic_us();
    x->drain_deadline.fire = drain_deadline_fired;
    loop_task_init(&x->answer, answer_run);
    loop_task_init(&x->room, room_run);
    reply_init(&x->reply, 0);
    buf_init(&x->target.key, ROUTER_KEY_MAX_BYTES);
    connection_exchange_began(x->connection, x);
    return x;
}

static bool was_answered(const struct exchange *x) {
    return x->has_reply && (x->state == STATE_REPLY || x->state == STATE_DRAIN);
}

/* Every request that had a request line, whatever is logged. Bytes of bodies and of streams were counted
 * as they moved. */
static void count_exchange(const struct exchange *x, uint64_t duration_us) {
    bool known = x->state != STATE_HEAD || x->has_reply;
    unsigned status = !known            ? HTTP_METRICS_STATUS_UNKNOWN
                      : was_answered(x) ? x->reply.status
                                        : STATUS_CLIENT_GONE;
    http_metrics_request(x->http->metrics, x->target.route, x->method, status, duration_us);
    if (was_answered(x) && x->stream.ring == NULL)
        http_metrics_sent(x->http->metrics, x->reply_bytes);
}

static void log_exchange(const struct exchange *x, uint64_t duration_us) {
    bool answered = was_answered(x);
    bool unfinished = answered && exchange_streams(x) && x->method != ROUTER_HEAD &&
                      x->stream.taken < x->stream.length;
    unsigned status = answered ? x->reply.status : STATUS_CLIENT_GONE;
    enum log_level level = status >= 500 ? LOG_ERROR : LOG_INFO;
    if (!log_enabled(level))
        return;
    struct span remote = request_remote(x->mhd, x->connection, x->http->config);
    const char *error = x->reply.error.message;
    if (!answered || (unfinished && error[0] == '\0'))
        error = "the client went away";
    uint64_t sent = x->stream.ring != NULL ? x->stream.taken : x->reply_bytes;
    struct log_field fields[] = {
        {"request_id", span_of(x->trace.request_id), 0},
        {"trace_id", span_of(x->trace.trace_id), 0},
        {"parent_id", span_of(x->trace.parent_id), 0},
        {"amzn_trace_id", request_amzn_trace(x->mhd), 0},
        {"remote", remote, 0},
        {"method", request_method_name(x->method), 0},
        {"path", {x->raw_target, strcspn(x->raw_target, "?")}, 0},
        {"status", {NULL, 0}, (int64_t)status},
        {"duration_ms", {NULL, 0}, (int64_t)(duration_us / 1000)},
        {"bytes_in", {NULL, 0}, (int64_t)exchange_received(x)},
        {"bytes_out", {NULL, 0}, answered ? (int64_t)sent : 0},
        {"s3_request_id", span_of(x->s3_request_id), 0},
        {"error", span_of(error), 0},
    };
    log_event(level, LOG_STREAM_SERVICE, "request", fields, sizeof fields / sizeof *fields);
}

void exchange_on_completed(void *context, struct MHD_Connection *mhd, void **request,
                           enum MHD_RequestTerminationCode code) {
    (void)context;
    (void)mhd;
    struct exchange *x = *request;
    if (x == NULL)
        return;
    *request = NULL;
    (void)code;
    uint64_t duration_us = clock_monotonic_us() - x->started_us;
    count_exchange(x, duration_us);
    if (x->state != STATE_HEAD || x->has_reply)
        log_exchange(x, duration_us);
    if (x->handler != NULL && x->handler->on_close != NULL)
        x->handler->on_close(x);
    loop_cancel(x->http->loop, &x->answer);
    loop_cancel(x->http->loop, &x->room);
    loop_timer_stop(x->http->loop, &x->drain_deadline);
    connection_exchange_ended(x->connection);
    router_target_done(&x->target);
    reply_done(&x->reply);
    stream_done(&x->stream);
    free(x->raw_target);
    free(x);
}

/* The head */

static const struct exchange_handler *find_handler(const struct exchange *x) {
    unsigned method = x->method == ROUTER_HEAD ? ROUTER_GET : (unsigned)x->method;
    for (size_t i = 0; i < x->http->handler_count; i++) {
        const struct exchange_handler *h = &x->http->handlers[i];
        if (h->route == x->target.route && (h->methods & method) != 0 &&
            (h->parameter == NULL || router_query_has(x->target.query, h->parameter)))
            return h;
    }
    return NULL;
}

static void fail_route(struct exchange *x) {
    struct error error;
    struct span path = x->target.path;
    int n = path.n < 256 ? (int)path.n : 256;
    error_set(&error, ERR_NOT_FOUND, "Route %.*s does not exist.", n, path.p == NULL ? "" : path.p);
    exchange_fail(x, &error);
}

static void fail_method(struct exchange *x) {
    struct error error;
    struct reply r;
    struct buf allow;
    error_set(&error, ERR_BAD_INPUT, "This method is not allowed here.");
    memcpy(error.code, "MethodNotAllowed", sizeof "MethodNotAllowed");
    buf_init(&allow, 128);
    router_append_allow(&allow, x->target.route);
    reply_init(&r, 405);
    reply_error(&r, &error, x->trace.request_id);
    reply_header(&r, "Allow", buf_span(&allow));
    buf_done(&allow);
    exchange_reply(x, &r);
}

/* Either replies or sets the handler. The order is what a stranger may learn: nothing behind the API
 * key but which routes exist. */
static void route(struct exchange *x, const char *method) {
    struct error error;
    request_id(exchange_header(x, "X-Request-Id"), x->trace.request_id);
    x->method = router_method(span_of(method));
    enum err e =
        request_check(x->mhd, &x->chunked, &x->length_known, &x->length, &x->trace, &error);
    if (e == ERR_OK && x->method == ROUTER_OPTIONS) {
        struct reply
            r; /* a preflight is answered wherever it goes: it asks about the origin alone */
        reply_init(&r, 204);
        exchange_reply(x, &r);
        return;
    }
    if (e == ERR_OK)
        e = router_parse(request_origin_form(span_of(x->raw_target)), &x->target, &error);
    if (e != ERR_OK) {
        exchange_fail(x, &error);
        return;
    }
    const struct exchange_handler *handler = find_handler(x);
    if (x->target.route == ROUTE_NONE)
        fail_route(x);
    else if (handler == NULL)
        fail_method(x);
    else if (!handler->open && !auth_allows(x->http->auth, exchange_header(x, "Authorization")))
        fail(x, ERR_DENIED, "Unauthorized", "An API key is needed: Authorization: Bearer <key>.");
    else
        x->handler = handler;
}

/* MHD's first call. Never suspend here: MHD repeats the call with size 0 after a resume, which reads
 * as an empty body. */
static enum MHD_Result take_head(struct exchange *x, const char *method) {
    route(x, method);
    if (x->handler != NULL && x->handler->on_head != NULL && !x->has_reply)
        x->handler->on_head(x);
    bool body_comes = x->chunked || x->length > 0;
    bool client_waits = span_eq_nocase(exchange_header(x, "Expect"), SPAN("100-continue"));
    if (x->has_reply && (!body_comes || client_waits)) {
        if (body_comes)
            reply_header(&x->reply, "Connection", SPAN("close"));
        connection_head_done(x->connection);
        return queue_reply(x);
    }
    x->state = STATE_BODY;
    connection_head_done(x->connection);
    if (x->has_reply)
        start_drain(x);
    return MHD_YES;
}

/* The body */

static size_t offer(struct exchange *x, struct span data) {
    if (x->has_reply)
        return data.n;
    if (x->handler->on_body != NULL) {
        size_t taken = x->handler->on_body(x, data);
        return x->has_reply ? data.n : taken;
    }
    if (x->received + data.n > EXCHANGE_UNWANTED_BODY_MAX_BYTES)
        fail(x, ERR_TOO_LARGE, "EntityTooLarge", "This request takes no body.");
    return data.n;
}

static enum MHD_Result take_piece(struct exchange *x, const char *data, size_t *size) {
    size_t taken = offer(x, (struct span){data, *size});
    x->received += taken;
    http_metrics_received(x->http->metrics, taken);
    *size -= taken;
    if (*size > 0) {
        x->unread = *size;
        x->held_since_ms = loop_now_ms(x->http->loop);
        suspend(x);
    }
    if (x->connection->half_closed)
        loop_post(x->http->loop, &x->connection->look);
    return MHD_YES;
}

static enum MHD_Result answer_or_wait(struct exchange *x) {
    if (x->has_reply)
        return queue_reply(x);
    suspend(x);
    return MHD_YES;
}

static enum MHD_Result end_body(struct exchange *x) {
    x->state = STATE_WAIT;
    loop_timer_stop(x->http->loop, &x->connection->timer);
    if (!x->has_reply && x->length_known && x->received != x->length)
        fail(x, ERR_BAD_INPUT, "IncompleteBody", "The body is shorter than promised.");
    if (!x->has_reply)
        x->handler->on_body_end(x);
    return answer_or_wait(x);
}

static enum MHD_Result throw_away(struct exchange *x, size_t *size) {
    x->drained += *size;
    http_metrics_received(x->http->metrics, *size);
    bool over = *size == 0 || x->drained > EXCHANGE_DRAIN_MAX_BYTES;
    *size = 0;
    if (x->connection->half_closed)
        loop_post(x->http->loop, &x->connection->look);
    return over ? MHD_NO : MHD_YES;
}

enum MHD_Result exchange_on_access(void *context, struct MHD_Connection *mhd, const char *url,
                                   const char *method, const char *version, const char *data,
                                   size_t *size, void **request) {
    (void)context;
    (void)mhd;
    (void)url;
    (void)version;
    struct exchange *x = *request;
    if (x == NULL || x->connection->broken)
        return MHD_NO;
    switch (x->state) {
    case STATE_HEAD:
        return take_head(x, method);
    case STATE_BODY:
        return *size > 0 ? take_piece(x, data, size) : end_body(x);
    case STATE_DRAIN:
        return throw_away(x, size);
    case STATE_WAIT:
        return answer_or_wait(x);
    case STATE_REPLY:
        return MHD_YES;
    }
    return MHD_NO;
}

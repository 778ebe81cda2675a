#include "fileservice/logs/cloudwatch.h"

#include "queue.h"

#include "fileservice/aws/call.h"
#include "fileservice/base/clock.h"
#include "fileservice/logs/batch.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "fileservice/base/banned.h"

#define BODY_MAX_BYTES 8388608 /* a batch of 1 MiB whose every byte is escaped, and its frame */
#define SMALL_BODY_MAX_BYTES 4096
#define BACKOFF_FIRST_MS 500u
#define IDLE_CONNECTIONS 2
#define MAX_ATTEMPTS 3

enum ship_state {
    SHIP_IDLE,   /* no batch is under way */
    SHIP_PUT,    /* PutLogEvents */
    SHIP_GROUP,  /* the group was missing: CreateLogGroup */
    SHIP_STREAM, /* and CreateLogStream */
    SHIP_WAIT,   /* the batch failed and waits for its next turn */
};

/* What is under way for one stream. owner: the shipper's thread */
struct shipment {
    struct logs_cloudwatch *owner;
    enum log_stream stream;
    enum ship_state state;
    struct list taken;
    size_t count;
    struct buf batch; /* body of PutLogEvents, kept until its fate is known */
    struct buf small; /* body of the Create calls */
    struct span body; /* the one that is sent */
    struct aws_call *call;
    struct loop_timer timer; /* the next look at the queue, or the end of a wait */
    unsigned failures;
};

struct logs_cloudwatch {
    struct logs_cloudwatch_options options;
    struct queue queue; /* any thread */
    struct loop *loop;
    struct transport *transport;
    struct aws_client client;
    struct shipment shipments[LOG_STREAM_COUNT];
    struct loop_task full; /* any thread posts it: enough waits for a batch */
    struct loop_task stop; /* posted by logs_cloudwatch_stop */
    struct loop_timer deadline;
    unsigned stop_timeout_ms;
    bool stopping;
    pthread_t thread;
};

static void ship(struct shipment *s);

/* Calls */

/* "com.amazonaws.logs#ThrottlingException" or a bare name. */
static struct span bare_type(struct span type) {
    size_t at = span_find(type, '#');
    return at < type.n ? span_from(type, at + 1) : type;
}

static void read_failure(const struct aws_response *r, struct error *error) {
    json_t *root = r->body.n > 0 ? json_loadb(r->body.p, r->body.n, 0, NULL) : NULL;
    const char *type = json_string_value(json_object_get(root, "__type"));
    const char *message = json_string_value(json_object_get(root, "message"));
    struct span code =
        type != NULL ? bare_type(span_of(type)) : transport_header(r->head, "x-amzn-errortype");
    code.n = span_find(code, ':');
    if (message == NULL)
        message = json_string_value(json_object_get(root, "Message"));
    error_set(error, ERR_UPSTREAM, "CloudWatch Logs answered with status %d: %s", r->status,
              message != NULL ? message : "no reason given");
    error->status = r->status;
    if (code.n > 0 && code.n < sizeof error->code)
        memcpy(error->code, code.p, code.n);
    json_decref(root);
}

static enum err judge(void *context, const struct aws_response *response, struct error *error,
                      enum retry_kind *retry) {
    (void)context;
    (void)retry;
    if (response->status == 200)
        return ERR_OK;
    read_failure(response, error);
    return error->err;
}

static aws_done call_done;

static enum err call(struct shipment *s, struct span target, struct span body) {
    struct logs_cloudwatch *c = s->owner;
    char hash[SIGV4_HEX_BYTES + 1];
    struct sigv4_pair headers[] = {
        {SPAN("content-type"), SPAN("application/x-amz-json-1.1")},
        {SPAN("x-amz-target"), target},
    };
    s->body = body;
    struct aws_request request = {
        .method = "POST",
        .endpoint = &c->options.endpoint,
        .path = SPAN("/"),
        .headers = headers,
        .header_count = sizeof headers / sizeof *headers,
        .body = &s->body,
        .body_count = 1,
        .has_body = true,
    };
    enum err e = sigv4_hash_hex(body, hash);
    request.payload_hash = (struct span){hash, SIGV4_HEX_BYTES};
    return e != ERR_OK ? e : aws_call_start(&c->client, &request, judge, call_done, s, &s->call);
}

static enum err call_create(struct shipment *s, struct span target, bool with_stream) {
    json_t *body = json_pack("{s:s}", "logGroupName", s->owner->options.group);
    if (with_stream && body != NULL &&
        json_object_set_new(body, "logStreamName", json_string(log_stream_name(s->stream))) != 0) {
        json_decref(body);
        body = NULL;
    }
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    if (text == NULL)
        return ERR_NO_MEMORY;
    buf_clear(&s->small);
    buf_append_text(&s->small, text);
    free(text);
    enum err e = buf_error(&s->small);
    return e != ERR_OK ? e : call(s, target, buf_span(&s->small));
}

/* One shipment's steps */

static double fraction(void) {
    uint32_t r = UINT32_MAX;
    ssize_t n = getrandom(&r, sizeof r, GRND_NONBLOCK);
    (void)n; /* without randomness: the longest wait */
    return (double)r / 4294967296.0;
}

static void set_timer(struct shipment *s, uint64_t delay_ms) {
    enum err e = loop_timer_start(s->owner->loop, &s->timer, delay_ms);
    (void)e; /* without memory for a timer, the next full batch or the stop comes back to this */
}

static void wait_and_try_again(struct shipment *s) {
    uint64_t most = BACKOFF_FIRST_MS << (s->failures < 6 ? s->failures : 6);
    most = most < LOGS_BACKOFF_MAX_MS ? most : LOGS_BACKOFF_MAX_MS;
    s->failures++;
    s->state = SHIP_WAIT;
    set_timer(s, (uint64_t)((double)most * fraction()) + 1);
}

static void start_step(struct shipment *s, enum ship_state state) {
    enum err e;
    s->state = state;
    if (state == SHIP_GROUP)
        e = call_create(s, SPAN("Logs_20140328.CreateLogGroup"), false);
    else if (state == SHIP_STREAM)
        e = call_create(s, SPAN("Logs_20140328.CreateLogStream"), true);
    else
        e = call(s, SPAN("Logs_20140328.PutLogEvents"), buf_span(&s->batch));
    if (e != ERR_OK)
        wait_and_try_again(s);
}

/* The batch's fate is known. */
static void finish_batch(struct shipment *s, size_t rejected, bool delivered) {
    struct logs_cloudwatch *c = s->owner;
    queue_release(&c->queue, &s->taken, rejected, delivered);
    s->count = 0;
    s->failures = 0;
    s->state = SHIP_IDLE;
    uint64_t dropped = delivered ? queue_take_unsaid(&c->queue) : 0;
    if (dropped > 0) {
        struct log_line line = {clock_wall_ms(), LOG_WARN, LOG_STREAM_DEFAULT, {NULL, 0}};
        struct log_field field = {"dropped", {NULL, 0}, (int64_t)dropped};
        struct buf text;
        buf_init(&text, LOG_LINE_MAX_BYTES);
        log_format_line(&text, c->options.format, line.wall_ms, line.level, line.stream,
                        "log lines were dropped on their way to CloudWatch", &field, 1);
        line.text = buf_span(&text);
        queue_put(&c->queue, &line);
        buf_done(&text);
    }
    ship(s);
}

/* Of an accepted batch, the events that were refused one by one: too old or expired ones stand in
 * front, too new ones at the end. */
static size_t rejected_events(const struct shipment *s, struct span body) {
    json_t *root = body.n > 0 ? json_loadb(body.p, body.n, 0, NULL) : NULL;
    const json_t *info = json_object_get(root, "rejectedLogEventsInfo");
    const json_t *too_new = json_object_get(info, "tooNewLogEventStartIndex");
    json_int_t old = json_integer_value(json_object_get(info, "tooOldLogEventEndIndex"));
    json_int_t expired = json_integer_value(json_object_get(info, "expiredLogEventEndIndex"));
    json_int_t count = (json_int_t)s->count;
    json_int_t front = old > expired ? old : expired;
    json_int_t from = json_is_integer(too_new) ? json_integer_value(too_new) : count;
    json_decref(root);
    front = front < 0 ? 0 : front > count ? count : front;
    from = from < front ? front : from > count ? count : from;
    return (size_t)(front + count - from);
}

static bool is_code(const struct error *error, const char *code) {
    return strcmp(error->code, code) == 0;
}

static void call_failed(struct shipment *s, const struct error *error) {
    bool exists = is_code(error, "ResourceAlreadyExistsException");
    if (s->state == SHIP_PUT && is_code(error, "ResourceNotFoundException"))
        start_step(s, SHIP_GROUP);
    else if (s->state == SHIP_GROUP && exists)
        start_step(s, SHIP_STREAM);
    else if (s->state == SHIP_STREAM && exists)
        start_step(s, SHIP_PUT);
    else if (s->state == SHIP_PUT && is_code(error, "InvalidParameterException"))
        finish_batch(s, s->count, true); /* it will never be taken: all of it was rejected */
    else
        wait_and_try_again(s);
}

static void call_done(void *context, enum err err, const struct aws_response *response,
                      const struct error *error) {
    struct shipment *s = context;
    s->call = NULL;
    if (err != ERR_OK)
        call_failed(s, error);
    else if (s->state == SHIP_PUT)
        finish_batch(s, rejected_events(s, response->body), true);
    else
        start_step(s, s->state == SHIP_GROUP ? SHIP_STREAM : SHIP_PUT);
}

/* Describes the taken lines as events; those that do not fit the batch go back. */
static enum err build_batch(struct shipment *s) {
    struct logs_cloudwatch *c = s->owner;
    struct logs_event *events = calloc(LOGS_BATCH_MAX_EVENTS, sizeof *events);
    size_t n = 0;
    if (events == NULL)
        return ERR_NO_MEMORY;
    for (struct list *i = s->taken.next; i != &s->taken; i = i->next) {
        const struct queue_line *l = CONTAINER_OF(i, struct queue_line, node);
        events[n++] = (struct logs_event){l->wall_ms, {l->text, l->n}};
    }
    s->count = logs_batch_size(events, n);
    struct list rest;
    list_init(&rest);
    for (; n > s->count; n--) {
        struct list *last = s->taken.prev;
        list_remove(last);
        list_append(rest.next, last);
    }
    queue_give_back(&c->queue, s->stream, &rest);
    buf_clear(&s->batch);
    enum err e =
        logs_batch_body(c->options.group, log_stream_name(s->stream), events, s->count, &s->batch);
    free(events);
    return e;
}

static void stop_when_done(struct logs_cloudwatch *c) {
    for (size_t i = 0; i < LOG_STREAM_COUNT; i++)
        if (c->shipments[i].state != SHIP_IDLE)
            return;
    if (c->stopping)
        loop_stop(c->loop);
}

/* Sends what waits, if nothing is under way. */
static void ship(struct shipment *s) {
    if (s->state != SHIP_IDLE)
        return;
    queue_take(&s->owner->queue, s->stream, LOGS_BATCH_MAX_EVENTS, &s->taken);
    if (list_is_empty(&s->taken)) {
        set_timer(s, LOGS_SEND_AFTER_MS);
        stop_when_done(s->owner);
    } else if (build_batch(s) != ERR_OK) {
        queue_give_back(&s->owner->queue, s->stream, &s->taken);
        set_timer(s, LOGS_SEND_AFTER_MS);
    } else {
        start_step(s, SHIP_PUT);
    }
}

static void timer_fired(struct loop_timer *timer) {
    struct shipment *s = CONTAINER_OF(timer, struct shipment, timer);
    if (s->state == SHIP_WAIT)
        start_step(s, SHIP_PUT);
    else
        ship(s);
}

/* The thread */

static void full_run(struct loop_task *task) {
    struct logs_cloudwatch *c = CONTAINER_OF(task, struct logs_cloudwatch, full);
    for (size_t i = 0; i < LOG_STREAM_COUNT; i++)
        ship(&c->shipments[i]);
}

static void deadline_fired(struct loop_timer *timer) {
    loop_stop(CONTAINER_OF(timer, struct logs_cloudwatch, deadline)->loop);
}

static void stop_run(struct loop_task *task) {
    struct logs_cloudwatch *c = CONTAINER_OF(task, struct logs_cloudwatch, stop);
    c->stopping = true;
    if (loop_timer_start(c->loop, &c->deadline, c->stop_timeout_ms) != ERR_OK)
        loop_stop(c->loop);
    for (size_t i = 0; i < LOG_STREAM_COUNT; i++) {
        struct shipment *s = &c->shipments[i];
        if (s->state == SHIP_WAIT)
            start_step(s, SHIP_PUT); /* there may be no later */
        else
            ship(s);
    }
}

static void *run(void *argument) {
    struct logs_cloudwatch *c = argument;
    loop_run(c->loop);
    for (size_t i = 0; i < LOG_STREAM_COUNT; i++) {
        aws_call_cancel(c->shipments[i].call);
        c->shipments[i].call = NULL;
    }
    return NULL;
}

static void shipper_free(struct logs_cloudwatch *c) {
    for (size_t i = 0; i < LOG_STREAM_COUNT; i++) {
        queue_release(&c->queue, &c->shipments[i].taken, 0, false);
        buf_done(&c->shipments[i].batch);
        buf_done(&c->shipments[i].small);
    }
    queue_done(&c->queue);
    transport_free(c->transport);
    aws_client_done(&c->client);
    loop_free(c->loop);
    free(c);
}

static void init_shipments(struct logs_cloudwatch *c) {
    for (size_t i = 0; i < LOG_STREAM_COUNT; i++) {
        struct shipment *s = &c->shipments[i];
        s->owner = c;
        s->stream = (enum log_stream)i;
        s->timer.fire = timer_fired;
        list_init(&s->taken);
        buf_init(&s->batch, BODY_MAX_BYTES);
        buf_init(&s->small, SMALL_BODY_MAX_BYTES);
    }
}

static enum err start_timers(struct logs_cloudwatch *c) {
    enum err e = ERR_OK;
    for (size_t i = 0; i < LOG_STREAM_COUNT && e == ERR_OK; i++)
        e = loop_timer_start(c->loop, &c->shipments[i].timer, LOGS_SEND_AFTER_MS);
    return e;
}

enum err logs_cloudwatch_start(const struct logs_cloudwatch_options *options,
                               struct logs_cloudwatch **ret, struct error *error) {
    struct logs_cloudwatch *c = calloc(1, sizeof *c);
    if (c == NULL)
        return error_set(error, ERR_NO_MEMORY, "no memory for the log shipper");
    c->options = *options;
    queue_init(&c->queue, LOGS_QUEUE_BYTES);
    init_shipments(c);
    loop_task_init(&c->full, full_run);
    loop_task_init(&c->stop, stop_run);
    c->deadline.fire = deadline_fired;
    enum err e = loop_new(&c->loop, error);
    if (e == ERR_OK)
        e = transport_new(c->loop, IDLE_CONNECTIONS, &c->transport, error);
    c->client = (struct aws_client){
        .loop = c->loop,
        .transport = c->transport,
        .credentials = options->credentials,
        .service = "logs",
        .region = options->region,
        .max_attempts = MAX_ATTEMPTS,
        .connect_ms = options->connect_ms,
        .silence_ms = options->silence_ms,
    };
    retry_bucket_init(&c->client.bucket);
    if (e == ERR_OK)
        e = start_timers(c);
    if (e == ERR_OK && pthread_create(&c->thread, NULL, run, c) != 0)
        e = error_set(error, ERR_SYSTEM, "the log shipper's thread does not start");
    if (e != ERR_OK) {
        shipper_free(c);
        return e;
    }
    *ret = c;
    return ERR_OK;
}

static void sink_write(void *context, const struct log_line *line) {
    struct logs_cloudwatch *c = context;
    struct log_line copy = *line;
    struct buf message;
    buf_init(&message, LOGS_EVENT_MAX_BYTES);
    if (line->text.n == 0 || line->text.n > LOGS_EVENT_MAX_BYTES) {
        logs_batch_append_message(&message, line->text);
        copy.text = buf_span(&message);
    }
    if (queue_put(&c->queue, &copy) >= LOGS_SEND_AFTER_BYTES)
        loop_post_remote(c->loop, &c->full);
    buf_done(&message);
}

struct log_sink logs_cloudwatch_sink(struct logs_cloudwatch *c) {
    return (struct log_sink){sink_write, c};
}

struct logs_cloudwatch_counts logs_cloudwatch_counts(struct logs_cloudwatch *c) {
    return queue_counts(&c->queue);
}

struct logs_cloudwatch_counts logs_cloudwatch_stop(struct logs_cloudwatch *c, unsigned timeout_ms) {
    struct logs_cloudwatch_counts counts = {0};
    if (c == NULL)
        return counts;
    c->stop_timeout_ms = timeout_ms;
    loop_post_remote(c->loop, &c->stop);
    pthread_join(c->thread, NULL);
    counts = queue_counts(&c->queue);
    counts.dropped += counts.produced - counts.delivered - counts.rejected - counts.dropped;
    shipper_free(c);
    return counts;
}

#include "shipment.h"

#include "answer.h"

#include "fileservice/base/json.h"
#include "fileservice/base/random.h"

#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

#define BODY_MAX_BYTES 8388608 /* a batch of 1 MiB whose every byte is escaped, and its frame */
#define SMALL_BODY_MAX_BYTES 8192
#define BACKOFF_FIRST_MS 500u
#define BACKOFF_STOPPING_MAX_MS 250u /* there may be little time left */
#define STOPPING_LOOK_MS 10
#define REFUSALS_ENOUGH 3 /* in a row, when little time is left; ours */
#define STEPS_MAX 7       /* put, stream, group, retention, stream, put, retention */

/* Building a batch */

/* Describes the lines that no batch holds yet; gives how many there are. */
static size_t describe(const struct shipment *s, struct logs_event *events) {
    size_t n = 0;
    size_t at = s->skip;
    for (struct list *i = s->lines.next; i != &s->lines && n < LOGS_BATCH_MAX_EVENTS; i = i->next) {
        const struct queue_block *b = CONTAINER_OF(i, struct queue_block, node);
        struct queue_line line;
        while (n < LOGS_BATCH_MAX_EVENTS && queue_read(b, &at, &line))
            events[n++] = (struct logs_event){line.wall_ms, line.text};
        at = 0;
    }
    return n;
}

/* The batch holds the first `count` lines: blocks that are used up go. */
static void consume(struct shipment *s, size_t count) {
    struct queue_block *b;
    while ((b = queue_first(&s->lines)) != NULL) {
        struct queue_line line;
        while (count > 0 && queue_read(b, &s->skip, &line))
            count--;
        if (s->skip < b->used)
            return;
        list_remove(&b->node);
        s->text_bytes -= b->text_bytes;
        s->skip = 0;
        free(b);
    }
}

static enum err build_batch(struct shipment *s) {
    struct shipper *sh = s->shipper;
    size_t n = logs_batch_size(sh->events, describe(s, sh->events));
    buf_clear(&s->batch);
    enum err e =
        logs_batch_body(sh->options->group, log_stream_name(s->stream), sh->events, n, &s->batch);
    if (e != ERR_OK)
        return e;
    s->batch_lines = n;
    s->batch_text_bytes = 0;
    for (size_t i = 0; i < n; i++)
        s->batch_text_bytes += sh->events[i].message.n;
    consume(s, n);
    return ERR_OK;
}

static void take_lines(struct shipment *s) {
    struct list taken;
    list_init(&taken);
    if (s->text_bytes >= LOGS_BATCH_MAX_BYTES)
        return;
    queue_take(&s->shipper->queue, s->stream, LOGS_BATCH_MAX_BYTES - s->text_bytes, &taken);
    struct queue_block *b;
    while ((b = queue_first(&taken)) != NULL) {
        list_remove(&b->node);
        list_append(&s->lines, &b->node);
        s->text_bytes += b->text_bytes;
    }
}

/* Calls */

static aws_done call_done;

static enum err call(struct shipment *s, struct span target, struct span body) {
    struct shipper *sh = s->shipper;
    char hash[SIGV4_HEX_BYTES + 1];
    struct sigv4_pair headers[] = {
        {SPAN("content-type"), SPAN("application/x-amz-json-1.1")},
        {SPAN("x-amz-target"), target},
    };
    s->body = body;
    struct aws_request request = {
        .method = "POST",
        .endpoint = &sh->options->endpoint,
        .path = SPAN("/"),
        .headers = headers,
        .header_count = sizeof headers / sizeof *headers,
        .body = &s->body,
        .body_count = 1,
        .has_body = true,
    };
    enum err e = sigv4_hash_hex(body, hash);
    request.payload_hash = (struct span){hash, SIGV4_HEX_BYTES};
    return e != ERR_OK
               ? e
               : aws_call_start(&sh->client, &request, answer_judge, call_done, s, &s->call);
}

static enum err call_small(struct shipment *s, struct span target) {
    struct buf *b = &s->small;
    buf_clear(b);
    buf_append_byte(b, '{');
    json_append_member(b, "logGroupName", span_of(s->shipper->options->group));
    if (s->state == SHIPMENT_STREAM)
        json_append_member(b, "logStreamName", span_of(log_stream_name(s->stream)));
    if (s->state == SHIPMENT_RETENTION) {
        json_append_name(b, "retentionInDays");
        buf_append_u64(b, s->shipper->options->retention_days);
    }
    buf_append_byte(b, '}');
    enum err e = buf_error(b);
    return e != ERR_OK ? e : call(s, target, buf_span(b));
}

static void set_timer(struct shipment *s, uint64_t delay_ms) {
    enum err e = loop_timer_start(s->shipper->loop, &s->timer, delay_ms);
    (void)e; /* the loop has room for it since logs_cloudwatch_start() began with it */
}

static void fail_batch(struct shipment *s, const struct error *error);

/* A call could not be begun. */
static void fail_step(struct shipment *s, enum err e) {
    struct error error;
    if (e == ERR_LIMIT)
        error_set(&error, ERR_UPSTREAM, "CloudWatch Logs does not find what it has created.");
    else
        error_set(&error, e, "There is no memory for a call to CloudWatch Logs.");
    if (s->batch_lines > 0) {
        fail_batch(s, &error);
        return;
    }
    s->state = SHIPMENT_IDLE; /* the retention: it is tried again after the next batch */
    set_timer(s, LOGS_SEND_AFTER_MS);
}

static void start_step(struct shipment *s, enum shipment_state state) {
    static const struct span targets[] = {
        [SHIPMENT_STREAM] = {"Logs_20140328.CreateLogStream", 29},
        [SHIPMENT_GROUP] = {"Logs_20140328.CreateLogGroup", 28},
        [SHIPMENT_RETENTION] = {"Logs_20140328.PutRetentionPolicy", 32},
    };
    s->state = state;
    enum err e = ERR_LIMIT; /* things that are made and not found again: no circle without a wait */
    if (s->steps++ < STEPS_MAX)
        e = state == SHIPMENT_PUT ? call(s, SPAN("Logs_20140328.PutLogEvents"), buf_span(&s->batch))
                                  : call_small(s, targets[state]);
    if (e != ERR_OK)
        fail_step(s, e);
}

/* Answers */

/* The batch's fate is known. */
static void finish_batch(struct shipment *s, const size_t rejected[LOGS_REJECT_COUNT]) {
    struct shipper *sh = s->shipper;
    bool outage = sh->report.outage;
    queue_count_sent(&sh->queue, s->batch_lines, s->batch_text_bytes, rejected);
    report_success(&sh->report, s->failures > 0);
    s->batch_lines = 0;
    s->batch_text_bytes = 0;
    s->failures = 0;
    s->refusals = 0;
    s->state = SHIPMENT_IDLE;
    if (sh->retention_due)
        start_step(s, SHIPMENT_RETENTION);
    for (size_t i = 0; i < LOG_STREAM_COUNT; i++)
        if (outage && sh->shipments[i].state == SHIPMENT_WAIT)
            shipment_hurry(&sh->shipments[i]); /* what works for one will work for the other */
    shipment_look(s);
}

static bool is_code(const struct error *error, const char *code) {
    return strcmp(error->code, code) == 0;
}

/* We are refused, not held up: denied, or unknown there. */
static bool is_refusal(const struct error *error) {
    return error->status >= 400 && error->status < 500 &&
           retry_classify(ERR_OK, error->status, span_of(error->code)) == RETRY_NEVER;
}

static void wait_and_try_again(struct shipment *s) {
    unsigned ceiling = s->shipper->stopping ? BACKOFF_STOPPING_MAX_MS : LOGS_BACKOFF_MAX_MS;
    unsigned most = BACKOFF_FIRST_MS << (s->failures < 6 ? s->failures : 6);
    most = most < ceiling ? most : ceiling;
    s->failures++;
    s->steps = 0;
    s->state = SHIPMENT_WAIT;
    set_timer(s, (uint64_t)((double)most * random_fraction()) + 1);
}

static void fail_batch(struct shipment *s, const struct error *error) {
    struct shipper *sh = s->shipper;
    report_failure(&sh->report, sh->options, s->failures, error);
    s->refusals = is_refusal(error) ? s->refusals + 1 : 0;
    if (!sh->stopping || s->refusals < REFUSALS_ENOUGH) {
        wait_and_try_again(s);
        return;
    }
    s->state = SHIPMENT_OVER;
    sh->on_idle(sh);
}

static void put_failed(struct shipment *s, const struct error *error) {
    if (is_code(error, "ResourceNotFoundException")) {
        start_step(s, SHIPMENT_STREAM);
    } else if (answer_is_final(error)) {
        size_t rejected[LOGS_REJECT_COUNT] = {[LOGS_REJECT_INVALID] = s->batch_lines};
        finish_batch(s, rejected);
    } else {
        fail_batch(s, error);
    }
}

static void put_succeeded(struct shipment *s, struct span body) {
    size_t rejected[LOGS_REJECT_COUNT];
    answer_rejected(body, s->batch_lines, rejected);
    finish_batch(s, rejected);
}

/* The retention never holds lines back: what fails for now is tried again after the next batch, what
 * CloudWatch refuses is told of. */
static void retention_done(struct shipment *s, enum err err, const struct error *error) {
    struct shipper *sh = s->shipper;
    /* A new group may not be known everywhere yet. */
    bool refused =
        err != ERR_OK && is_refusal(error) && !is_code(error, "ResourceNotFoundException");
    if (err == ERR_OK || refused)
        sh->retention_due = false;
    if (refused && sh->options->on_no_retention != NULL)
        sh->options->on_no_retention(error);
    if (s->batch_lines > 0) {
        start_step(s, SHIPMENT_STREAM);
    } else {
        s->state = SHIPMENT_IDLE;
        shipment_look(s);
    }
}

static void call_done(void *context, enum err err, const struct aws_response *response,
                      const struct error *error) {
    struct shipment *s = context;
    bool exists = err != ERR_OK && is_code(error, "ResourceAlreadyExistsException");
    bool missing = err != ERR_OK && is_code(error, "ResourceNotFoundException");
    s->call = NULL;
    switch (s->state) {
    case SHIPMENT_PUT:
        if (err == ERR_OK)
            put_succeeded(s, response->body);
        else
            put_failed(s, error);
        return;
    case SHIPMENT_STREAM:
        if (err == ERR_OK || exists)
            start_step(s, SHIPMENT_PUT);
        else if (missing)
            start_step(s, SHIPMENT_GROUP);
        else
            fail_batch(s, error);
        return;
    case SHIPMENT_GROUP:
        /* Without an answer it may have been made. (What libcurl sends once more by itself, when a kept
         * connection ends without one, is answered as if the group were somebody else's.) */
        if (err == ERR_OK || error->status == 0)
            s->shipper->retention_due = s->shipper->options->retention_days > 0;
        if (err == ERR_OK || exists)
            start_step(s, s->shipper->retention_due ? SHIPMENT_RETENTION : SHIPMENT_STREAM);
        else
            fail_batch(s, error);
        return;
    case SHIPMENT_RETENTION:
        retention_done(s, err, error);
        return;
    case SHIPMENT_IDLE:
    case SHIPMENT_WAIT:
    case SHIPMENT_OVER:
        return;
    }
}

/* The next batch */

void shipment_hurry(struct shipment *s) {
    if (s->state == SHIPMENT_WAIT)
        start_step(s, SHIPMENT_PUT);
    else
        shipment_look(s);
}

static void timer_fired(struct loop_timer *timer) {
    shipment_hurry(CONTAINER_OF(timer, struct shipment, timer));
}

static void rest(struct shipment *s) {
    set_timer(s, s->shipper->stopping ? STOPPING_LOOK_MS : LOGS_SEND_AFTER_MS);
    s->shipper->on_idle(s->shipper);
}

size_t shipment_waiting(const struct shipment *s) {
    return s->text_bytes + queue_text_bytes(&s->shipper->queue, s->stream);
}

void shipment_look(struct shipment *s) {
    struct shipper *sh = s->shipper;
    uint64_t now = loop_now_ms(sh->loop);
    if (s->state != SHIPMENT_IDLE)
        return;
    report_look(&sh->report, sh->options, &sh->queue, now, sh->stopping);
    size_t waiting = shipment_waiting(s);
    if (waiting == 0) {
        rest(s);
    } else if (waiting < LOGS_SEND_AFTER_BYTES && now < s->next_ms && !sh->stopping) {
        set_timer(s, s->next_ms - now);
    } else {
        take_lines(s);
        if (queue_first(&s->lines) == NULL || build_batch(s) != ERR_OK) {
            rest(s); /* no memory for now */
            return;
        }
        s->next_ms = now + LOGS_SEND_AFTER_MS;
        s->steps = 0;
        start_step(s, SHIPMENT_PUT);
    }
}

void shipment_init(struct shipment *s, struct shipper *shipper, enum log_stream stream) {
    *s = (struct shipment){.shipper = shipper, .stream = stream};
    s->timer.fire = timer_fired;
    list_init(&s->lines);
    buf_init(&s->batch, BODY_MAX_BYTES);
    buf_init(&s->small, SMALL_BODY_MAX_BYTES);
}

void shipment_done(struct shipment *s) {
    aws_call_cancel(s->call);
    s->call = NULL;
    queue_free_blocks(&s->lines);
    buf_done(&s->batch);
    buf_done(&s->small);
}

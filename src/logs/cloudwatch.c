#include "fileservice/logs/cloudwatch.h"

#include "shipment.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "fileservice/base/banned.h"

#define IDLE_CONNECTIONS 2

struct logs_cloudwatch {
    struct logs_cloudwatch_options options;
    struct shipper shipper;
    struct transport *transport;
    struct loop_task full;  /* any thread posts it: enough waits for a batch */
    struct loop_task flush; /* posted by logs_cloudwatch_flush */
    struct loop_timer deadline;
    unsigned flush_ms;   /* by main, before it posts the flush */
    bool flush_asked;    /* main's */
    atomic_bool flushed; /* by the thread, at its end */
    pthread_t thread;
};

const char *logs_reject_name(enum logs_reject reason) {
    static const char *const names[] = {
        [LOGS_REJECT_TOO_OLD] = "too_old",
        [LOGS_REJECT_TOO_NEW] = "too_new",
        [LOGS_REJECT_EXPIRED] = "expired",
        [LOGS_REJECT_INVALID] = "invalid",
    };
    return names[reason];
}

static void full_run(struct loop_task *task) {
    struct logs_cloudwatch *c = CONTAINER_OF(task, struct logs_cloudwatch, full);
    for (size_t i = 0; i < LOG_STREAM_COUNT; i++)
        shipment_look(&c->shipper.shipments[i]);
}

static void deadline_fired(struct loop_timer *timer) {
    loop_stop(CONTAINER_OF(timer, struct logs_cloudwatch, deadline)->shipper.loop);
}

static void stop_when_done(struct shipper *sh) {
    for (size_t i = 0; i < LOG_STREAM_COUNT; i++) {
        const struct shipment *s = &sh->shipments[i];
        bool idle = s->state == SHIPMENT_IDLE && shipment_waiting(s) == 0;
        if (!idle && s->state != SHIPMENT_OVER)
            return;
    }
    if (sh->stopping)
        loop_stop(sh->loop);
}

static void flush_run(struct loop_task *task) {
    struct logs_cloudwatch *c = CONTAINER_OF(task, struct logs_cloudwatch, flush);
    c->shipper.stopping = true;
    if (c->flush_ms == 0 || loop_timer_start(c->shipper.loop, &c->deadline, c->flush_ms) != ERR_OK)
        loop_stop(c->shipper.loop);
    for (size_t i = 0; i < LOG_STREAM_COUNT; i++)
        shipment_hurry(&c->shipper.shipments[i]);
}

static void *run(void *argument) {
    struct logs_cloudwatch *c = argument;
    loop_run(c->shipper.loop);
    for (size_t i = 0; i < LOG_STREAM_COUNT; i++)
        shipment_done(&c->shipper.shipments[i]);
    queue_close(&c->shipper.queue);
    atomic_store(&c->flushed, true);
    return NULL;
}

static void free_parts(struct logs_cloudwatch *c) {
    for (size_t i = 0; i < LOG_STREAM_COUNT; i++)
        shipment_done(&c->shipper.shipments[i]);
    queue_done(&c->shipper.queue);
    free(c->shipper.events);
    transport_free(c->transport);
    aws_client_done(&c->shipper.client);
    loop_free(c->shipper.loop);
    free(c);
}

static enum err start_shipments(struct shipper *sh, struct error *error) {
    sh->events = calloc(LOGS_BATCH_MAX_EVENTS, sizeof *sh->events);
    if (sh->events == NULL)
        return error_set(error, ERR_NO_MEMORY, "no memory for the log shipper");
    for (size_t i = 0; i < LOG_STREAM_COUNT; i++)
        if (loop_timer_start(sh->loop, &sh->shipments[i].timer, LOGS_SEND_AFTER_MS) != ERR_OK)
            return error_set(error, ERR_NO_MEMORY, "no memory for the log shipper");
    return ERR_OK;
}

static void set_client(struct logs_cloudwatch *c) {
    c->shipper.client = (struct aws_client){
        .loop = c->shipper.loop,
        .transport = c->transport,
        .credentials = c->options.credentials,
        .service = "logs",
        .region = c->options.region,
        .max_attempts = 1, /* a shipment waits and tries again by itself */
        .connect_ms = c->options.connect_ms,
        .silence_ms = c->options.silence_ms,
    };
    retry_bucket_init(&c->shipper.client.bucket);
}

enum err logs_cloudwatch_start(const struct logs_cloudwatch_options *options,
                               struct logs_cloudwatch **ret, struct error *error) {
    struct logs_cloudwatch *c = calloc(1, sizeof *c);
    if (c == NULL)
        return error_set(error, ERR_NO_MEMORY, "no memory for the log shipper");
    struct shipper *sh = &c->shipper;
    c->options = *options;
    sh->options = &c->options;
    sh->on_idle = stop_when_done;
    queue_init(&sh->queue, options->queue_bytes);
    for (size_t i = 0; i < LOG_STREAM_COUNT; i++)
        shipment_init(&sh->shipments[i], sh, (enum log_stream)i);
    loop_task_init(&c->full, full_run);
    loop_task_init(&c->flush, flush_run);
    c->deadline.fire = deadline_fired;
    enum err e = loop_new(&sh->loop, error);
    if (e == ERR_OK)
        e = transport_new(sh->loop, IDLE_CONNECTIONS, &c->transport, error);
    if (e == ERR_OK)
        e = start_shipments(sh, error);
    if (e == ERR_OK)
        set_client(c);
    if (e == ERR_OK && pthread_create(&c->thread, NULL, run, c) != 0)
        e = error_set(error, ERR_SYSTEM, "the log shipper's thread does not start");
    if (e != ERR_OK) {
        free_parts(c);
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
        copy.text = buf_error(&message) == ERR_OK ? buf_span(&message) : SPAN("-");
    }
    if (queue_put(&c->shipper.queue, &copy))
        loop_post_remote(c->shipper.loop, &c->full);
    buf_done(&message);
}

struct log_sink logs_cloudwatch_sink(struct logs_cloudwatch *c) {
    return (struct log_sink){sink_write, c};
}

struct logs_cloudwatch_counts logs_cloudwatch_counts(struct logs_cloudwatch *c) {
    return queue_counts(&c->shipper.queue);
}

void logs_cloudwatch_flush(struct logs_cloudwatch *c, unsigned timeout_ms) {
    if (c->flush_asked)
        return;
    c->flush_asked = true;
    c->flush_ms = timeout_ms;
    loop_post_remote(c->shipper.loop, &c->flush);
}

bool logs_cloudwatch_is_flushed(const struct logs_cloudwatch *c) {
    return atomic_load(&c->flushed);
}

void logs_cloudwatch_free(struct logs_cloudwatch *c) {
    if (c == NULL)
        return;
    logs_cloudwatch_flush(c, 0);
    pthread_join(c->thread, NULL);
    free_parts(c);
}

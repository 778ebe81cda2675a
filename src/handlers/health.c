#include "health.h"

#include "answers.h"

#include "fileservice/base/clock.h"

#include <stdlib.h>

#include "fileservice/base/banned.h"

#define READY_ASK_EVERY_MS 5000
#define READY_BUCKET "fileservice-readiness" /* need not exist: any answer but a 5xx will do */
#define READY_KEY "readiness"

void health_root_on_body_end(struct exchange *x) {
    struct reply r;
    answers_begin(&r, 200, "The service is running.");
    buf_append_text(&r.body, ",\"data\":{\"version\":\"" FILESERVICE_VERSION "\"}}\n");
    exchange_reply(x, &r);
}

void health_live_on_body_end(struct exchange *x) {
    struct reply r;
    answers_begin(&r, 200, "The service is alive.");
    buf_append_text(&r.body, "}\n");
    exchange_reply(x, &r);
}

static void say_ready(struct exchange *x, const struct handlers_readiness *ready) {
    struct reply r;
    if (atomic_load(&ready->draining)) {
        answers_fail(x, ERR_BUSY, "Draining", "The service is shutting down.");
    } else if (atomic_load(&ready->asked_ms) == 0) {
        answers_fail(x, ERR_BUSY, "S3Unavailable",
                     "S3 was asked for the first time and has not answered yet.");
    } else if (!atomic_load(&ready->s3_answers)) {
        answers_fail(x, ERR_BUSY, "S3Unavailable", "S3 does not answer.");
    } else {
        answers_begin(&r, 200, "The service is ready.");
        buf_append_text(&r.body, "}\n");
        exchange_reply(x, &r);
    }
}

static void on_probe(void *context, enum err e, const struct s3_object *object,
                     const struct error *error) {
    struct exchange *x = context;
    struct handlers_readiness *ready = answers_app(x)->readiness;
    (void)object;
    exchange_set_state(x, NULL);
    /* Any HTTP answer below 500 that does not reject our credentials: no bucket has to exist, and no
     * right beyond those of the routes is needed. */
    bool answers =
        e == ERR_OK || (error->status > 0 && error->status < 500 && e != ERR_CREDENTIALS);
    atomic_store(&ready->s3_answers, answers);
    atomic_store(&ready->asked_ms, clock_monotonic_ms());
    atomic_store(&ready->asking, false);
    say_ready(x, ready);
}

static bool is_fresh(const struct handlers_readiness *ready) {
    uint64_t asked = atomic_load(&ready->asked_ms);
    return asked != 0 && clock_monotonic_ms() - asked < READY_ASK_EVERY_MS;
}

void health_ready_on_body_end(struct exchange *x) {
    struct handlers_app *app = answers_app(x);
    struct handlers_readiness *ready = app->readiness;
    const struct config_list *allowed = &app->config->bucket_allowlist;
    struct credentials *credentials = NULL;
    struct error error;
    if (credentials_get(app->s3.aws.credentials, &credentials, &error) != ERR_OK) {
        answers_fail(x, ERR_BUSY, "CredentialsUnavailable",
                     "The service has no credentials for S3.");
        return;
    }
    credentials_unref(credentials);
    /* While somebody asks, the last answer holds: one call at a time, and not more than one in 5 s. */
    if (atomic_load(&ready->draining) || is_fresh(ready) || atomic_exchange(&ready->asking, true)) {
        say_ready(x, ready);
        return;
    }
    struct s3_object_call *call = NULL;
    struct span bucket = allowed->count > 0 ? span_of(allowed->items[0]) : SPAN(READY_BUCKET);
    if (s3_object_probe(&app->s3, bucket, SPAN(READY_KEY), exchange_trace(x), on_probe, x, &call) !=
        ERR_OK) {
        atomic_store(&ready->asking, false);
        answers_fail(x, ERR_NO_MEMORY, "ServiceUnavailable",
                     "There is no memory for this request.");
        return;
    }
    exchange_set_state(x, call);
}

void health_on_close(struct exchange *x) {
    struct s3_object_call *call = exchange_state(x);
    if (call == NULL)
        return;
    atomic_store(&answers_app(x)->readiness->asking, false);
    s3_object_cancel(call);
}

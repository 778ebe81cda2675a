#include "download.h"

#include "answers.h"
#include "stream.h"

#include "fileservice/base/clock.h"
#include "fileservice/s3/presign.h"

#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

/* GET and HEAD of an object, in one of three ways: a URL to fetch it (S3 is asked whether it is there,
 * then one is signed), a redirect to that URL, or the bytes themselves. */
enum delivery { DELIVERY_URL, DELIVERY_REDIRECT, DELIVERY_STREAM };

struct download {
    struct exchange *exchange;
    enum delivery delivery;
    struct s3_object_call *call; /* is it there? */
    struct stream_job *stream;
    bool attachment;
    uint32_t expires_s;
};

static enum err refuse(struct error *error, const char *code, const char *sentence) {
    error_set(error, ERR_BAD_INPUT, "%s", sentence);
    memcpy(error->code, code, strlen(code) + 1);
    return ERR_BAD_INPUT;
}

static enum err read_delivery(const struct exchange *x, enum delivery *ret, struct error *error) {
    static const struct {
        const char *word;
        enum delivery delivery;
    } words[] = {
        {"url", DELIVERY_URL}, {"redirect", DELIVERY_REDIRECT}, {"stream", DELIVERY_STREAM}};
    struct buf value;
    buf_init(&value, 32);
    enum err e = router_query(exchange_target(x)->query, "delivery", &value);
    bool good = e == ERR_NOT_FOUND;
    *ret = DELIVERY_URL;
    for (size_t i = 0; e == ERR_OK && i < sizeof words / sizeof *words; i++)
        if (span_eq(buf_span(&value), span_of(words[i].word))) {
            *ret = words[i].delivery;
            good = true;
        }
    buf_done(&value);
    return good ? ERR_OK
                : refuse(error, "InvalidDelivery", "delivery can be url, redirect or stream.");
}

static enum err read_attachment(const struct exchange *x, enum delivery delivery, bool *ret,
                                struct error *error) {
    struct buf value;
    buf_init(&value, 8);
    enum err e = router_query(exchange_target(x)->query, "download", &value);
    *ret = e == ERR_OK && span_eq(buf_span(&value), SPAN("1"));
    bool good = e == ERR_NOT_FOUND || (*ret && delivery == DELIVERY_STREAM);
    buf_done(&value);
    return good ? ERR_OK
                : refuse(error, "InvalidDownload", "download can only be 1, with delivery=stream.");
}

/* A HEAD that follows the redirect must find a URL that is signed for HEAD. */
static void redirect(struct download *d) {
    struct exchange *x = d->exchange;
    const struct router_target *t = exchange_target(x);
    struct error error;
    struct reply r;
    struct buf url;
    int64_t expires_ms;
    buf_init(&url, S3_PRESIGN_MAX_BYTES);
    const char *method = exchange_method(x) == ROUTER_HEAD ? "HEAD" : "GET";
    enum err e = s3_presign(&answers_app(x)->s3, method, span_of(t->bucket), buf_span(&t->key),
                            d->expires_s, clock_wall_ms(), &url, &expires_ms, &error);
    if (e != ERR_OK) {
        exchange_fail(x, &error);
    } else {
        reply_init(&r, 302);
        reply_header(&r, "Location", buf_span(&url));
        reply_header(&r, "Cache-Control", SPAN("no-store"));
        exchange_reply(x, &r);
    }
    buf_done_secret(&url);
}

static void on_object(void *context, enum err e, const struct s3_object *object,
                      const struct error *error) {
    struct download *d = context;
    d->call = NULL;
    if (e != ERR_OK) {
        exchange_note_s3_request_id(d->exchange, error->request_id);
        exchange_fail(d->exchange, error);
        return;
    }
    if (d->delivery == DELIVERY_REDIRECT) {
        exchange_note_s3_request_id(d->exchange, object->request_id);
        redirect(d);
        return;
    }
    struct answers_object o = {.object = object};
    answers_object(d->exchange, 200, "The file is there.", &o, d->expires_s);
}

void download_on_head(struct exchange *x) {
    struct error error;
    const struct router_target *t = exchange_target(x);
    struct download *d = calloc(1, sizeof *d);
    if (d == NULL) {
        answers_fail(x, ERR_NO_MEMORY, "ServiceUnavailable",
                     "There is no memory for this request.");
        return;
    }
    d->exchange = x;
    exchange_set_state(x, d);
    enum err e = answers_bucket_allowed(answers_app(x)->config, span_of(t->bucket), &error);
    if (e == ERR_OK)
        e = answers_expires(x, &d->expires_s, &error);
    if (e == ERR_OK)
        e = read_delivery(x, &d->delivery, &error);
    if (e == ERR_OK)
        e = read_attachment(x, d->delivery, &d->attachment, &error);
    if (e != ERR_OK)
        exchange_fail(x, &error);
}

void download_on_body_end(struct exchange *x) {
    struct download *d = exchange_state(x);
    const struct router_target *t = exchange_target(x);
    enum err e = d->delivery == DELIVERY_STREAM
                     ? stream_job_start(x, d->attachment, &d->stream)
                     : s3_object_head(&answers_app(x)->s3, span_of(t->bucket), buf_span(&t->key),
                                      exchange_trace(x), on_object, d, &d->call);
    if (e != ERR_OK)
        answers_fail(x, ERR_NO_MEMORY, "ServiceUnavailable",
                     "There is no memory for this request.");
}

void download_on_room(struct exchange *x) {
    struct download *d = exchange_state(x);
    stream_job_resume(d->stream);
}

void download_on_close(struct exchange *x) {
    struct download *d = exchange_state(x);
    if (d == NULL)
        return;
    s3_object_cancel(d->call);
    stream_job_free(d->stream);
    free(d);
}

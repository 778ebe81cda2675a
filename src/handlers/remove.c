#include "remove.h"

#include "answers.h"

#include "fileservice/base/banned.h"

/* The exchange's state is the call itself: there is nothing else to remember. */

static void on_deleted(void *context, enum err e, const struct s3_object *object,
                       const struct error *error) {
    struct exchange *x = context;
    struct reply r;
    exchange_set_state(x, NULL);
    exchange_note_s3_request_id(x, e == ERR_OK ? object->request_id : error->request_id);
    if (e != ERR_OK) {
        exchange_fail(x, error);
        return;
    }
    answers_begin(&r, 200, "Deleted file successfully.");
    buf_append_text(&r.body, "}\n");
    exchange_reply(x, &r);
}

void remove_on_head(struct exchange *x) {
    struct error error;
    const char *bucket = exchange_target(x)->bucket;
    if (answers_bucket_allowed(answers_app(x)->config, span_of(bucket), &error) != ERR_OK)
        exchange_fail(x, &error);
}

void remove_on_body_end(struct exchange *x) {
    const struct router_target *t = exchange_target(x);
    struct s3_object_call *call = NULL;
    if (s3_object_delete(&answers_app(x)->s3, span_of(t->bucket), buf_span(&t->key),
                         exchange_trace(x), on_deleted, x, &call) != ERR_OK)
        answers_fail(x, ERR_NO_MEMORY, "ServiceUnavailable",
                     "There is no memory for this request.");
    else
        exchange_set_state(x, call);
}

void remove_on_close(struct exchange *x) { s3_object_cancel(exchange_state(x)); }

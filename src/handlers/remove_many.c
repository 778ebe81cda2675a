#include "remove_many.h"

#include "answers.h"

#include "fileservice/base/json.h"
#include "fileservice/s3/remove_many.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

/* 1,000 keys of 1,024 bytes; of 512 letters beyond ASCII, each may be written as \uXXXX. */
#define REMOVE_BODY_MAX_BYTES 4194304
/* Of all such bodies of a worker together: a body cannot be held back, its end decides what it says. */
#define REMOVE_BODIES_MAX_BYTES 67108864
/* Keys of the request, failures with their messages, each byte as up to six. */
#define REMOVE_ANSWER_MAX_BYTES 16777216

struct removal {
    struct exchange *exchange;
    struct s3_remove_many_call *call;
    struct buf body;
    size_t held; /* in the worker's account */
};

static void fail_no_memory(struct exchange *x) {
    answers_fail(x, ERR_NO_MEMORY, "ServiceUnavailable", "There is no memory for this request.");
}

static void fail_too_large(struct exchange *x) {
    answers_fail(x, ERR_TOO_LARGE, "EntityTooLarge", "A list of keys can have 4 MiB.");
}

/* Reading the body */

static enum err refuse(struct error *error, const char *code, const char *sentence) {
    error_set(error, ERR_BAD_INPUT, "%s", sentence);
    memcpy(error->code, code, strlen(code) + 1);
    return ERR_BAD_INPUT;
}

static enum err refuse_count(struct error *error) {
    return refuse(error, "TooManyKeys", "At most 1000 keys can be deleted at once.");
}

/* Before a tree is made of it: in 4 MiB there is room for two million values, each of which takes
 * some 70 bytes in the tree. */
static bool has_too_many_values(struct span json) {
    size_t commas = 0;
    bool in_string = false;
    for (size_t i = 0; i < json.n; i++) {
        if (in_string && json.p[i] == '\\')
            i++;
        else if (json.p[i] == '"')
            in_string = !in_string;
        else if (!in_string && json.p[i] == ',')
            commas++;
    }
    return commas >= S3_REMOVE_KEYS_MAX;
}

/* XML 1.0 has no way to write them, and one such key would spoil the call for all. */
static bool has_noncharacter(struct span key) {
    for (size_t i = 0; i + 2 < key.n; i++)
        if (memcmp(key.p + i, "\xEF\xBF\xBE", 3) == 0 || memcmp(key.p + i, "\xEF\xBF\xBF", 3) == 0)
            return true;
    return false;
}

static enum err check_key(struct span key, size_t i, struct error *error) {
    struct error why;
    enum err e = router_check_key(key, &why);
    if (e == ERR_OK && has_noncharacter(key)) {
        e = ERR_BAD_INPUT;
        error_set(&why, e, "A key with U+FFFE or U+FFFF can only be deleted alone.");
    }
    if (e == ERR_OK)
        return e;
    error_set(error, e, "keys[%zu]: %s", i, why.message);
    memcpy(error->code, "InvalidKey", sizeof "InvalidKey");
    return e;
}

static enum err read_keys(const json_t *list, struct texts *keys, struct error *error) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_string(item)) {
            error_set(error, ERR_BAD_INPUT, "keys[%zu] is not a string.", i);
            memcpy(error->code, "InvalidRequest", sizeof "InvalidRequest");
            return ERR_BAD_INPUT;
        }
        struct span key = {json_string_value(item), json_string_length(item)};
        enum err e = check_key(key, i, error);
        if (e != ERR_OK)
            return e;
        texts_append(keys, key);
    }
    if (texts_error(keys) != ERR_OK)
        return error_set(error, ERR_NO_MEMORY, "There is no memory for this request.");
    return ERR_OK;
}

/* Nothing but `keys`: a wish that we do not know must not end in a deletion. */
static enum err read_root(const json_t *root, struct texts *keys, struct error *error) {
    const json_t *list = json_object_get(root, "keys");
    if (!json_is_array(list) || json_object_size(root) != 1)
        return refuse(error, "InvalidRequest",
                      "The body must be an object with nothing but keys, a list of strings.");
    if (json_array_size(list) == 0)
        return refuse(error, "InvalidRequest", "The list of keys is empty.");
    if (json_array_size(list) > S3_REMOVE_KEYS_MAX)
        return refuse_count(error);
    return read_keys(list, keys, error);
}

static enum err read_body(struct span body, struct texts *keys, struct error *error) {
    json_error_t where;
    if (has_too_many_values(body))
        return refuse_count(error);
    json_t *root = json_loadb(body.n > 0 ? body.p : "", body.n, JSON_REJECT_DUPLICATES, &where);
    if (root == NULL && json_error_code(&where) == json_error_out_of_memory)
        return error_set(error, ERR_NO_MEMORY, "There is no memory for this request.");
    if (root == NULL)
        return refuse(error, "MalformedJSON", "The body is not JSON.");
    enum err e = read_root(root, keys, error);
    json_decref(root);
    return e;
}

/* Answering */

static void append_failure(struct buf *b, const struct s3_remove_failure *f) {
    buf_append_byte(b, '{');
    json_append_member(b, "key", f->key);
    json_append_member(b, "code", f->code.n > 0 ? f->code : SPAN("Unknown"));
    json_append_member(b, "message", f->message.n > 0 ? f->message : SPAN("S3 gave no reason."));
    buf_append_byte(b, '}');
}

static void answer(struct exchange *x, const struct s3_removed *removed) {
    struct reply r;
    struct buf *b = &r.body;
    size_t failures = s3_removed_failure_count(removed);
    answers_begin(&r, 200,
                  failures == 0 ? "Deleted files successfully."
                                : "Some files could not be deleted.");
    reply_allow_body(&r, REMOVE_ANSWER_MAX_BYTES);
    buf_append_text(b, ",\"data\":{\"deleted\":[");
    for (size_t i = 0; i < removed->deleted.count; i++) {
        buf_append_text(b, i == 0 ? "" : ",");
        json_append_string(b, texts_at(&removed->deleted, i));
    }
    buf_append_text(b, "],\"errors\":[");
    for (size_t i = 0; i < failures; i++) {
        struct s3_remove_failure f = s3_removed_failure(removed, i);
        buf_append_text(b, i == 0 ? "" : ",");
        append_failure(b, &f);
    }
    buf_append_text(b, "]}}\n");
    exchange_reply(x, &r);
}

static void on_removed(void *context, enum err e, const struct s3_removed *removed,
                       const struct error *error) {
    struct removal *m = context;
    m->call = NULL;
    exchange_note_s3_request_id(m->exchange, e == ERR_OK ? removed->request_id : error->request_id);
    if (e == ERR_OK)
        answer(m->exchange, removed);
    else
        exchange_fail(m->exchange, error);
}

/* The request */

static bool is_json(struct span content_type) {
    struct span type = {content_type.p, span_find(content_type, ';')};
    return span_eq_nocase(span_trim(type), SPAN("application/json"));
}

static bool check_head(struct exchange *x) {
    struct error error;
    struct span bucket = span_of(exchange_target(x)->bucket);
    if (answers_bucket_allowed(answers_app(x)->config, bucket, &error) != ERR_OK)
        exchange_fail(x, &error);
    else if (!is_json(exchange_header(x, "Content-Type")))
        answers_fail(x, ERR_BAD_INPUT, "UnsupportedMediaType",
                     "A list of keys must be application/json.");
    else if (exchange_length(x) > REMOVE_BODY_MAX_BYTES)
        fail_too_large(x);
    else
        return true;
    return false;
}

void remove_many_on_head(struct exchange *x) {
    if (!check_head(x))
        return;
    struct removal *m = calloc(1, sizeof *m);
    if (m == NULL) {
        fail_no_memory(x);
        return;
    }
    m->exchange = x;
    buf_init(&m->body, REMOVE_BODY_MAX_BYTES);
    exchange_set_state(x, m);
}

/* A body that was refused may still come for a while: what it holds is given back at once. */
static void give_back(struct removal *m) {
    answers_app(m->exchange)->remove_many_bytes -= m->held;
    m->held = 0;
    buf_done(&m->body);
}

/* False after a reply. */
static bool keep(struct removal *m, struct span data) {
    size_t *account = &answers_app(m->exchange)->remove_many_bytes;
    if (data.n > m->body.max - m->body.n) {
        fail_too_large(m->exchange);
        return false;
    }
    if (data.n > REMOVE_BODIES_MAX_BYTES - *account) {
        answers_fail(m->exchange, ERR_BUSY, "ServiceUnavailable",
                     "There are too many lists of keys at once.");
        return false;
    }
    buf_append(&m->body, data);
    if (buf_error(&m->body) != ERR_OK) {
        fail_no_memory(m->exchange);
        return false;
    }
    m->held += data.n;
    *account += data.n;
    return true;
}

size_t remove_many_on_body(struct exchange *x, struct span data) {
    struct removal *m = exchange_state(x);
    if (!keep(m, data))
        give_back(m);
    return data.n;
}

void remove_many_on_body_end(struct exchange *x) {
    struct removal *m = exchange_state(x);
    struct error error;
    struct texts keys;
    texts_init(&keys, S3_REMOVE_KEYS_MAX, S3_REMOVE_KEYS_MAX_BYTES);
    if (read_body(buf_span(&m->body), &keys, &error) != ERR_OK)
        exchange_fail(x, &error);
    else if (s3_remove_many_start(&answers_app(x)->s3, span_of(exchange_target(x)->bucket), &keys,
                                  exchange_trace(x), on_removed, m, &m->call) != ERR_OK)
        fail_no_memory(x);
    buf_done(&m->body);
    texts_done(&keys);
}

void remove_many_on_close(struct exchange *x) {
    struct removal *m = exchange_state(x);
    if (m == NULL)
        return;
    give_back(m);
    s3_remove_many_cancel(m->call);
    free(m);
}

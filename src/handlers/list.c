#include "list.h"

#include "answers.h"

#include "fileservice/base/json.h"
#include "fileservice/s3/list.h"

#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

#define LIST_LIMIT_DEFAULT 100
/* 1,000 keys of 1,024 control characters, each as \u00XX, and 300 bytes about each. */
#define LIST_BODY_MAX_BYTES 8388608

struct listing {
    struct exchange *exchange;
    struct s3_list_call *call;
    struct buf prefix;
    struct buf delimiter;
    struct buf token; /* S3's, out of the cursor */
    unsigned limit;
};

static struct s3_list_query query_of(const struct listing *l) {
    return (struct s3_list_query){
        .bucket = span_of(exchange_target(l->exchange)->bucket),
        .prefix = buf_span(&l->prefix),
        .delimiter = buf_span(&l->delimiter),
        .token = buf_span(&l->token),
        .limit = l->limit,
    };
}

/* Reading the query */

static enum err refuse(struct error *error, const char *code, const char *sentence) {
    error_set(error, ERR_BAD_INPUT, "%s", sentence);
    memcpy(error->code, code, strlen(code) + 1);
    return ERR_BAD_INPUT;
}

static enum err read_limit(const struct exchange *x, unsigned *ret, struct error *error) {
    struct buf value;
    uint64_t limit = LIST_LIMIT_DEFAULT;
    buf_init(&value, 32);
    enum err e = router_query(exchange_target(x)->query, "limit", &value);
    bool good = e == ERR_NOT_FOUND || (e == ERR_OK && span_to_u64(buf_span(&value), &limit) &&
                                       limit >= 1 && limit <= S3_LIST_LIMIT_MAX);
    buf_done(&value);
    if (!good)
        return refuse(error, "InvalidLimit", "limit must be a number from 1 to 1000.");
    *ret = (unsigned)limit;
    return ERR_OK;
}

/* What prefix and delimiter may be: the beginning or a piece of a key. */
static enum err read_text(const struct exchange *x, const char *name, struct buf *ret,
                          const char *code, struct error *error) {
    enum err e = router_query(exchange_target(x)->query, name, ret);
    if (e == ERR_NO_MEMORY)
        return error_set(error, e, "There is no memory for this request.");
    if (e == ERR_NOT_FOUND || (e == ERR_OK && span_is_utf8(buf_span(ret))))
        return ERR_OK;
    error_set(error, ERR_BAD_INPUT, "%s must be given once, as UTF-8 of at most 1024 bytes.", name);
    memcpy(error->code, code, strlen(code) + 1);
    return ERR_BAD_INPUT;
}

static enum err read_cursor(struct listing *l, struct error *error) {
    struct buf value;
    struct s3_list_query query = query_of(l);
    buf_init(&value, S3_LIST_CURSOR_MAX_BYTES);
    enum err e = router_query(exchange_target(l->exchange)->query, "cursor", &value);
    bool absent = e == ERR_NOT_FOUND;
    if (e == ERR_OK)
        e = s3_list_open(&query, buf_span(&value), &l->token);
    buf_done(&value);
    if (absent || e == ERR_OK)
        return ERR_OK;
    if (e == ERR_NO_MEMORY || e == ERR_INTERNAL)
        return error_set(error, e, "The cursor could not be read.");
    return refuse(error, "InvalidCursor",
                  "cursor is none that this service gave for this bucket, prefix and delimiter.");
}

static enum err read_query(struct listing *l, struct error *error) {
    const struct exchange *x = l->exchange;
    enum err e = answers_bucket_allowed(answers_app(x)->config, query_of(l).bucket, error);
    if (e == ERR_OK)
        e = read_limit(x, &l->limit, error);
    if (e == ERR_OK)
        e = read_text(x, "prefix", &l->prefix, "InvalidPrefix", error);
    if (e == ERR_OK)
        e = read_text(x, "delimiter", &l->delimiter, "InvalidDelimiter", error);
    if (e == ERR_OK)
        e = read_cursor(l, error);
    return e;
}

/* Answering */

static void append_objects(struct buf *b, const struct s3_list_page *page) {
    json_append_name(b, "objects");
    buf_append_byte(b, '[');
    for (size_t i = 0; i < page->keys.count; i++) {
        struct s3_list_object o = s3_list_object(page, i);
        buf_append_text(b, i == 0 ? "{" : ",{");
        json_append_member(b, "key", o.key);
        json_append_name(b, "size");
        buf_append_u64(b, o.size);
        if (o.etag.n > 0)
            json_append_member(b, "etag", o.etag);
        if (o.last_modified.n > 0)
            json_append_member(b, "last_modified", o.last_modified);
        buf_append_byte(b, '}');
    }
    buf_append_byte(b, ']');
}

static void append_prefixes(struct buf *b, const struct s3_list_page *page) {
    json_append_name(b, "prefixes");
    buf_append_byte(b, '[');
    for (size_t i = 0; i < page->prefixes.count; i++) {
        if (i > 0)
            buf_append_byte(b, ',');
        json_append_string(b, texts_at(&page->prefixes, i));
    }
    buf_append_byte(b, ']');
}

static enum err append_cursor(struct buf *b, const struct s3_list_query *query,
                              const struct s3_list_page *page) {
    struct buf cursor;
    if (page->token.n == 0)
        return ERR_OK;
    buf_init(&cursor, S3_LIST_CURSOR_MAX_BYTES);
    enum err e = s3_list_seal(query, buf_span(&page->token), &cursor);
    if (e == ERR_OK)
        json_append_member(b, "cursor", buf_span(&cursor));
    buf_done(&cursor);
    return e;
}

static void answer(struct listing *l, const struct s3_list_page *page) {
    struct reply r;
    struct buf *b = &r.body;
    struct s3_list_query query = query_of(l);
    answers_begin(&r, 200, "Listed files successfully.");
    reply_allow_body(&r, LIST_BODY_MAX_BYTES);
    buf_append_text(b, ",\"data\":{");
    json_append_member(b, "bucket", query.bucket);
    if (query.prefix.n > 0)
        json_append_member(b, "prefix", query.prefix);
    if (query.delimiter.n > 0)
        json_append_member(b, "delimiter", query.delimiter);
    append_objects(b, page);
    append_prefixes(b, page);
    enum err e = append_cursor(b, &query, page);
    buf_append_text(b, "}}\n");
    if (e == ERR_OK) {
        exchange_reply(l->exchange, &r);
        return;
    }
    reply_done(&r);
    answers_fail(l->exchange, e, "", "The cursor could not be made.");
}

static void on_page(void *context, enum err e, const struct s3_list_page *page,
                    const struct error *error) {
    struct listing *l = context;
    l->call = NULL;
    exchange_note_s3_request_id(l->exchange, e == ERR_OK ? page->request_id : error->request_id);
    if (e == ERR_OK)
        answer(l, page);
    else
        exchange_fail(l->exchange, error);
}

void list_on_head(struct exchange *x) {
    struct error error;
    struct listing *l = calloc(1, sizeof *l);
    if (l == NULL) {
        answers_fail(x, ERR_NO_MEMORY, "ServiceUnavailable",
                     "There is no memory for this request.");
        return;
    }
    l->exchange = x;
    buf_init(&l->prefix, S3_KEY_MAX_BYTES);
    buf_init(&l->delimiter, S3_KEY_MAX_BYTES);
    buf_init(&l->token, S3_LIST_TOKEN_MAX_BYTES);
    exchange_set_state(x, l);
    if (read_query(l, &error) != ERR_OK)
        exchange_fail(x, &error);
}

void list_on_body_end(struct exchange *x) {
    struct listing *l = exchange_state(x);
    struct s3_list_query query = query_of(l);
    if (s3_list_start(&answers_app(x)->s3, &query, exchange_trace(x), on_page, l, &l->call) !=
        ERR_OK)
        answers_fail(x, ERR_NO_MEMORY, "ServiceUnavailable",
                     "There is no memory for this request.");
}

void list_on_close(struct exchange *x) {
    struct listing *l = exchange_state(x);
    if (l == NULL)
        return;
    s3_list_cancel(l->call);
    buf_done(&l->prefix);
    buf_done(&l->delimiter);
    buf_done(&l->token);
    free(l);
}

#include "fileservice/s3/remove_many.h"

#include "fileservice/s3/xml.h"

#include "xml_rows.h"

#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

#define FAILURE_TEXTS 3 /* key, code and message */

/* The document that asks */

void s3_remove_many_write(struct buf *document, const struct texts *keys) {
    buf_append_text(document, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < keys->count; i++) {
        buf_append_text(document, "<Object><Key>");
        s3_xml_escape(document, texts_at(keys, i));
        buf_append_text(document, "</Key></Object>");
    }
    buf_append_text(document, "</Delete>");
}

/* The document that answers */

enum slot {
    SLOT_DELETED,
    SLOT_KEY,
    SLOT_CODE,
    SLOT_MESSAGE,
    SLOT_COUNT,
};

static const struct xml_rows_field fields[] = {
    {"Deleted", "Key", SLOT_DELETED, false},
    {"Error", "Key", SLOT_KEY, false},
    {"Error", "Code", SLOT_CODE, true},
    {"Error", "Message", SLOT_MESSAGE, true},
};

static const size_t slot_max[SLOT_COUNT] = {
    [SLOT_DELETED] = S3_KEY_MAX_BYTES,
    [SLOT_KEY] = S3_KEY_MAX_BYTES,
    [SLOT_CODE] = ERROR_CODE_MAX_BYTES,
    [SLOT_MESSAGE] = S3_REMOVE_MESSAGE_MAX_BYTES,
};

struct reading {
    struct s3_removed *removed;
    struct buf slots[SLOT_COUNT];
};

void s3_removed_init(struct s3_removed *r) {
    memset(r, 0, sizeof *r);
    texts_init(&r->deleted, S3_REMOVE_KEYS_MAX, S3_REMOVE_KEYS_MAX_BYTES);
    texts_init(&r->failures, (size_t)FAILURE_TEXTS * S3_REMOVE_KEYS_MAX,
               S3_REMOVE_DOCUMENT_MAX_BYTES);
}

void s3_removed_done(struct s3_removed *r) {
    texts_done(&r->deleted);
    texts_done(&r->failures);
}

size_t s3_removed_failure_count(const struct s3_removed *r) {
    return r->failures.count / FAILURE_TEXTS;
}

struct s3_remove_failure s3_removed_failure(const struct s3_removed *r, size_t i) {
    return (struct s3_remove_failure){
        .key = texts_at(&r->failures, FAILURE_TEXTS * i),
        .code = texts_at(&r->failures, FAILURE_TEXTS * i + 1),
        .message = texts_at(&r->failures, FAILURE_TEXTS * i + 2),
    };
}

static enum err on_row(void *context, const char *parent) {
    struct reading *r = context;
    if (strcmp(parent, "Deleted") == 0) {
        texts_append(&r->removed->deleted, buf_span(&r->slots[SLOT_DELETED]));
        return r->slots[SLOT_DELETED].n == 0 ? ERR_UPSTREAM : texts_error(&r->removed->deleted);
    }
    if (r->slots[SLOT_KEY].n == 0)
        return ERR_UPSTREAM;
    for (size_t i = SLOT_KEY; i < SLOT_COUNT; i++)
        texts_append(&r->removed->failures, buf_span(&r->slots[i]));
    return texts_error(&r->removed->failures);
}

enum err s3_remove_many_read(struct span document, struct s3_removed *ret) {
    struct reading r = {.removed = ret};
    struct xml_rows rows = {
        .root = "DeleteResult",
        .fields = fields,
        .field_count = sizeof fields / sizeof *fields,
        .slots = r.slots,
        .on_row = on_row,
        .context = &r,
    };
    for (size_t i = 0; i < SLOT_COUNT; i++)
        buf_init(&r.slots[i], slot_max[i]);
    enum err e = xml_rows_read(document, S3_REMOVE_DOCUMENT_MAX_BYTES, &rows);
    for (size_t i = 0; i < SLOT_COUNT; i++)
        buf_done(&r.slots[i]);
    return e;
}

static int compare(const void *left, const void *right) {
    const struct span *a = left;
    const struct span *b = right;
    return span_cmp(*a, *b);
}

/* All keys of both lists, sorted; NULL when there is no memory. */
static struct span *sorted_keys(const struct s3_removed *r, size_t *ret_count) {
    size_t failures = s3_removed_failure_count(r);
    size_t count = r->deleted.count + failures;
    struct span *all = calloc(count + 1, sizeof *all);
    if (all == NULL)
        return NULL;
    for (size_t i = 0; i < r->deleted.count; i++)
        all[i] = texts_at(&r->deleted, i);
    for (size_t i = 0; i < failures; i++)
        all[r->deleted.count + i] = s3_removed_failure(r, i).key;
    qsort(all, count, sizeof *all, compare);
    *ret_count = count;
    return all;
}

/* Looked up first and added then: an addition moves the bytes that are looked at. */
enum err s3_removed_complete(struct s3_removed *r, const struct texts *keys) {
    struct texts missing;
    size_t count = 0;
    struct span *told = sorted_keys(r, &count);
    if (told == NULL)
        return ERR_NO_MEMORY;
    texts_init(&missing, S3_REMOVE_KEYS_MAX, S3_REMOVE_KEYS_MAX_BYTES);
    for (size_t i = 0; i < keys->count; i++) {
        struct span key = texts_at(keys, i);
        if (bsearch(&key, told, count, sizeof *told, compare) == NULL)
            texts_append(&missing, key);
    }
    free(told);
    for (size_t i = 0; i < missing.count; i++) {
        texts_append(&r->failures, texts_at(&missing, i));
        texts_append(&r->failures, SPAN(S3_REMOVE_NOT_REPORTED));
        texts_append(&r->failures, SPAN("S3 did not say what became of this key."));
    }
    enum err e = texts_error(&missing);
    texts_done(&missing);
    return e != ERR_OK ? e : texts_error(&r->failures);
}

/* The call */

struct s3_remove_many_call {
    struct aws_call *call;
    s3_remove_many_done *done;
    void *context;
    struct texts keys;
    struct buf document;
    struct span body;
    struct s3_removed removed;
};

static void call_free(struct s3_remove_many_call *c) {
    aws_call_cancel(c->call);
    texts_done(&c->keys);
    buf_done(&c->document);
    s3_removed_done(&c->removed);
    free(c);
}

void s3_remove_many_cancel(struct s3_remove_many_call *call) {
    if (call != NULL)
        call_free(call);
}

static enum err judge(void *context, const struct aws_response *r, struct error *error,
                      enum retry_kind *retry) {
    struct s3_remove_many_call *c = context;
    enum err e = s3_judge(context, r, error, retry);
    if (e != ERR_OK)
        return e;
    s3_removed_done(&c->removed);
    s3_removed_init(&c->removed);
    e = s3_remove_many_read(r->body, &c->removed);
    if (e == ERR_OK)
        e = s3_removed_complete(&c->removed, &c->keys);
    return e == ERR_OK ? e : s3_unreadable(r, e, error, retry);
}

static void on_done(void *context, enum err e, const struct aws_response *response,
                    const struct error *error) {
    struct s3_remove_many_call *c = context;
    c->call = NULL;
    if (e == ERR_OK) {
        struct span id = transport_header(response->head, "x-amz-request-id");
        if (id.n < sizeof c->removed.request_id && id.n > 0)
            memcpy(c->removed.request_id, id.p, id.n);
    }
    c->done(c->context, e, e == ERR_OK ? &c->removed : NULL, error);
    call_free(c);
}

static enum err ask(struct s3_client *s3, struct span bucket, const struct trace *trace,
                    struct s3_remove_many_call *c) {
    char hash[SIGV4_HEX_BYTES + 1];
    char md5[S3_CONTENT_MD5_BYTES];
    struct sigv4_pair parameter = {SPAN("delete"), SPAN("")};
    c->body = buf_span(&c->document);
    enum err e = buf_error(&c->document);
    if (e == ERR_OK)
        e = s3_content_md5(c->body, md5);
    if (e == ERR_OK)
        e = sigv4_hash_hex(c->body, hash);
    if (e != ERR_OK)
        return e;
    struct sigv4_pair headers[] = {
        {SPAN("content-md5"), span_of(md5)},
        {SPAN("content-type"), SPAN("application/xml")},
    };
    struct s3_request request = {
        .operation = S3_DELETE_OBJECTS,
        .trace = trace,
        .method = "POST",
        .bucket = bucket,
        .parameters = &parameter,
        .parameter_count = 1,
        .headers = headers,
        .header_count = sizeof headers / sizeof *headers,
        .body = &c->body,
        .body_count = 1,
        .has_body = true,
        .payload_hash = {hash, SIGV4_HEX_BYTES},
        .response_max_bytes = S3_REMOVE_DOCUMENT_MAX_BYTES,
    };
    return s3_call_start(s3, &request, judge, on_done, c, &c->call);
}

enum err s3_remove_many_start(struct s3_client *s3, struct span bucket, struct texts *keys,
                              const struct trace *trace, s3_remove_many_done *done, void *context,
                              struct s3_remove_many_call **ret) {
    struct s3_remove_many_call *c = calloc(1, sizeof *c);
    if (c == NULL)
        return ERR_NO_MEMORY;
    c->done = done;
    c->context = context;
    s3_removed_init(&c->removed);
    buf_init(&c->document, S3_REMOVE_DOCUMENT_MAX_BYTES);
    c->keys = *keys;
    texts_init(keys, keys->count_max, keys->bytes.max);
    s3_remove_many_write(&c->document, &c->keys);
    enum err e = ask(s3, bucket, trace, c);
    if (e != ERR_OK) {
        call_free(c);
        return e;
    }
    *ret = c;
    return ERR_OK;
}

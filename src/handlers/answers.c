#include "answers.h"

#include "fileservice/base/clock.h"
#include "fileservice/base/json.h"
#include "fileservice/s3/presign.h"

#include <string.h>

#include "fileservice/base/banned.h"

struct handlers_app *answers_app(const struct exchange *x) {
    return exchange_app(x);
}

void answers_fail(struct exchange *x, enum err err, const char *code, const char *sentence) {
    struct error error;
    error_set(&error, err, "%s", sentence);
    memcpy(error.code, code, strlen(code) + 1);
    exchange_fail(x, &error);
}

enum err answers_expires(const struct exchange *x, uint32_t *ret, struct error *error) {
    struct buf value;
    uint64_t seconds = answers_app(x)->config->presign_expires_s;
    buf_init(&value, 64);
    enum err e = router_query(exchange_target(x)->query, "expires", &value);
    bool good = e == ERR_NOT_FOUND || (e == ERR_OK && span_to_u64(buf_span(&value), &seconds) &&
                                       seconds >= 1 && seconds <= CONFIG_EXPIRES_MAX_SECONDS);
    buf_done(&value);
    if (!good) {
        error_set(error, ERR_BAD_INPUT, "expires must be a number of seconds from 1 to 604800.");
        memcpy(error->code, "InvalidExpires", sizeof "InvalidExpires");
        return ERR_BAD_INPUT;
    }
    *ret = (uint32_t)seconds;
    return ERR_OK;
}

enum err answers_bucket_allowed(const struct config *config, struct span bucket,
                                struct error *error) {
    const struct config_list *list = &config->bucket_allowlist;
    bool allowed = list->count == 0;
    for (size_t i = 0; i < list->count; i++)
        allowed = allowed || span_eq(bucket, span_of(list->items[i]));
    if (!allowed) {
        error_set(error, ERR_DENIED, "This bucket is not allowed here.");
        memcpy(error->code, "AccessDenied", sizeof "AccessDenied");
        return ERR_DENIED;
    }
    if (strlen(config->bucket_prefix) + bucket.n > S3_BUCKET_MAX_BYTES) {
        error_set(error, ERR_BAD_INPUT, "The name of the bucket is too long.");
        memcpy(error->code, "InvalidBucketName", sizeof "InvalidBucketName");
        return ERR_BAD_INPUT;
    }
    return ERR_OK;
}

void answers_begin(struct reply *r, unsigned status, const char *message) {
    reply_init(r, status);
    reply_header(r, "Content-Type", SPAN("application/json"));
    buf_append_text(&r->body, "{\"message\":");
    json_append_string(&r->body, span_of(message));
}

static void append_member(struct buf *b, const char *name, struct span value) {
    if (value.n > 0)
        json_append_member(b, name, value);
}

static void append_location_header(struct reply *r, struct span bucket, struct span key) {
    struct buf path;
    buf_init(&path, 4096); /* a key of 1,024 bytes, each as %XX */
    buf_append_text(&path, "/file/");
    url_encode(&path, bucket, false);
    buf_append_byte(&path, '/');
    url_encode(&path, key, true);
    reply_header(r, "Location", buf_span(&path));
    buf_done(&path);
}

void answers_object(struct exchange *x, unsigned status, const char *message,
                    const struct answers_object *o, uint32_t expires_s) {
    struct error error;
    struct reply r;
    struct buf url;
    int64_t expires_ms = 0;
    char expires_at[CLOCK_RFC3339_BYTES];
    buf_init(&url, S3_PRESIGN_MAX_BYTES);
    const struct router_target *t = exchange_target(x);
    struct span bucket = o->bucket.n > 0 ? o->bucket : span_of(t->bucket);
    struct span key = o->key.n > 0 ? o->key : buf_span(&t->key);
    enum err e = s3_presign(&answers_app(x)->s3, "GET", bucket, key, expires_s, clock_wall_ms(),
                            &url, &expires_ms, &error);
    if (e != ERR_OK) {
        buf_done_secret(&url);
        exchange_fail(x, &error);
        return;
    }
    clock_format_rfc3339_s(expires_ms, expires_at);
    answers_begin(&r, status, message);
    reply_header(&r, "Cache-Control", SPAN("no-store"));
    if (o->bucket.n > 0)
        append_location_header(&r, bucket, key);
    struct buf *b = &r.body;
    buf_append_text(b, ",\"data\":{");
    append_member(b, "bucket", o->bucket);
    append_member(b, "key", o->key);
    append_member(b, "location", buf_span(&url));
    append_member(b, "expires_at", span_of(expires_at));
    json_append_name(b, "size");
    buf_append_u64(b, o->object->size);
    append_member(b, "etag", span_of(o->object->etag));
    append_member(b, "content_type", span_of(o->object->content_type));
    append_member(b, "checksum_crc32", span_of(o->object->checksum_crc32));
    append_member(b, "checksum_crc64nvme", span_of(o->object->checksum_crc64nvme));
    append_member(b, "checksum_sha256", span_of(o->object->checksum_sha256));
    append_member(b, "last_modified", span_of(o->object->last_modified));
    buf_append_text(b, "}}\n");
    buf_done_secret(&url);
    exchange_note_s3_request_id(x, o->object->request_id);
    exchange_reply(x, &r);
}

#include "upload_job.h"

#include "fileservice/base/log.h"

#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

struct upload_job *upload_job_new(struct exchange *x) {
    struct error error;
    struct upload_job *j = calloc(1, sizeof *j);
    if (j == NULL) {
        answers_fail(x, ERR_NO_MEMORY, "ServiceUnavailable", "There is no memory for an upload.");
        return NULL;
    }
    j->exchange = x;
    buf_init(&j->bucket, ROUTER_BUCKET_MAX_BYTES + 1); /* one more, so that too long is seen */
    buf_init(&j->key, ROUTER_KEY_MAX_BYTES + 1);
    buf_init(&j->content_type, S3_CONTENT_TYPE_MAX_BYTES);
    buf_init(&j->attribute, UPLOAD_JOB_FIELD_MAX_BYTES);
    buf_init(&j->attribute_name, UPLOAD_JOB_NAME_MAX_BYTES);
    metadata_init(&j->metadata);
    exchange_set_state(x, j);
    if (answers_expires(x, &j->expires_s, &error) != ERR_OK) {
        exchange_fail(x, &error);
        return NULL;
    }
    return j;
}

void upload_job_free(struct upload_job *j) {
    if (j == NULL)
        return;
    if (j->upload != NULL)
        s3_upload_abandon(j->upload);
    multipart_free(j->form);
    buf_done(&j->bucket);
    buf_done(&j->key);
    buf_done(&j->content_type);
    buf_done(&j->attribute);
    buf_done(&j->attribute_name);
    metadata_done(&j->metadata);
    integrity_free(j->body_integrity);
    integrity_free(j->file_integrity);
    free(j);
}

/* What is said of the bytes */

struct reading {
    struct upload_job *job;
    enum err err;
    struct error *error;
};

static bool read_header(void *context, struct span name, struct span value) {
    struct reading *r = context;
    struct upload_job *j = r->job;
    bool form = exchange_target(j->exchange)->route != ROUTE_OBJECT;
    r->err = metadata_check_framing(name, value, r->error);
    if (r->err != ERR_OK)
        return false;
    if (integrity_is_name(name))
        r->err =
            integrity_take(form ? &j->body_integrity : &j->file_integrity, name, value, r->error);
    else if (form ? metadata_is_user_name(name) : metadata_is_name(name))
        r->err = metadata_take(&j->metadata, name, value, r->error);
    return r->err == ERR_OK;
}

enum err upload_job_read_headers(struct upload_job *j, struct error *error) {
    struct reading r = {j, ERR_OK, error};
    exchange_each_header(j->exchange, read_header, &r);
    return r.err;
}

enum err upload_job_take_attribute(struct upload_job *j, struct error *error) {
    struct span name = buf_span(&j->attribute_name);
    struct span value = buf_span(&j->attribute);
    if (integrity_is_name(name))
        return integrity_take(&j->file_integrity, name, value, error);
    return metadata_take(&j->metadata, name, value, error);
}

static void on_room(void *context) {
    struct upload_job *j = context;
    j->full = false;
    exchange_continue(j->exchange);
}

static void warn_no_cors(const struct upload_job *j, const struct error *warning) {
    const struct trace *trace = exchange_trace(j->exchange);
    struct log_field fields[] = {
        {"request_id", span_of(trace->request_id), 0}, {"trace_id", span_of(trace->trace_id), 0},
        {"parent_id", span_of(trace->parent_id), 0},   {"bucket", buf_span(&j->bucket), 0},
        {"error", span_of(warning->message), 0},
    };
    log_event(LOG_WARN, LOG_STREAM_DEFAULT, "the bucket was made without its CORS rule", fields,
              sizeof fields / sizeof *fields);
}

static void on_done(void *context, enum err e, const struct s3_object *object,
                    const struct error *error, const struct error *warning) {
    struct upload_job *j = context;
    j->upload = NULL;
    if (warning != NULL)
        warn_no_cors(j, warning);
    if (e != ERR_OK) {
        exchange_note_s3_request_id(j->exchange, error->request_id);
        exchange_fail(j->exchange, error);
        return;
    }
    struct answers_object o = {buf_span(&j->bucket), buf_span(&j->key), object};
    answers_object(j->exchange, 201, "Uploaded file successfully.", &o, j->expires_s);
}

static enum err check_options(const struct upload_job *j, struct span condition,
                              struct error *error) {
    enum err e = router_check_bucket(buf_span(&j->bucket), error);
    if (e == ERR_OK)
        e = answers_bucket_allowed(answers_app(j->exchange)->config, buf_span(&j->bucket), error);
    if (e == ERR_OK)
        e = router_check_key(buf_span(&j->key), error);
    if (e == ERR_OK && buf_error(&j->content_type) != ERR_OK)
        e = error_set(error, ERR_BAD_INPUT, "The Content-Type is too long.");
    if (e == ERR_OK && condition.n > 0 && !span_eq(condition, SPAN("*")))
        e = error_set(error, ERR_BAD_INPUT, "If-None-Match of an upload can only be *.");
    return e;
}

enum err upload_job_start(struct upload_job *j, struct error *error) {
    const struct exchange *x = j->exchange;
    uint64_t max = answers_app(x)->config->upload_max_bytes;
    struct span condition = span_trim(exchange_header(x, "If-None-Match"));
    enum err e = check_options(j, condition, error);
    if (e != ERR_OK)
        return e;
    struct sigv4_pair headers[S3_UPLOAD_HEADERS_MAX];
    char checksum[CHECKSUM_TEXT_MAX_BYTES] = "";
    enum checksum_kind kind = CHECKSUM_CRC32;
    bool has_checksum = integrity_for_s3(j->file_integrity, &kind, checksum);
    struct s3_upload_options options = {
        .bucket = buf_span(&j->bucket),
        .key = buf_span(&j->key),
        .content_type = buf_span(&j->content_type),
        .if_none_match = condition.n > 0,
        .trace = exchange_trace(x),
        .length_max =
            exchange_length_known(x) && exchange_length(x) < max ? exchange_length(x) : max,
        .headers = headers,
        .header_count = metadata_pairs(&j->metadata, headers),
        .checksum = span_of(has_checksum ? checksum : NULL),
        .checksum_kind = kind,
    };
    struct s3_upload_events events = {on_room, on_done, j};
    e = s3_upload_start(&answers_app(x)->s3, &options, &events, &j->upload);
    if (e != ERR_OK)
        return error_set(error, e, "There is no memory for an upload.");
    return ERR_OK;
}

enum err upload_job_write(struct upload_job *j, struct span data, size_t *taken,
                          struct error *error) {
    uint64_t max = answers_app(j->exchange)->config->upload_max_bytes;
    *taken = 0;
    if (data.n > max - j->received) {
        error_set(error, ERR_TOO_LARGE, "The file is larger than this service takes.");
        memcpy(error->code, "EntityTooLarge", sizeof "EntityTooLarge");
        return ERR_TOO_LARGE;
    }
    if (j->upload == NULL)
        return error_set(error, ERR_CANCELLED, "The upload has failed.");
    *taken = s3_upload_write(j->upload, data);
    j->received += *taken;
    j->full = *taken < data.n;
    return integrity_update(j->file_integrity, (struct span){data.p, *taken}, error);
}

void upload_job_finish(struct upload_job *j) {
    struct error error;
    if (j->upload == NULL) /* it has failed, and the exchange with it */
        return;
    enum err e = integrity_check(j->body_integrity, &error);
    if (e == ERR_OK)
        e = integrity_check(j->file_integrity, &error);
    if (e == ERR_OK) {
        s3_upload_finish(j->upload);
        return;
    }
    s3_upload_abandon(j->upload);
    j->upload = NULL;
    exchange_fail(j->exchange, &error);
}

#include "upload.h"

#include "upload_job.h"

#include <string.h>

#include "fileservice/base/banned.h"

/* What a form may have besides the file: boundaries, part heads, the other fields. */
#define UPLOAD_FORM_EXTRA_BYTES 1048576

static void fail_too_large(struct exchange *x) {
    answers_fail(x, ERR_TOO_LARGE, "EntityTooLarge", "The file is larger than this service takes.");
}

/* Before a byte of the body is read, when its length is known. */
static bool is_too_large(const struct exchange *x, uint64_t extra) {
    uint64_t max = answers_app(x)->config->upload_max_bytes;
    return exchange_length(x) > extra && exchange_length(x) - extra > max;
}

void upload_on_close(struct exchange *x) { upload_job_free(exchange_state(x)); }

/* PUT: the body is the file */

void upload_put_on_head(struct exchange *x) {
    struct error error;
    const struct router_target *t = exchange_target(x);
    if (is_too_large(x, 0)) {
        fail_too_large(x);
        return;
    }
    struct upload_job *j = upload_job_new(x);
    if (j == NULL)
        return;
    buf_append_text(&j->bucket, t->bucket);
    buf_append(&j->key, buf_span(&t->key));
    buf_append(&j->content_type, exchange_header(x, "Content-Type"));
    enum err e = upload_job_read_headers(j, &error);
    if (e == ERR_OK)
        e = upload_job_start(j, &error);
    if (e != ERR_OK)
        exchange_fail(x, &error);
}

size_t upload_put_on_body(struct exchange *x, struct span data) {
    struct error error;
    size_t taken = 0;
    if (upload_job_write(exchange_state(x), data, &taken, &error) != ERR_OK)
        exchange_fail(x, &error);
    return taken;
}

void upload_put_on_body_end(struct exchange *x) { upload_job_finish(exchange_state(x)); }

/* POST: one part of a form is the file */

/* Of a file name only the last segment counts: it is what a browser shows, or a whole path of the
 * client's disk. */
static struct span last_segment(struct span name) {
    for (size_t i = name.n; i > 0; i--)
        if (name.p[i - 1] == '/' || name.p[i - 1] == '\\')
            return span_from(name, i);
    return name;
}

static enum err late_field(struct error *error) {
    return error_set(error, ERR_BAD_INPUT,
                     "The fields bucket and key, metadata and digests must come before the part "
                     "file.");
}

static enum err begin_file(struct upload_job *j, const struct multipart_part *part,
                           struct error *error) {
    if (j->files++ > 0)
        return error_set(error, ERR_BAD_INPUT, "There is more than one part named file.");
    if (j->bucket.n == 0)
        return error_set(error, ERR_BAD_INPUT,
                         "The field bucket is missing: it must come before the part file.");
    if (j->key.n == 0)
        buf_append(&j->key, last_segment(part->file_name));
    buf_append(&j->content_type, part->content_type);
    j->in_file = true;
    return upload_job_start(j, error);
}

static enum err begin_field(struct upload_job *j, struct buf *field, struct error *error) {
    if (j->files > 0)
        return late_field(error);
    /* On /file/<bucket> the path has the last word. */
    if (field == &j->bucket && exchange_target(j->exchange)->route == ROUTE_BUCKET)
        return ERR_OK;
    if (field->n > 0)
        return error_set(error, ERR_BAD_INPUT, "A field of the form is there twice.");
    j->field = field;
    return ERR_OK;
}

/* Metadata or a digest of the file. */
static enum err begin_attribute(struct upload_job *j, struct span name, struct error *error) {
    if (j->files > 0)
        return late_field(error);
    buf_clear(&j->attribute);
    buf_clear(&j->attribute_name);
    buf_append(&j->attribute_name, name);
    if (buf_error(&j->attribute_name) != ERR_OK)
        return error_set(error, ERR_BAD_INPUT, "The name of a field of the form is too long.");
    j->field = &j->attribute;
    return ERR_OK;
}

static enum err on_part(void *context, const struct multipart_part *part, struct error *error) {
    struct upload_job *j = context;
    j->field = NULL;
    j->in_file = false;
    if (span_eq(part->name, SPAN("file")))
        return begin_file(j, part, error);
    if (span_eq(part->name, SPAN("bucket")))
        return begin_field(j, &j->bucket, error);
    if (span_eq(part->name, SPAN("key")))
        return begin_field(j, &j->key, error);
    if (integrity_is_name(part->name) || metadata_is_name(part->name))
        return begin_attribute(j, part->name, error);
    return ERR_OK;
}

static enum err long_field(const struct upload_job *j, struct error *error) {
    const char *name = j->field == &j->bucket ? "bucket" : "key";
    bool is_metadata = j->field == &j->attribute && metadata_is_name(buf_span(&j->attribute_name));
    if (j->field == &j->attribute)
        name = buf_text(&j->attribute_name);
    error_set(error, ERR_BAD_INPUT, "The field %.64s is too long.", name);
    if (is_metadata)
        memcpy(error->code, "MetadataTooLarge", sizeof "MetadataTooLarge");
    return ERR_BAD_INPUT;
}

static enum err on_data(void *context, struct span data, size_t *taken, struct error *error) {
    struct upload_job *j = context;
    if (j->in_file)
        return upload_job_write(j, data, taken, error);
    *taken = data.n;
    if (j->field == NULL)
        return ERR_OK;
    buf_append(j->field, data);
    if (buf_error(j->field) != ERR_OK)
        return long_field(j, error);
    return ERR_OK;
}

static enum err on_part_end(void *context, struct error *error) {
    struct upload_job *j = context;
    bool is_attribute = j->field == &j->attribute;
    j->field = NULL;
    j->in_file = false;
    return is_attribute ? upload_job_take_attribute(j, error) : ERR_OK;
}

static bool read_boundary(struct exchange *x, char scratch[MULTIPART_BOUNDARY_MAX_BYTES],
                          struct span *boundary) {
    enum err e = multipart_boundary(exchange_header(x, "Content-Type"), scratch, boundary);
    if (e == ERR_NOT_FOUND)
        answers_fail(x, ERR_BAD_INPUT, "UnsupportedMediaType",
                     "A form upload must be multipart/form-data.");
    else if (e != ERR_OK)
        answers_fail(x, ERR_BAD_INPUT, "MalformedForm", "The form has no boundary.");
    return e == ERR_OK;
}

void upload_form_on_head(struct exchange *x) {
    char scratch[MULTIPART_BOUNDARY_MAX_BYTES];
    struct span boundary;
    if (!read_boundary(x, scratch, &boundary))
        return;
    if (is_too_large(x, UPLOAD_FORM_EXTRA_BYTES)) {
        fail_too_large(x);
        return;
    }
    struct upload_job *j = upload_job_new(x);
    if (j == NULL)
        return;
    struct error error;
    if (upload_job_read_headers(j, &error) != ERR_OK) {
        exchange_fail(x, &error);
        return;
    }
    struct multipart_events events = {on_part, on_data, on_part_end, j};
    buf_append_text(&j->bucket, exchange_target(x)->bucket);
    j->form = multipart_new(boundary, &events);
    if (j->form == NULL)
        answers_fail(x, ERR_NO_MEMORY, "ServiceUnavailable", "There is no memory for an upload.");
}

static void fail_form(struct exchange *x, struct error *error) {
    if (error->err == ERR_BAD_INPUT && error->code[0] == '\0')
        memcpy(error->code, "MalformedForm", sizeof "MalformedForm");
    exchange_fail(x, error);
}

size_t upload_form_on_body(struct exchange *x, struct span data) {
    struct upload_job *j = exchange_state(x);
    struct error error;
    size_t taken = 0;
    enum err e = multipart_feed(j->form, data, &taken, &error);
    if (e == ERR_OK)
        e = integrity_update(j->body_integrity, (struct span){data.p, taken}, &error);
    if (e != ERR_OK)
        fail_form(x, &error);
    return taken;
}

void upload_form_on_body_end(struct exchange *x) {
    struct upload_job *j = exchange_state(x);
    struct error error;
    enum err e = multipart_finish(j->form, &error);
    if (e == ERR_OK && j->files == 0)
        e = error_set(&error, ERR_BAD_INPUT, "The form has no part named file.");
    if (e != ERR_OK)
        fail_form(x, &error);
    else
        upload_job_finish(j);
}

#include "upload_attributes.h"
#include "upload_part.h"

#include "fileservice/s3/bucket.h"
#include "fileservice/s3/xml.h"

#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

#define UPLOAD_MIB UINT64_C(1048576)
#define UPLOAD_SETTLE_WAIT_MS 200         /* before a bucket that we just made is asked for again */
#define UPLOAD_SECOND_ABORT_MS 1000       /* a part cut on its way may land after the first abort */
#define UPLOAD_COMPLETE_MAX_BYTES 2097152 /* 10,000 parts of about 150 bytes */
#define UPLOAD_NAMES_MAX_BYTES (S3_BUCKET_MAX_BYTES + S3_KEY_MAX_BYTES + S3_CONTENT_TYPE_MAX_BYTES)
#define UPLOAD_CALL_HEADERS_MAX (UPLOAD_ATTRIBUTES_HEADERS_MAX + 2) /* type and condition */

_Static_assert(UPLOAD_CALL_HEADERS_MAX < AWS_CALL_HEADERS_MAX, "and one that the client adds");

enum upload_state {
    STATE_COLLECT,  /* bytes of the first part; S3 knows nothing yet */
    STATE_PUT,      /* PutObject, and making the bucket if need be */
    STATE_CREATE,   /* CreateMultipartUpload, and making the bucket; bytes still come */
    STATE_PARTS,    /* parts are sent; bytes still come */
    STATE_COMPLETE, /* CompleteMultipartUpload */
    STATE_PROVE,    /* HeadObject: did a Complete whose answer was lost take effect? */
    STATE_ABORT,    /* AbortMultipartUpload; the owner was told */
};

/* What the end of the upload has to say of a part. */
struct receipt {
    char etag[S3_ETAG_MAX_BYTES];
    uint64_t crc; /* where parts have one */
};

struct s3_upload {
    struct list node; /* in s3->uploads */
    struct s3_client *s3;
    struct s3_upload_events events; /* members NULL once told or abandoned */
    enum upload_state state;
    struct trace trace; /* its own copy: an abort comes after its owner */

    struct buf names; /* what the spans below point at */
    struct span bucket;
    struct span key;
    struct span content_type;
    bool if_none_match;
    uint64_t length_max;
    struct upload_attributes attributes;

    uint64_t part_bytes;
    uint64_t received;
    bool ended;                  /* s3_upload_finish() was called */
    struct upload_part *filling; /* takes bytes; NULL between parts */
    struct list parts;           /* closed, on their way */
    unsigned part_count;         /* closed so far */
    unsigned parts_on_way;
    struct receipt *receipts; /* of part_capacity */
    unsigned part_capacity;

    struct aws_call *call;              /* the upload's own call, not a part's */
    struct s3_bucket_call *bucket_call; /* making the bucket */
    struct s3_object_call *head_call;   /* STATE_PROVE */
    bool bucket_made;
    uint64_t bucket_made_ms;
    struct loop_timer timer;      /* until the bucket settles, or the second abort */
    struct loop_timer room_timer; /* when the budget looks at the part that is filling */
    struct loop_task fail_soon;
    char upload_id[S3_XML_FIELD_MAX_BYTES];
    struct buf body; /* of CompleteMultipartUpload */
    struct span body_span;
    bool parts_cut; /* a part was cancelled on its way */
    bool second_abort;

    struct s3_object object;
    struct error failure; /* for fail_soon */
    bool has_warning;
    struct error warning;
};

uint64_t s3_upload_part_bytes(uint64_t setting, uint64_t length) {
    uint64_t least = length / S3_UPLOAD_PARTS_MAX + (length % S3_UPLOAD_PARTS_MAX != 0);
    uint64_t whole = (least + UPLOAD_MIB - 1) / UPLOAD_MIB * UPLOAD_MIB;
    return setting > whole ? setting : whole;
}

/* Ends */

static void upload_free(struct s3_upload *u) {
    while (!list_is_empty(&u->parts))
        upload_part_free(CONTAINER_OF(u->parts.next, struct upload_part, node));
    upload_part_free(u->filling);
    aws_call_cancel(u->call);
    s3_bucket_cancel(u->bucket_call);
    s3_object_cancel(u->head_call);
    loop_timer_stop(u->s3->aws.loop, &u->timer);
    loop_timer_stop(u->s3->aws.loop, &u->room_timer);
    loop_cancel(u->s3->aws.loop, &u->fail_soon);
    buf_done(&u->names);
    buf_done(&u->body);
    upload_attributes_done(&u->attributes);
    free(u->receipts);
    atomic_fetch_sub(u->s3->busy_uploads, 1);
    list_remove(&u->node);
    free(u);
}

void s3_uploads_end(struct s3_client *s3) {
    struct error error;
    error_set(&error, ERR_CANCELLED, "The service ended before the upload was aborted.");
    while (!list_is_empty(&s3->uploads)) {
        struct s3_upload *u = CONTAINER_OF(s3->uploads.next, struct s3_upload, node);
        if (u->upload_id[0] != '\0')
            s3->on_orphan(buf_text(&u->names), &error);
        upload_free(u);
    }
}

static void tell(struct s3_upload *u, enum err e, const struct error *error) {
    struct s3_upload_events events = u->events;
    u->events = (struct s3_upload_events){NULL, NULL, NULL};
    if (events.on_done != NULL)
        events.on_done(events.context, e, e == ERR_OK ? &u->object : NULL, error,
                       u->has_warning ? &u->warning : NULL);
}

static void tell_room(struct s3_upload *u) {
    if (u->events.on_room != NULL && !u->ended)
        u->events.on_room(u->events.context);
}

static void succeed(struct s3_upload *u) {
    tell(u, ERR_OK, NULL);
    upload_free(u);
}

/* Gives up memory and room, and every part that is on its way. */
static void drop_parts(struct s3_upload *u) {
    loop_timer_stop(u->s3->aws.loop, &u->timer);
    loop_timer_stop(u->s3->aws.loop, &u->room_timer);
    while (!list_is_empty(&u->parts)) {
        struct upload_part *p = CONTAINER_OF(u->parts.next, struct upload_part, node);
        u->parts_cut = u->parts_cut || p->call != NULL;
        upload_part_free(p);
    }
    u->parts_on_way = 0;
    upload_part_free(u->filling);
    u->filling = NULL;
}

static aws_done on_abort;

static void abort_upload(struct s3_upload *u) {
    struct sigv4_pair id = {SPAN("uploadId"), span_of(u->upload_id)};
    struct s3_request request = {.operation = S3_ABORT_UPLOAD,
                                 .trace = &u->trace,
                                 .method = "DELETE",
                                 .bucket = u->bucket,
                                 .key = u->key,
                                 .parameters = &id,
                                 .parameter_count = 1};
    u->state = STATE_ABORT;
    enum err e = s3_call_start(u->s3, &request, s3_judge, on_abort, u, &u->call);
    if (e != ERR_OK) {
        struct error error;
        error_set(&error, e, "no memory to abort a multipart upload");
        u->s3->on_orphan(buf_text(&u->names), &error);
        upload_free(u);
    }
}

static void on_abort(void *context, enum err e, const struct aws_response *response,
                     const struct error *error) {
    struct s3_upload *u = context;
    (void)response;
    u->call = NULL;
    bool gone = e == ERR_OK || e == ERR_NOT_FOUND; /* some servers say NoSuchKey for NoSuchUpload */
    if (gone && u->parts_cut && !u->second_abort &&
        loop_timer_start(u->s3->aws.loop, &u->timer, UPLOAD_SECOND_ABORT_MS) == ERR_OK)
        return;
    if (!gone)
        u->s3->on_orphan(buf_text(&u->names), error);
    upload_free(u);
}

/* What S3 may have of it is taken back; the upload frees itself when that is done. A failure still
 * to be told must not end the abort. */
static void take_back(struct s3_upload *u) {
    loop_cancel(u->s3->aws.loop, &u->fail_soon);
    drop_parts(u);
    switch (u->state) {
    case STATE_CREATE:
        if (u->call != NULL)
            return; /* its answer brings the id that the abort needs */
        upload_free(u);
        return;
    case STATE_PARTS:
    case STATE_COMPLETE:
        abort_upload(u);
        return;
    case STATE_COLLECT:
    case STATE_PUT:
    case STATE_PROVE:
    case STATE_ABORT:
        upload_free(u);
        return;
    }
}

static void fail(struct s3_upload *u, enum err e, const struct error *error) {
    struct error copy = *error; /* it may live in what is freed now */
    tell(u, e, &copy);
    take_back(u);
}

/* A failure inside a call of the owner's: told from the loop. */
static void fail_later(struct s3_upload *u, enum err e, const char *sentence) {
    error_set(&u->failure, e, "%s", sentence);
    loop_post(u->s3->aws.loop, &u->fail_soon);
}

static void fail_soon_run(struct loop_task *task) {
    struct s3_upload *u = CONTAINER_OF(task, struct s3_upload, fail_soon);
    fail(u, u->failure.err, &u->failure);
}

/* True when the owner is gone or was told: the answer that just came is the last. */
static bool is_over(const struct s3_upload *u) {
    return u->events.on_done == NULL && (u->state == STATE_CREATE || u->state == STATE_PARTS);
}

/* The opening call: PutObject or CreateMultipartUpload */

static aws_done on_put;
static aws_done on_create;

static void remember_s3_request_id(struct s3_upload *u, const struct aws_response *r) {
    struct span id = transport_header(r->head, "x-amz-request-id");
    if (id.n > 0 && id.n < sizeof u->object.request_id) {
        memcpy(u->object.request_id, id.p, id.n);
        u->object.request_id[id.n] = '\0';
    }
}

static size_t add_content_type(const struct s3_upload *u, struct sigv4_pair *headers, size_t n) {
    if (u->content_type.n > 0)
        headers[n++] = (struct sigv4_pair){SPAN("content-type"), u->content_type};
    return n;
}

static size_t add_condition(const struct s3_upload *u, struct sigv4_pair *headers, size_t n) {
    if (u->if_none_match)
        headers[n++] = (struct sigv4_pair){SPAN("if-none-match"), SPAN("*")};
    return n;
}

/* The body must have an ETag, or the part cannot be named later and the object was not stored. */
static enum err judge_etag(void *context, const struct aws_response *r, struct error *error,
                           enum retry_kind *retry) {
    enum err e = s3_judge(context, r, error, retry);
    struct span etag = transport_header(r->head, "ETag");
    if (e == ERR_OK && (etag.n == 0 || etag.n >= S3_ETAG_MAX_BYTES)) {
        *retry = RETRY_TRANSIENT;
        return error_set(error, ERR_UPSTREAM, "S3 took the bytes but gave no ETag.");
    }
    return e;
}

static enum err judge_create(void *context, const struct aws_response *r, struct error *error,
                             enum retry_kind *retry) {
    struct s3_xml xml;
    enum err e = s3_judge(context, r, error, retry);
    if (e != ERR_OK)
        return e;
    e = s3_xml_parse(r->body, &xml);
    if (e == ERR_NO_MEMORY)
        return error_set(error, e, "There is no memory for an answer of S3.");
    if (e != ERR_OK || xml.upload_id[0] == '\0') {
        *retry = RETRY_TRANSIENT;
        return error_set(error, ERR_UPSTREAM, "S3 began an upload but gave no id.");
    }
    return ERR_OK;
}

static enum err send_put(struct s3_upload *u) {
    struct sigv4_pair headers[UPLOAD_CALL_HEADERS_MAX];
    const struct upload_part *p = u->filling;
    size_t n = upload_attributes_put(&u->attributes, headers);
    n = add_condition(u, headers, add_content_type(u, headers, n));
    struct s3_request request = {
        .operation = S3_PUT_OBJECT,
        .trace = &u->trace,
        .method = "PUT",
        .bucket = u->bucket,
        .key = u->key,
        .headers = headers,
        .header_count = n,
        .body = p->pieces,
        .body_count = p->chunk_count,
        .has_body = true,
        .payload_hash = span_of(p->hash),
    };
    return s3_call_start(u->s3, &request, judge_etag, on_put, u, &u->call);
}

static enum err send_create(struct s3_upload *u) {
    struct sigv4_pair headers[UPLOAD_CALL_HEADERS_MAX];
    size_t n = add_content_type(u, headers, upload_attributes_create(&u->attributes, headers));
    struct sigv4_pair uploads = {SPAN("uploads"), SPAN("")};
    struct s3_request request = {
        .operation = S3_CREATE_UPLOAD,
        .trace = &u->trace,
        .method = "POST",
        .bucket = u->bucket,
        .key = u->key,
        .parameters = &uploads,
        .parameter_count = 1,
        .headers = headers,
        .header_count = n,
        .has_body = true,
    };
    return s3_call_start(u->s3, &request, judge_create, on_create, u, &u->call);
}

static void open_upload(struct s3_upload *u) {
    enum err e = u->state == STATE_PUT ? send_put(u) : send_create(u);
    if (e != ERR_OK)
        fail_later(u, e, "There is no memory for a request to S3.");
}

static void on_bucket(void *context, enum err e, const struct error *error,
                      const struct error *warning) {
    struct s3_upload *u = context;
    u->bucket_call = NULL;
    if (e != ERR_OK) {
        fail(u, e, error);
        return;
    }
    u->bucket_made = true;
    u->bucket_made_ms = loop_now_ms(u->s3->aws.loop);
    if (warning != NULL) {
        u->has_warning = true;
        u->warning = *warning;
    }
    open_upload(u);
}

/* A bucket that is missing is made, and one that we just made is given time to be known everywhere.
 * True when the opening call will be repeated. */
static bool recover_bucket(struct s3_upload *u, enum err e, const struct error *error) {
    struct loop *loop = u->s3->aws.loop;
    if (e != ERR_NOT_FOUND || strcmp(error->code, "NoSuchBucket") != 0)
        return false;
    if (u->bucket_made)
        return loop_now_ms(loop) - u->bucket_made_ms < S3_BUCKET_SETTLES_MS &&
               loop_timer_start(loop, &u->timer, UPLOAD_SETTLE_WAIT_MS) == ERR_OK;
    return u->s3->options->bucket_auto_create &&
           s3_bucket_make(u->s3, u->bucket, &u->trace, on_bucket, u, &u->bucket_call) == ERR_OK;
}

static void on_put(void *context, enum err e, const struct aws_response *response,
                   const struct error *error) {
    struct s3_upload *u = context;
    u->call = NULL;
    if (e != ERR_OK) {
        if (!recover_bucket(u, e, error))
            fail(u, e, error);
        return;
    }
    struct span etag = transport_header(response->head, "ETag");
    memcpy(u->object.etag, etag.p, etag.n);
    upload_attributes_read_head(response->head, &u->object);
    remember_s3_request_id(u, response);
    succeed(u);
}

/* Parts */

static void step(struct s3_upload *u);
static aws_done on_part;

static enum err send_part(struct upload_part *p) {
    struct s3_upload *u = p->upload;
    struct sigv4_pair headers[UPLOAD_CALL_HEADERS_MAX];
    char crc[CHECKSUM_TEXT_MAX_BYTES];
    struct buf number;
    buf_init(&number, 16);
    buf_append_u64(&number, p->number);
    struct sigv4_pair parameters[] = {
        {SPAN("partNumber"), buf_span(&number)},
        {SPAN("uploadId"), span_of(u->upload_id)},
    };
    struct s3_request request = {
        .operation = S3_UPLOAD_PART,
        .trace = &u->trace,
        .method = "PUT",
        .bucket = u->bucket,
        .key = u->key,
        .parameters = parameters,
        .parameter_count = 2,
        .headers = headers,
        .header_count = upload_attributes_part(&u->attributes, p->crc, crc, headers),
        .body = p->pieces,
        .body_count = p->chunk_count,
        .has_body = true,
        .payload_hash = span_of(p->hash),
    };
    enum err e = buf_error(&number);
    if (e == ERR_OK)
        e = s3_call_start(u->s3, &request, judge_etag, on_part, p, &p->call);
    buf_done(&number);
    return e;
}

static void on_part(void *context, enum err e, const struct aws_response *response,
                    const struct error *error) {
    struct upload_part *p = context;
    struct s3_upload *u = p->upload;
    p->call = NULL;
    if (e != ERR_OK) {
        fail(u, e, error);
        return;
    }
    struct span etag = transport_header(response->head, "ETag");
    struct receipt *receipt = &u->receipts[p->number - 1];
    memcpy(receipt->etag, etag.p, etag.n);
    receipt->etag[etag.n] = '\0';
    receipt->crc = p->crc;
    upload_part_free(p);
    u->parts_on_way--;
    step(u);
    /* After step(), which may have ended it only when no room is asked for any more. */
    if (!u->ended)
        tell_room(u);
}

static enum err grow_receipts(struct s3_upload *u) {
    if (u->part_count < u->part_capacity)
        return ERR_OK;
    unsigned capacity = u->part_capacity == 0 ? 16 : u->part_capacity * 2;
    struct receipt *receipts = realloc(u->receipts, capacity * sizeof *receipts);
    if (receipts == NULL)
        return ERR_NO_MEMORY;
    u->receipts = receipts;
    u->part_capacity = capacity;
    return ERR_OK;
}

/* The part that was filling goes on its way. */
static enum err close_part(struct s3_upload *u) {
    if (u->part_count == S3_UPLOAD_PARTS_MAX)
        return ERR_TOO_LARGE;
    enum err e = grow_receipts(u);
    if (e == ERR_OK)
        e = upload_part_close(u->filling);
    if (e != ERR_OK)
        return e;
    loop_timer_stop(u->s3->aws.loop, &u->room_timer);
    list_append(&u->parts, &u->filling->node);
    u->filling = NULL;
    u->part_count++;
    u->parts_on_way++;
    if (u->state == STATE_COLLECT) {
        u->state = STATE_CREATE;
        open_upload(u);
    }
    return ERR_OK;
}

static void on_create(void *context, enum err e, const struct aws_response *response,
                      const struct error *error) {
    struct s3_upload *u = context;
    struct error failure = *error;
    struct s3_xml xml;
    u->call = NULL;
    if (e == ERR_OK && s3_xml_parse(response->body, &xml) != ERR_OK) /* the judge could read it */
        e = error_set(&failure, ERR_NO_MEMORY, "There is no memory for an answer of S3.");
    if (e != ERR_OK) {
        if (response->status >= 200 && response->status < 300)
            u->s3->on_orphan(buf_text(&u->names), &failure); /* begun, under an id unknown */
        if (is_over(u))
            upload_free(u);
        else if (!recover_bucket(u, e, &failure))
            fail(u, e, &failure);
        return;
    }
    memcpy(u->upload_id, xml.upload_id, sizeof u->upload_id);
    u->state = STATE_PARTS;
    if (is_over(u))
        take_back(u);
    else
        step(u);
}

/* Completing */

static aws_done on_complete;

static enum err judge_complete(void *context, const struct aws_response *r, struct error *error,
                               enum retry_kind *retry) {
    struct s3_xml xml;
    enum err e = s3_judge(context, r, error, retry);
    if (e != ERR_OK)
        return e;
    /* The 200 is sent before S3 knows the outcome: the root element is what decides. */
    if (s3_xml_parse(r->body, &xml) != ERR_OK) {
        *retry = RETRY_TRANSIENT;
        return error_set(error, ERR_UPSTREAM, "S3's answer to the end of an upload broke off.");
    }
    if (strcmp(xml.root, "CompleteMultipartUploadResult") == 0 && xml.etag[0] != '\0')
        return ERR_OK;
    e = s3_error(r, error);
    if (strcmp(error->code, "InternalError") == 0 || error->code[0] == '\0')
        *retry = RETRY_TRANSIENT;
    return e;
}

static void write_complete(struct s3_upload *u) {
    buf_append_text(&u->body, "<CompleteMultipartUpload "
                              "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (unsigned i = 0; i < u->part_count; i++) {
        buf_append_format(&u->body, "<Part><PartNumber>%u</PartNumber><ETag>", i + 1);
        s3_xml_escape(&u->body, span_of(u->receipts[i].etag));
        buf_append_text(&u->body, "</ETag>");
        upload_attributes_append_part(&u->attributes, u->receipts[i].crc, &u->body);
        buf_append_text(&u->body, "</Part>");
    }
    buf_append_text(&u->body, "</CompleteMultipartUpload>");
    u->body_span = buf_span(&u->body);
}

static enum err send_complete(struct s3_upload *u) {
    char hash[SIGV4_HEX_BYTES + 1];
    struct sigv4_pair headers[UPLOAD_CALL_HEADERS_MAX];
    size_t n = upload_attributes_complete(&u->attributes, headers);
    headers[n++] = (struct sigv4_pair){SPAN("content-type"), SPAN("application/xml")};
    n = add_condition(u, headers, n);
    struct sigv4_pair id = {SPAN("uploadId"), span_of(u->upload_id)};
    write_complete(u);
    enum err e = buf_error(&u->body);
    if (e == ERR_OK)
        e = sigv4_hash_hex(u->body_span, hash);
    struct s3_request request = {
        .operation = S3_COMPLETE_UPLOAD,
        .trace = &u->trace,
        .method = "POST",
        .bucket = u->bucket,
        .key = u->key,
        .parameters = &id,
        .parameter_count = 1,
        .headers = headers,
        .header_count = n,
        .body = &u->body_span,
        .body_count = 1,
        .has_body = true,
        .payload_hash = {hash, SIGV4_HEX_BYTES},
        .silence_ms = S3_COMPLETE_SILENCE_MS,
    };
    if (e == ERR_OK)
        e = s3_call_start(u->s3, &request, judge_complete, on_complete, u, &u->call);
    return e;
}

/* The ETag of a multipart object ends in "-<number of parts>". */
static bool is_ours(const struct s3_upload *u, const struct s3_object *o) {
    struct buf suffix;
    buf_init(&suffix, 32);
    buf_append_format(&suffix, "-%u\"", u->part_count);
    bool ours = buf_error(&suffix) == ERR_OK && o->size == u->received &&
                span_ends(span_of(o->etag), buf_span(&suffix));
    buf_done(&suffix);
    return ours;
}

static void on_proof(void *context, enum err e, const struct s3_object *object,
                     const struct error *error) {
    struct s3_upload *u = context;
    (void)error;
    u->head_call = NULL;
    if (e == ERR_OK && is_ours(u, object)) {
        memcpy(u->object.etag, object->etag, sizeof u->object.etag);
        succeed(u);
        return;
    }
    /* Whether Complete took effect is not known, so it must not be aborted. */
    u->s3->on_orphan(buf_text(&u->names), &u->failure);
    fail(u, u->failure.err, &u->failure);
}

/* Asks S3 whether the object is there, since nothing is known of Complete. */
static void prove(struct s3_upload *u) {
    u->state = STATE_PROVE;
    if (s3_object_head(u->s3, u->bucket, u->key, &u->trace, on_proof, u, &u->head_call) == ERR_OK)
        return;
    u->s3->on_orphan(buf_text(&u->names), &u->failure);
    loop_post(u->s3->aws.loop, &u->fail_soon);
}

/* Whether a Complete that did not end well may have taken effect all the same. */
static bool may_be_complete(const struct aws_response *response, const struct error *error) {
    if (response->attempts == 0)
        return false; /* it was never sent */
    if (response->status == 0 || response->status >= 500)
        return true;
    /* A 200 that says neither that it worked nor why it did not. */
    if (response->status < 300)
        return error->code[0] == '\0' || strcmp(error->code, "InternalError") == 0;
    /* Also a first NoSuchUpload: curl repeats a request by itself when a kept connection breaks. */
    return strcmp(error->code, "NoSuchUpload") == 0;
}

static void on_complete(void *context, enum err e, const struct aws_response *response,
                        const struct error *error) {
    struct s3_upload *u = context;
    struct s3_xml xml;
    u->call = NULL;
    if (e == ERR_OK && s3_xml_parse(response->body, &xml) == ERR_OK) {
        memcpy(u->object.etag, xml.etag, strnlen(xml.etag, sizeof u->object.etag - 1));
        upload_attributes_read_xml(&xml, &u->object);
        remember_s3_request_id(u, response);
        succeed(u);
        return;
    }
    if (!may_be_complete(response, error)) {
        fail(u, e, error);
        return;
    }
    u->failure = *error;
    u->failure.err = e == ERR_NOT_FOUND ? ERR_UPSTREAM : e;
    if (e == ERR_OK)
        error_set(&u->failure, ERR_NO_MEMORY, "There is no memory for an answer of S3.");
    prove(u);
}

/* Sends what can be sent. */
static void step(struct s3_upload *u) {
    enum err e = ERR_OK;
    if (u->state != STATE_PARTS || u->fail_soon.posted)
        return; /* a part may be missing: the end must not be sent */
    for (struct list *n = u->parts.next; n != &u->parts && e == ERR_OK; n = n->next) {
        struct upload_part *p = CONTAINER_OF(n, struct upload_part, node);
        if (p->call == NULL)
            e = send_part(p);
    }
    if (e == ERR_OK && u->ended && u->parts_on_way == 0) {
        u->state = STATE_COMPLETE;
        e = send_complete(u);
    }
    if (e != ERR_OK)
        fail_later(u, e, "There is no memory for a request to S3.");
}

/* Bytes */

/* Asks the budget what is to become of the part that is filling, and when to ask again. */
static void look_at_room(struct s3_upload *u) {
    uint64_t again_ms = 0;
    switch (budget_look(u->s3->budget, &u->filling->room, u->filling->size, &again_ms)) {
    case BUDGET_KEEP:
        if (again_ms != UINT64_MAX &&
            loop_timer_start(u->s3->aws.loop, &u->room_timer, again_ms) != ERR_OK)
            fail_later(u, ERR_NO_MEMORY, "There is no memory for a deadline.");
        break;
    case BUDGET_WAITED:
        fail_later(u, ERR_BUSY, "The memory for uploads is used up; try again soon.");
        break;
    case BUDGET_SLOW:
        fail_later(u, ERR_BUSY,
                   "The upload is too slow while others wait for memory; try again soon.");
        break;
    }
}

static void room_timer_fired(struct loop_timer *timer) {
    look_at_room(CONTAINER_OF(timer, struct s3_upload, room_timer));
}

static void room_granted(struct loop_task *task) {
    struct budget_holder *h = CONTAINER_OF(task, struct budget_holder, granted);
    struct upload_part *p = CONTAINER_OF(h, struct upload_part, room);
    p->waits = false;
    p->room_bytes = p->whole_room_bytes;
    look_at_room(p->upload);
    tell_room(p->upload);
}

static void timer_fired(struct loop_timer *timer) {
    struct s3_upload *u = CONTAINER_OF(timer, struct s3_upload, timer);
    u->second_abort = u->state == STATE_ABORT;
    if (u->state == STATE_ABORT)
        abort_upload(u);
    else
        open_upload(u);
}

/* Room for the whole part that is filling, or what the length still allows. */
static uint64_t part_room(const struct s3_upload *u) {
    uint64_t before = u->received - u->filling->size;
    uint64_t rest = u->length_max > before ? u->length_max - before : u->part_bytes;
    return upload_part_cost(rest < u->part_bytes ? rest : u->part_bytes);
}

static bool get_room(struct s3_upload *u) {
    struct upload_part *p = u->filling;
    if (upload_part_has_room(p))
        return true;
    if (p->waits)
        return false;
    if (p->room_bytes > 0 && p->room_bytes == p->whole_room_bytes) {
        fail_later(u, ERR_TOO_LARGE, "The upload has more bytes than were announced.");
        return false;
    }
    p->whole_room_bytes = part_room(u);
    uint64_t granted = budget_ask(u->s3->budget, &p->room, p->whole_room_bytes);
    p->waits = granted == 0;
    if (!p->waits)
        p->room_bytes = granted;
    look_at_room(u);
    return !p->waits;
}

/* A part to put bytes into, or NULL when enough are on their way. */
static struct upload_part *part_to_fill(struct s3_upload *u) {
    if (u->filling != NULL && u->filling->size == u->part_bytes) {
        enum err e = close_part(u);
        if (e != ERR_OK) {
            fail_later(u, e,
                       e == ERR_TOO_LARGE ? "The upload has too many parts."
                                          : "There is no memory for a part.");
            return NULL;
        }
        step(u);
    }
    if (u->filling == NULL && u->parts_on_way < S3_UPLOAD_PARTS_IN_FLIGHT_MAX) {
        u->filling = upload_part_new(u, u->s3, u->part_count + 1, room_granted);
        if (u->filling == NULL) {
            fail_later(u, ERR_NO_MEMORY, "There is no memory for a part.");
            return NULL;
        }
        u->filling->has_crc = upload_attributes_parts_have_crc(&u->attributes);
        u->filling->crc_kind = u->attributes.checksum_kind;
    }
    return u->filling;
}

size_t s3_upload_write(struct s3_upload *u, struct span data) {
    size_t taken = 0;
    while (taken < data.n && !u->fail_soon.posted) {
        struct upload_part *p = part_to_fill(u);
        if (p == NULL || !get_room(u))
            break;
        struct span rest = span_from(data, taken);
        uint64_t left = u->part_bytes - p->size;
        size_t n = 0;
        rest.n = rest.n < left ? rest.n : (size_t)left;
        enum err e = upload_part_append(p, rest, &n);
        if (e != ERR_OK)
            fail_later(u, e, "There is no memory for the bytes of an upload.");
        taken += n;
        u->received += n;
    }
    return taken;
}

void s3_upload_finish(struct s3_upload *u) {
    enum err e = ERR_OK;
    u->ended = true;
    u->object.size = u->received;
    if (u->content_type.n > 0 && u->content_type.n < sizeof u->object.content_type)
        memcpy(u->object.content_type, u->content_type.p, u->content_type.n);
    if (u->state == STATE_COLLECT) {
        if (u->filling == NULL)
            u->filling = upload_part_new(u, u->s3, 1, room_granted);
        e = u->filling == NULL ? ERR_NO_MEMORY : upload_part_close(u->filling);
        loop_timer_stop(u->s3->aws.loop, &u->room_timer);
        u->state = STATE_PUT;
        if (e == ERR_OK)
            open_upload(u);
    } else {
        if (u->filling != NULL)
            e = close_part(u);
        if (e == ERR_OK)
            step(u);
    }
    if (e != ERR_OK)
        fail_later(u, e, "There is no memory for the last part.");
}

void s3_upload_abandon(struct s3_upload *u) {
    u->events = (struct s3_upload_events){NULL, NULL, NULL};
    if (u->state == STATE_COLLECT || u->state == STATE_CREATE || u->state == STATE_PARTS)
        take_back(u);
}

/* Beginning */

static enum err copy_names(struct s3_upload *u, const struct s3_upload_options *o) {
    buf_append(&u->names, o->bucket);
    buf_append_byte(&u->names, '\0'); /* so that buf_text() is the bucket's name */
    buf_append(&u->names, o->key);
    buf_append(&u->names, o->content_type);
    if (buf_error(&u->names) != ERR_OK)
        return buf_error(&u->names);
    u->bucket = (struct span){u->names.p, o->bucket.n};
    u->key = (struct span){u->names.p + o->bucket.n + 1, o->key.n};
    u->content_type = (struct span){u->key.p + u->key.n, o->content_type.n};
    return ERR_OK;
}

enum err s3_upload_start(struct s3_client *s3, const struct s3_upload_options *options,
                         const struct s3_upload_events *events, struct s3_upload **ret) {
    struct s3_upload *u = calloc(1, sizeof *u);
    if (u == NULL)
        return ERR_NO_MEMORY;
    u->s3 = s3;
    list_init(&u->node);
    list_append(&s3->uploads, &u->node);
    u->events = *events;
    if (options->trace != NULL)
        u->trace = *options->trace;
    u->if_none_match = options->if_none_match;
    u->length_max = options->length_max;
    u->part_bytes = s3_upload_part_bytes(s3->options->upload_part_bytes, options->length_max);
    u->timer.fire = timer_fired;
    u->room_timer.fire = room_timer_fired;
    list_init(&u->parts);
    loop_task_init(&u->fail_soon, fail_soon_run);
    buf_init(&u->names, UPLOAD_NAMES_MAX_BYTES + 1);
    buf_init(&u->body, UPLOAD_COMPLETE_MAX_BYTES);
    atomic_fetch_add(s3->busy_uploads, 1);
    enum err e = copy_names(u, options);
    if (e == ERR_OK)
        e = upload_attributes_init(&u->attributes, options);
    if (e != ERR_OK) {
        upload_free(u);
        return e;
    }
    *ret = u;
    return ERR_OK;
}

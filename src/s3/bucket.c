#include "fileservice/s3/bucket.h"

#include "fileservice/s3/xml.h"

#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

#define BUCKET_BODY_MAX_BYTES 1024
#define BUCKET_CORS                                                                                \
    "<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin>"                                \
    "<AllowedMethod>GET</AllowedMethod><AllowedMethod>HEAD</AllowedMethod>"                        \
    "<AllowedHeader>*</AllowedHeader><ExposeHeader>ETag</ExposeHeader>"                            \
    "<MaxAgeSeconds>3600</MaxAgeSeconds></CORSRule></CORSConfiguration>"

enum step { STEP_HEAD, STEP_CREATE, STEP_CORS };

struct s3_bucket_call {
    struct s3_client *s3;
    struct aws_call *call;
    enum step step;
    s3_bucket_done *done;
    void *context;
    struct trace trace;
    struct span bucket;
    struct buf body;
    struct span body_span;
    char name[S3_BUCKET_MAX_BYTES];
};

static void call_free(struct s3_bucket_call *c) {
    aws_call_cancel(c->call);
    buf_done(&c->body);
    free(c);
}

void s3_bucket_cancel(struct s3_bucket_call *call) {
    if (call != NULL)
        call_free(call);
}

static aws_done on_done;

static enum err send(struct s3_bucket_call *c, enum step step, struct s3_request request) {
    char hash[SIGV4_HEX_BYTES + 1];
    c->step = step;
    c->body_span = buf_span(&c->body);
    request.trace = &c->trace;
    request.bucket = c->bucket;
    request.body = &c->body_span;
    request.body_count = 1;
    enum err e = buf_error(&c->body);
    if (e == ERR_OK)
        e = sigv4_hash_hex(c->body_span, hash);
    request.payload_hash = (struct span){hash, SIGV4_HEX_BYTES};
    if (e == ERR_OK)
        e = s3_call_start(c->s3, &request, s3_judge, on_done, c, &c->call);
    return e;
}

static enum err send_head(struct s3_bucket_call *c) {
    struct s3_request request = {.operation = S3_HEAD_BUCKET, .method = "HEAD"};
    return send(c, STEP_HEAD, request);
}

/* us-east-1 takes no LocationConstraint, every other region must have its own named. */
static enum err send_create(struct s3_bucket_call *c) {
    const char *region = c->s3->options->region;
    struct s3_request request = {
        .operation = S3_CREATE_BUCKET, .method = "PUT", .has_body = true, .owner_is_unknown = true};
    buf_clear(&c->body);
    if (strcmp(region, "us-east-1") != 0) {
        buf_append_text(&c->body,
                        "<CreateBucketConfiguration "
                        "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>");
        s3_xml_escape(&c->body, span_of(region));
        buf_append_text(&c->body, "</LocationConstraint></CreateBucketConfiguration>");
    }
    return send(c, STEP_CREATE, request);
}

static enum err send_cors(struct s3_bucket_call *c) {
    char md5[S3_CONTENT_MD5_BYTES];
    buf_clear(&c->body);
    buf_append_text(&c->body, BUCKET_CORS);
    enum err e = s3_content_md5(SPAN(BUCKET_CORS), md5);
    if (e != ERR_OK)
        return e;
    struct sigv4_pair headers[] = {
        {SPAN("content-md5"), span_of(md5)},
        {SPAN("content-type"), SPAN("application/xml")},
    };
    struct sigv4_pair cors = {SPAN("cors"), SPAN("")};
    struct s3_request request = {
        .operation = S3_PUT_BUCKET_CORS,
        .method = "PUT",
        .parameters = &cors,
        .parameter_count = 1,
        .headers = headers,
        .header_count = 2,
        .has_body = true,
    };
    return send(c, STEP_CORS, request);
}

static void finish(struct s3_bucket_call *c, enum err e, const struct error *error,
                   const struct error *warning) {
    c->done(c->context, e, error, warning);
    call_free(c);
}

static void go_on(struct s3_bucket_call *c, enum err e) {
    struct error error;
    if (e == ERR_OK)
        return;
    error_set(&error, e, "The request that makes a bucket could not be built.");
    finish(c, e, &error, NULL);
}

static void on_head(struct s3_bucket_call *c, enum err e, const struct error *error) {
    struct error denied;
    if (e == ERR_NOT_FOUND) {
        go_on(c, send_create(c));
    } else if (e == ERR_DENIED) {
        error_set(&denied, ERR_DENIED, "The bucket belongs to someone else.");
        denied.status = error->status;
        memcpy(denied.code, "AccessDenied", sizeof "AccessDenied");
        finish(c, ERR_DENIED, &denied, NULL);
    } else {
        finish(c, e, error, NULL);
    }
}

static void on_create(struct s3_bucket_call *c, enum err e, const struct error *error) {
    if (e == ERR_CONFLICT && strcmp(error->code, "BucketAlreadyOwnedByYou") == 0)
        finish(c, ERR_OK, NULL, NULL); /* another request of ours was quicker, and sets the rule */
    else if (e == ERR_OK)
        go_on(c, send_cors(c));
    else
        finish(c, e, error, NULL);
}

static void on_done(void *context, enum err e, const struct aws_response *response,
                    const struct error *error) {
    struct s3_bucket_call *c = context;
    (void)response;
    c->call = NULL;
    switch (c->step) {
    case STEP_HEAD:
        on_head(c, e, error);
        break;
    case STEP_CREATE:
        on_create(c, e, error);
        break;
    case STEP_CORS:
        finish(c, ERR_OK, NULL, e == ERR_OK ? NULL : error);
        break;
    }
}

enum err s3_bucket_make(struct s3_client *s3, struct span bucket, const struct trace *trace,
                        s3_bucket_done *done, void *context, struct s3_bucket_call **ret) {
    struct s3_bucket_call *c = calloc(1, sizeof *c);
    if (c == NULL)
        return ERR_NO_MEMORY;
    if (bucket.n > sizeof c->name) {
        free(c);
        return ERR_LIMIT;
    }
    c->s3 = s3;
    if (trace != NULL)
        c->trace = *trace;
    c->done = done;
    c->context = context;
    memcpy(c->name, bucket.p, bucket.n);
    c->bucket = (struct span){c->name, bucket.n};
    buf_init(&c->body, BUCKET_BODY_MAX_BYTES);
    enum err e = send_head(c);
    if (e != ERR_OK) {
        call_free(c);
        return e;
    }
    *ret = c;
    return ERR_OK;
}

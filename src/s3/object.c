#include "fileservice/s3/object.h"

#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

/* What is asked now; a call goes through some of them. */
enum step {
    STEP_HEAD,   /* HeadObject */
    STEP_REASON, /* GET of one byte, since HEAD carries no reason */
    STEP_DELETE, /* DeleteObject */
};

struct s3_object_call {
    struct s3_client *s3;
    struct aws_call *call;
    enum step step;
    bool deletes;
    s3_object_done *done;
    void *context;
    struct trace trace;
    size_t bucket_n;
    size_t key_n;
    char names[]; /* bucket, then key */
};

static struct span bucket_of(const struct s3_object_call *c) {
    return (struct span){c->names, c->bucket_n};
}

static struct span key_of(const struct s3_object_call *c) {
    return (struct span){c->names + c->bucket_n, c->key_n};
}

static void copy_text(char *out, size_t max, struct span s) {
    size_t n = s.n < max ? s.n : 0; /* a cut ETag or type would be a wrong one */
    if (n > 0)
        memcpy(out, s.p, n);
    out[n] = '\0';
}

static void read_object(const struct aws_response *r, struct s3_object *o) {
    int64_t modified_ms;
    memset(o, 0, sizeof *o);
    (void)span_to_u64(transport_header(r->head, "Content-Length"), &o->size);
    copy_text(o->etag, sizeof o->etag, transport_header(r->head, "ETag"));
    copy_text(o->content_type, sizeof o->content_type, transport_header(r->head, "Content-Type"));
    copy_text(o->request_id, sizeof o->request_id, transport_header(r->head, "x-amz-request-id"));
    if (clock_parse_http_date(transport_header(r->head, "Last-Modified"), &modified_ms))
        clock_format_rfc3339_s(modified_ms, o->last_modified);
}

static void finish(struct s3_object_call *c, enum err e, const struct s3_object *object,
                   const struct error *error) {
    c->done(c->context, e, object, error);
    free(c);
}

static aws_done on_done;

static enum err ask(struct s3_object_call *c, enum step step) {
    static const struct sigv4_pair one_byte = {{"range", 5}, {"bytes=0-0", 9}};
    static const struct {
        enum s3_operation operation;
        const char *method;
    } calls[] = {
        [STEP_HEAD] = {S3_HEAD_OBJECT, "HEAD"},
        [STEP_REASON] = {S3_GET_OBJECT, "GET"},
        [STEP_DELETE] = {S3_DELETE_OBJECT, "DELETE"},
    };
    struct s3_request request = {
        .operation = calls[step].operation,
        .trace = &c->trace,
        .method = calls[step].method,
        .bucket = bucket_of(c),
        .key = key_of(c),
        .headers = &one_byte,
        .header_count = step == STEP_REASON ? 1 : 0,
    };
    c->step = step;
    return s3_call_start(c->s3, &request, s3_judge, on_done, c, &c->call);
}

static void ask_or_fail(struct s3_object_call *c, enum step step) {
    struct error error;
    enum err e = ask(c, step);
    if (e != ERR_OK) {
        error_set(&error, e, "There is no memory for a request to S3.");
        finish(c, e, NULL, &error);
    }
}

/* HEAD answers of S3 that say everything have a code of their own; the rest need a body. */
static void on_done(void *context, enum err e, const struct aws_response *response,
                    const struct error *error) {
    struct s3_object_call *c = context;
    struct s3_object object;
    c->call = NULL;
    if (c->step == STEP_HEAD && e != ERR_OK && response->status != 0) {
        ask_or_fail(c, STEP_REASON);
        return;
    }
    if (c->step == STEP_HEAD && e == ERR_OK && c->deletes) {
        ask_or_fail(c, STEP_DELETE);
        return;
    }
    memset(&object, 0, sizeof object);
    if (e == ERR_OK)
        read_object(response, &object);
    /* An empty object has no byte 0: the probe's 416 says that it is there. */
    finish(c, e, &object, error);
}

static enum err start(struct s3_client *s3, struct span bucket, struct span key,
                      const struct trace *trace, enum step step, bool deletes, s3_object_done *done,
                      void *context, struct s3_object_call **ret) {
    struct s3_object_call *c = calloc(1, sizeof *c + bucket.n + key.n);
    if (c == NULL)
        return ERR_NO_MEMORY;
    c->s3 = s3;
    c->deletes = deletes;
    if (trace != NULL)
        c->trace = *trace;
    c->done = done;
    c->context = context;
    c->bucket_n = bucket.n;
    c->key_n = key.n;
    memcpy(c->names, bucket.p, bucket.n);
    memcpy(c->names + bucket.n, key.p, key.n);
    enum err e = ask(c, step);
    if (e != ERR_OK) {
        free(c);
        return e;
    }
    *ret = c;
    return ERR_OK;
}

enum err s3_object_head(struct s3_client *s3, struct span bucket, struct span key,
                        const struct trace *trace, s3_object_done *done, void *context,
                        struct s3_object_call **ret) {
    return start(s3, bucket, key, trace, STEP_HEAD, false, done, context, ret);
}

enum err s3_object_delete(struct s3_client *s3, struct span bucket, struct span key,
                          const struct trace *trace, s3_object_done *done, void *context,
                          struct s3_object_call **ret) {
    return start(s3, bucket, key, trace, STEP_HEAD, true, done, context, ret);
}

enum err s3_object_probe(struct s3_client *s3, struct span bucket, struct span key,
                         const struct trace *trace, s3_object_done *done, void *context,
                         struct s3_object_call **ret) {
    return start(s3, bucket, key, trace, STEP_REASON, false, done, context, ret);
}

void s3_object_cancel(struct s3_object_call *call) {
    if (call == NULL)
        return;
    aws_call_cancel(call->call);
    free(call);
}

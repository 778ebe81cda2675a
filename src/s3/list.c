#include "fileservice/s3/list.h"

#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

#define LIST_PARAMETERS_MAX 6

struct s3_list_call {
    struct aws_call *call;
    s3_list_done *done;
    void *context;
    struct s3_list_page page;
};

static void call_free(struct s3_list_call *c) {
    aws_call_cancel(c->call);
    s3_list_page_done(&c->page);
    free(c);
}

void s3_list_cancel(struct s3_list_call *call) {
    if (call != NULL)
        call_free(call);
}

/* A page that cannot be read is asked for once more. */
static enum err judge(void *context, const struct aws_response *r, struct error *error,
                      enum retry_kind *retry) {
    struct s3_list_call *c = context;
    enum err e = s3_judge(context, r, error, retry);
    if (e != ERR_OK)
        return e;
    s3_list_page_done(&c->page);
    s3_list_page_init(&c->page);
    e = s3_list_read(r->body, &c->page);
    return e == ERR_OK ? e : s3_unreadable(r, e, error, retry);
}

static void on_done(void *context, enum err e, const struct aws_response *response,
                    const struct error *error) {
    struct s3_list_call *c = context;
    c->call = NULL;
    if (e == ERR_OK) {
        struct span id = transport_header(response->head, "x-amz-request-id");
        if (id.n < sizeof c->page.request_id && id.n > 0)
            memcpy(c->page.request_id, id.p, id.n);
    }
    c->done(c->context, e, e == ERR_OK ? &c->page : NULL, error);
    call_free(c);
}

static enum err ask(struct s3_client *s3, const struct s3_list_query *q, const struct trace *trace,
                    struct s3_list_call *c) {
    struct sigv4_pair parameters[LIST_PARAMETERS_MAX] = {
        {SPAN("list-type"), SPAN("2")},
        {SPAN("encoding-type"), SPAN("url")}, /* else keys that XML cannot carry break the page */
    };
    size_t n = 2;
    struct buf limit;
    buf_init(&limit, 8);
    buf_append_u64(&limit, q->limit);
    parameters[n++] = (struct sigv4_pair){SPAN("max-keys"), buf_span(&limit)};
    if (q->prefix.n > 0)
        parameters[n++] = (struct sigv4_pair){SPAN("prefix"), q->prefix};
    if (q->delimiter.n > 0)
        parameters[n++] = (struct sigv4_pair){SPAN("delimiter"), q->delimiter};
    if (q->token.n > 0)
        parameters[n++] = (struct sigv4_pair){SPAN("continuation-token"), q->token};
    struct s3_request request = {
        .operation = S3_LIST_OBJECTS,
        .trace = trace,
        .method = "GET",
        .bucket = q->bucket,
        .parameters = parameters,
        .parameter_count = n,
        .response_max_bytes = S3_LIST_RESPONSE_MAX_BYTES,
    };
    enum err e = buf_error(&limit);
    if (e == ERR_OK)
        e = s3_call_start(s3, &request, judge, on_done, c, &c->call);
    buf_done(&limit);
    return e;
}

enum err s3_list_start(struct s3_client *s3, const struct s3_list_query *query,
                       const struct trace *trace, s3_list_done *done, void *context,
                       struct s3_list_call **ret) {
    struct s3_list_call *c = calloc(1, sizeof *c);
    if (c == NULL)
        return ERR_NO_MEMORY;
    c->done = done;
    c->context = context;
    s3_list_page_init(&c->page);
    enum err e = ask(s3, query, trace, c);
    if (e != ERR_OK) {
        call_free(c);
        return e;
    }
    *ret = c;
    return ERR_OK;
}

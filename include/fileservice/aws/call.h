/* One signed AWS call, with its retries: sign, send, judge, wait, sign anew. The only way from here
 * to AWS for S3 and for CloudWatch Logs. Everything on the loop's thread.
 */
#ifndef FILESERVICE_AWS_CALL_H
#define FILESERVICE_AWS_CALL_H

#include "fileservice/aws/credentials.h"
#include "fileservice/aws/retry.h"
#include "fileservice/base/trace.h"
#include "fileservice/base/url.h"
#include "fileservice/net/transport.h"

/* How a call ended, for log lines and metrics. Borrowed for the call of `on_call`. */
struct aws_report {
    unsigned operation;        /* of its aws_request */
    const struct trace *trace; /* never NULL; empty texts when there was none */
    /* ERR_OK, how it failed, or ERR_CANCELLED when its owner ended it before it had all of the answer, or
     * its sink wanted no more. */
    enum err err;
    const struct error *error; /* never NULL; clear on ERR_OK */
    unsigned attempts;         /* tries begun; 0: it failed or was ended before the first */
    /* From aws_call_start() to the end, with all tries and the waits between them. When a sink took
     * the answer, to its head: how long its reader takes says nothing of AWS. */
    uint64_t duration_us;
    /* Of the last try: 0 and empty when no response came. */
    int status;
    struct span request_id; /* x-amz-request-id */
};

/* What all calls of one loop to one service share. Fields are set by its owner, all borrowed. */
struct aws_client {
    struct loop *loop;
    struct transport *transport;
    struct credentials_source *credentials;
    const char *service; /* "s3", "logs" */
    const char *region;
    unsigned max_attempts; /* 1 or more */
    uint32_t connect_ms;
    uint32_t silence_ms;
    struct retry_bucket bucket; /* retry_bucket_init() */
    /* Told once of each call that was started, when it ends, before its `done`: of every success,
     * failure and cancel. It only looks on: it starts and cancels nothing. NULL: nobody is told. */
    void (*on_call)(void *context, const struct aws_report *report);
    void *on_call_context;
    int64_t clock_skew_ms;  /* AWS's clock minus ours; learnt when it refuses our time */
    struct sigv4_memo memo; /* of `memo_of`; both are the client's own */
    struct credentials *memo_of;
};

/* What to sign with for as long as `credentials` is referenced; remembers the signing key. */
struct sigv4_credentials aws_client_signing(struct aws_client *client,
                                            struct credentials *credentials);
/* Forgets the key. The client is its owner's again, to be freed. */
void aws_client_done(struct aws_client *client);

#define AWS_CALL_HEADERS_MAX 48 /* an upload with metadata has most: 40; s3/upload.h */
#define AWS_CALL_PARAMETERS_MAX 16

/* Everything is copied but the body, whose memory must stay until done or cancel. */
struct aws_request {
    const char *method;
    const struct url_endpoint *endpoint; /* where to connect and what Host says */
    struct span path;                    /* raw, not encoded; begins with '/' */
    const struct sigv4_pair *parameters;
    size_t parameter_count;
    const struct sigv4_pair *headers; /* lower-case names; host, x-amz-date and so on are added */
    size_t header_count;
    const struct span *body; /* pieces, sent one after the other */
    size_t body_count;
    bool has_body;
    struct span payload_hash; /* hex SHA-256 of the body; empty: no body, the hash of "" */
    uint32_t silence_ms;      /* 0: the client's */
    /* NULL: the body of a success is gathered. Once the sink has seen a head, the call is not judged
     * and not tried again: what came is with the sink. */
    const struct transport_sink *sink;
    size_t response_max_bytes; /* 0: the transport's */
    unsigned operation;        /* the caller's own number for it, for the report */
    const struct trace *trace; /* for whom it is; NULL: for nobody */
};

/* The outcome of the last try. Borrowed for the call of `done`. */
struct aws_response {
    int status; /* 0 when no response came */
    struct span head;
    struct span body;
    const char *reason; /* when status is 0 */
    unsigned attempts;
};

/* Reads the error code out of a response that failed or that may hide a failure (a 200 that carries
 * <Error>); sets `error` fully (kind, code, sentence, request id). ERR_OK when it is a success. Pure.
 * Status and code decide about a retry (aws/retry); `retry` is RETRY_NEVER on entry and may ask for
 * one that they do not (a 200 that carries InternalError). */
typedef enum err aws_judge(void *context, const struct aws_response *response, struct error *error,
                           enum retry_kind *retry);

/* Called once, never from inside aws_call_start(). On ERR_OK `error` is clear. */
typedef void aws_done(void *context, enum err err, const struct aws_response *response,
                      const struct error *error);

struct aws_call;

/* Starts the call. Failures to sign (no credentials) come through `done` too. Only ERR_NO_MEMORY and
 * ERR_LIMIT are returned here. */
enum err aws_call_start(struct aws_client *client, const struct aws_request *request,
                        aws_judge *judge, aws_done *done, void *context, struct aws_call **ret)
    __attribute__((warn_unused_result));
/* The sink can take bytes again; see transport_resume(). */
void aws_call_resume(struct aws_call *call);
/* Ends it; `done` is not called, `on_call` is. NULL is fine. */
void aws_call_cancel(struct aws_call *call);

#endif

/* The S3 client of one worker's loop: where S3 is, how buckets are addressed, and the one way to make
 * a call. Everything on the loop's thread.
 */
#ifndef FILESERVICE_S3_CLIENT_H
#define FILESERVICE_S3_CLIENT_H

#include "fileservice/aws/call.h"
#include "fileservice/s3/budget.h"

#include <stdatomic.h>

#define S3_BUCKET_MAX_BYTES 63
#define S3_KEY_MAX_BYTES 1024         /* UTF-8 bytes; S3 user guide, "Object keys" */
#define S3_COMPLETE_SILENCE_MS 600000 /* CompleteMultipartUpload may take minutes */

enum s3_addressing { S3_ADDRESS_AUTO, S3_ADDRESS_PATH, S3_ADDRESS_VIRTUAL };

/* Every operation of S3 that is used here: `operation` of a call's aws_report. */
enum s3_operation {
    S3_LIST_BUCKETS,
    S3_HEAD_BUCKET,
    S3_CREATE_BUCKET,
    S3_PUT_BUCKET_CORS,
    S3_LIST_OBJECTS,
    S3_LIST_UPLOADS,
    S3_HEAD_OBJECT,
    S3_GET_OBJECT,
    S3_PUT_OBJECT,
    S3_DELETE_OBJECT,
    S3_DELETE_OBJECTS,
    S3_CREATE_UPLOAD,
    S3_UPLOAD_PART,
    S3_COMPLETE_UPLOAD,
    S3_ABORT_UPLOAD,
};
#define S3_OPERATION_COUNT (S3_ABORT_UPLOAD + 1)

/* The name in S3's API reference: "HeadObject". Static storage. */
const char *s3_operation_name(enum s3_operation operation);

/* Shared by all clients of the process, borrowed for their life, never changed. */
struct s3_options {
    struct url_endpoint endpoint;
    struct url_endpoint public_endpoint; /* for presigned URLs */
    bool custom_endpoint;                /* with `auto`: path style */
    bool custom_public_endpoint;
    enum s3_addressing addressing;
    const char *region;
    const char *bucket_prefix;         /* "" when empty */
    const char *expected_bucket_owner; /* NULL when unset */
    bool bucket_auto_create;
    uint64_t upload_max_bytes;
    uint64_t upload_part_bytes;
};

struct s3_client {
    struct aws_client aws;
    const struct s3_options *options;
    struct budget *budget;     /* shared by all workers */
    struct list uploads;       /* under way; list_init() by the owner, else upload.c's */
    atomic_uint *busy_uploads; /* shared: uploads that still have to finish or to be aborted */
    /* Told when an upload could not be aborted and may have left parts on S3. */
    void (*on_orphan)(const char *bucket, const struct error *error);
};

/* One call. Borrowed during s3_call_start(), except the body (until done). */
struct s3_request {
    enum s3_operation operation;
    const struct trace *trace; /* for whom; NULL: for nobody. Copied */
    const char *method;
    struct span bucket; /* as the client named it: the prefix is added here */
    struct span key;    /* empty: the bucket itself */
    const struct sigv4_pair *parameters;
    size_t parameter_count;
    const struct sigv4_pair *headers;
    size_t header_count;
    const struct span *body;
    size_t body_count;
    bool has_body;
    struct span payload_hash;          /* empty: of no body */
    uint32_t silence_ms;               /* 0: the usual */
    bool owner_is_unknown;             /* CreateBucket: no x-amz-expected-bucket-owner */
    const struct transport_sink *sink; /* see struct aws_request */
    size_t response_max_bytes;         /* 0: the usual */
};

/* The usual judge: any 2xx is a success, else S3's error XML decides. */
enum err s3_judge(void *context, const struct aws_response *response, struct error *error,
                  enum retry_kind *retry);

enum err s3_call_start(struct s3_client *s3, const struct s3_request *request, aws_judge *judge,
                       aws_done *done, void *context, struct aws_call **ret)
    __attribute__((warn_unused_result));

/* Appends the raw path of a bucket or object and sets the endpoint to connect to: path style or
 * virtual host. Pure. */
enum err s3_address(const struct s3_options *options, bool public, struct span bucket,
                    struct span key, struct url_endpoint *endpoint, struct buf *path)
    __attribute__((warn_unused_result));

#define S3_CONTENT_MD5_BYTES 25 /* 16 bytes as base64, and NUL */

/* Writes the value of a Content-MD5 header: some calls must carry a checksum, and this is the one that
 * all S3-compatible servers know. ERR_INTERNAL when OpenSSL fails. Pure. */
enum err s3_content_md5(struct span body, char out[S3_CONTENT_MD5_BYTES])
    __attribute__((warn_unused_result));

/* For judges: an answer of 2xx whose document could not be read (`why`), or is an <Error> after all.
 * Fills `error`, asks for a retry and returns its kind. Pure. */
enum err s3_unreadable(const struct aws_response *response, enum err why, struct error *error,
                       enum retry_kind *retry);

/* Fills `error` from an answer that is not 2xx; its kind is returned. Pure. */
enum err s3_error(const struct aws_response *response, struct error *error);

#endif

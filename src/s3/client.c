#include "fileservice/s3/client.h"

#include "fileservice/s3/xml.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "fileservice/base/banned.h"

#define S3_HEADERS_MAX AWS_CALL_HEADERS_MAX

const char *s3_operation_name(enum s3_operation operation) {
    static const char *const names[S3_OPERATION_COUNT] = {
        [S3_LIST_BUCKETS] = "ListBuckets",
        [S3_HEAD_BUCKET] = "HeadBucket",
        [S3_CREATE_BUCKET] = "CreateBucket",
        [S3_PUT_BUCKET_CORS] = "PutBucketCors",
        [S3_LIST_OBJECTS] = "ListObjectsV2",
        [S3_LIST_UPLOADS] = "ListMultipartUploads",
        [S3_HEAD_OBJECT] = "HeadObject",
        [S3_GET_OBJECT] = "GetObject",
        [S3_PUT_OBJECT] = "PutObject",
        [S3_DELETE_OBJECT] = "DeleteObject",
        [S3_DELETE_OBJECTS] = "DeleteObjects",
        [S3_CREATE_UPLOAD] = "CreateMultipartUpload",
        [S3_UPLOAD_PART] = "UploadPart",
        [S3_COMPLETE_UPLOAD] = "CompleteMultipartUpload",
        [S3_ABORT_UPLOAD] = "AbortMultipartUpload",
    };
    return names[operation];
}

static bool is_virtual(const struct s3_options *o, bool public, struct span bucket) {
    bool custom = public ? o->custom_public_endpoint : o->custom_endpoint;
    if (o->addressing == S3_ADDRESS_PATH)
        return false;
    if (o->addressing == S3_ADDRESS_VIRTUAL)
        return true;
    /* A dot in the name does not fit a wildcard certificate. */
    return !custom && span_find(bucket, '.') == bucket.n;
}

enum err s3_address(const struct s3_options *options, bool public, struct span bucket,
                    struct span key, struct url_endpoint *endpoint, struct buf *path) {
    struct url_endpoint e = public ? options->public_endpoint : options->endpoint;
    if (bucket.n == 0) { /* of the account: ListBuckets */
        buf_append_byte(path, '/');
    } else if (is_virtual(options, public, bucket)) {
        char host[sizeof e.host];
        int n = snprintf(host, sizeof host, "%s%.*s.%s", options->bucket_prefix, (int)bucket.n,
                         bucket.p, e.host);
        if (n < 0 || (size_t)n >= sizeof host)
            return ERR_LIMIT;
        memcpy(e.host, host, (size_t)n + 1);
        buf_append_byte(path, '/');
    } else {
        buf_append_byte(path, '/');
        buf_append_text(path, options->bucket_prefix);
        buf_append(path, bucket);
        if (key.n > 0)
            buf_append_byte(path, '/');
    }
    buf_append(path, key);
    *endpoint = e;
    return buf_error(path);
}

enum err s3_call_start(struct s3_client *s3, const struct s3_request *r, aws_judge *judge,
                       aws_done *done, void *context, struct aws_call **ret) {
    struct url_endpoint endpoint;
    struct sigv4_pair headers[S3_HEADERS_MAX];
    size_t n = 0;
    if (r->header_count > S3_HEADERS_MAX - 1)
        return ERR_LIMIT;
    for (; n < r->header_count; n++)
        headers[n] = r->headers[n];
    if (s3->options->expected_bucket_owner != NULL && !r->owner_is_unknown)
        headers[n++] = (struct sigv4_pair){SPAN("x-amz-expected-bucket-owner"),
                                           span_of(s3->options->expected_bucket_owner)};
    struct buf path;
    buf_init(&path, S3_KEY_MAX_BYTES + 2 * S3_BUCKET_MAX_BYTES + 2);
    enum err e = s3_address(s3->options, false, r->bucket, r->key, &endpoint, &path);
    struct aws_request request = {
        .method = r->method,
        .endpoint = &endpoint,
        .path = buf_span(&path),
        .parameters = r->parameters,
        .parameter_count = r->parameter_count,
        .headers = headers,
        .header_count = n,
        .body = r->body,
        .body_count = r->body_count,
        .has_body = r->has_body,
        .payload_hash = r->payload_hash,
        .silence_ms = r->silence_ms,
        .sink = r->sink,
        .response_max_bytes = r->response_max_bytes,
        .operation = r->operation,
        .trace = r->trace,
    };
    if (e == ERR_OK)
        e = aws_call_start(&s3->aws, &request, judge, done, context, ret);
    buf_done(&path);
    return e;
}

enum err s3_content_md5(struct span body, char out[S3_CONTENT_MD5_BYTES]) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_Digest(body.p, body.n, digest, &n, EVP_md5(), NULL) != 1)
        return ERR_INTERNAL;
    (void)EVP_EncodeBlock((unsigned char *)out, digest, (int)n);
    return ERR_OK;
}

/* Errors */

static bool is_one_of(struct span code, const char *const *codes, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (span_eq(code, span_of(codes[i])))
            return true;
    return false;
}

static enum err kind_of(int status, struct span code) {
    static const char *const ours[] = {
        "InvalidAccessKeyId", "SignatureDoesNotMatch",        "ExpiredToken",
        "InvalidToken",       "RequestTimeTooSkewed",         "TokenRefreshRequired",
        "InvalidSecurity",    "AuthorizationHeaderMalformed",
    };
    static const char *const not_the_clients[] = {
        "XAmzContentSHA256Mismatch",
        "RequestTimeout",
        "InvalidDigest",
        "BadDigest", /* what a client says was checked before S3 is asked: the bytes changed later */
        "IllegalLocationConstraintException",
        "InvalidLocationConstraint",
        "PermanentRedirect",
        "InvalidPart",
        "InvalidPartOrder",
        "EntityTooSmall",
        "MalformedXML",
        "MissingContentLength",
    };
    if (is_one_of(code, ours, sizeof ours / sizeof *ours))
        return ERR_CREDENTIALS;
    if (is_one_of(code, not_the_clients, sizeof not_the_clients / sizeof *not_the_clients))
        return ERR_UPSTREAM;
    if (span_eq(code, SPAN("SlowDown")) || status == 429)
        return ERR_BUSY;
    if (span_eq(code, SPAN("EntityTooLarge")))
        return ERR_TOO_LARGE;
    switch (status) {
    case 400:
        return ERR_BAD_INPUT;
    case 403:
        return ERR_DENIED;
    case 404:
        return ERR_NOT_FOUND;
    case 409:
        return ERR_CONFLICT;
    case 412:
        return ERR_PRECONDITION;
    default:
        return ERR_UPSTREAM;
    }
}

static void copy_text(char *out, size_t max, struct span s) {
    size_t n = s.n < max ? s.n : max - 1;
    if (n > 0)
        memcpy(out, s.p, n);
    out[n] = '\0';
}

enum err s3_error(const struct aws_response *response, struct error *error) {
    struct s3_xml xml;
    bool told = response->body.n > 0 && s3_xml_parse(response->body, &xml) == ERR_OK &&
                strcmp(xml.root, "Error") == 0;
    struct span code = told ? span_of(xml.code) : (struct span){NULL, 0};
    enum err kind = kind_of(response->status, code);
    if (told && xml.message[0] != '\0')
        error_set(error, kind, "%s", xml.message);
    else
        error_set(error, kind, "S3 answered with status %d.", response->status);
    if (kind ==
        ERR_CREDENTIALS) /* what is wrong with our credentials is not the client's business */
        error_set(error, kind, "S3 does not accept the credentials of this service.");
    error->status = response->status;
    copy_text(error->code, sizeof error->code, code);
    copy_text(error->request_id, sizeof error->request_id,
              transport_header(response->head, "x-amz-request-id"));
    return kind;
}

enum err s3_judge(void *context, const struct aws_response *response, struct error *error,
                  enum retry_kind *retry) {
    (void)context;
    (void)retry;
    if (response->status >= 200 && response->status < 300)
        return ERR_OK;
    return s3_error(response, error);
}

enum err s3_unreadable(const struct aws_response *response, enum err why, struct error *error,
                       enum retry_kind *retry) {
    struct s3_xml xml;
    if (why == ERR_NO_MEMORY)
        return error_set(error, why, "There is no memory to read the answer of S3.");
    *retry = RETRY_TRANSIENT;
    if (s3_xml_parse(response->body, &xml) == ERR_OK && strcmp(xml.root, "Error") == 0)
        return s3_error(response, error);
    error_set(error, ERR_UPSTREAM, "The answer of S3 could not be read.");
    copy_text(error->request_id, sizeof error->request_id,
              transport_header(response->head, "x-amz-request-id"));
    return ERR_UPSTREAM;
}

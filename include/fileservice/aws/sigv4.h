/* AWS Signature Version 4, header and query form. Pure: no I/O, no clock; time and credentials come
 * in as arguments. The three stages are public, so that each is tested by itself.
 * Source: IAM user guide, "Create a signed AWS API request"; S3 API reference, "Authenticating
 * Requests (AWS Signature Version 4)".
 */
#ifndef FILESERVICE_AWS_SIGV4_H
#define FILESERVICE_AWS_SIGV4_H

#include "fileservice/base/buf.h"

#define SIGV4_HEX_BYTES 64              /* a SHA-256 in hexadecimal, without NUL */
#define SIGV4_HEADERS_MAX 64            /* headers of one request; AWS_CALL_HEADERS_MAX and ours */
#define SIGV4_PARAMETERS_MAX 48         /* query parameters of one request; ours */
#define SIGV4_CANONICAL_MAX_BYTES 32768 /* key of 1,024 bytes encoded, token of 4 KiB, headers */
#define SIGV4_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"

struct sigv4_pair {
    struct span name;
    struct span value;
};

/* What is signed. All borrowed. Path and query are raw: not encoded, the signer encodes them. */
struct sigv4_request {
    struct span method;                  /* upper case */
    struct span path;                    /* raw bytes, begins with '/' */
    const struct sigv4_pair *parameters; /* raw; any order; a name may come twice */
    size_t parameter_count;
    const struct sigv4_pair *headers; /* as sent; must hold host; any order and case */
    size_t header_count;
    struct span payload_hash; /* 64 hex digits or SIGV4_UNSIGNED_PAYLOAD */
    bool s3;                  /* S3: encode the path once, as is; else normalise and encode twice */
};

struct sigv4_scope {
    struct span region;
    struct span service; /* "s3", "logs" */
    int64_t wall_ms;     /* when it is signed */
};

#define SIGV4_HASH_BYTES 32
#define SIGV4_REGION_MAX_BYTES 32 /* of a scope that is remembered; longer ones work, too */
#define SIGV4_SERVICE_MAX_BYTES 16

/* The signing key of one secret's last scope: four of a signature's five HMACs are the same all day.
 * A zeroed one is empty. Whoever keeps it empties it when the secret changes, and at the end. */
struct sigv4_memo {
    char date[8]; /* of the scope */
    char region[SIGV4_REGION_MAX_BYTES];
    char service[SIGV4_SERVICE_MAX_BYTES];
    size_t region_n;
    size_t service_n; /* 0: empty */
    unsigned char key[SIGV4_HASH_BYTES];
};
void sigv4_memo_clear(struct sigv4_memo *memo); /* wipes */

/* Borrowed; token is empty when there is none. */
struct sigv4_credentials {
    struct span access_key_id;
    struct span secret_access_key;
    struct span session_token;
    struct sigv4_memo *memo; /* NULL: the signing key is derived each time */
};

/* Stage 1. Appends the canonical request and the list of signed headers ("host;x-amz-date"). Headers
 * that proxies and clients change (connection, expect, user-agent, …) are left out.
 * ERR_LIMIT when there are too many headers or parameters, else buf_error of the outputs. */
enum err sigv4_canonical_request(const struct sigv4_request *request, struct buf *canonical,
                                 struct buf *signed_headers) __attribute__((warn_unused_result));

/* Stage 2. Appends the string to sign for a canonical request. */
enum err sigv4_string_to_sign(struct span canonical, const struct sigv4_scope *scope,
                              struct buf *out) __attribute__((warn_unused_result));

/* Stage 3. Writes the signature in hex and a NUL. ERR_INTERNAL when OpenSSL fails. */
enum err sigv4_signature(struct span string_to_sign, const struct sigv4_scope *scope,
                         const struct sigv4_credentials *credentials, char out[SIGV4_HEX_BYTES + 1])
    __attribute__((warn_unused_result));

/* All three: appends the value of the Authorization header. The request's headers must already hold
 * x-amz-date, and x-amz-security-token when there is a token. */
enum err sigv4_authorization(const struct sigv4_request *request, const struct sigv4_scope *scope,
                             const struct sigv4_credentials *credentials, struct buf *out)
    __attribute__((warn_unused_result));

/* Appends the whole encoded query of a presigned request: the request's own parameters, the X-Amz-*
 * ones and X-Amz-Signature last. `request->payload_hash` is SIGV4_UNSIGNED_PAYLOAD by rule. */
enum err sigv4_presign_query(const struct sigv4_request *request, const struct sigv4_scope *scope,
                             const struct sigv4_credentials *credentials, uint32_t expires_s,
                             struct buf *out) __attribute__((warn_unused_result));

/* Appends the encoded path and query as they go on the wire, equal to what was signed. */
void sigv4_append_path(struct buf *b, struct span path);
enum err sigv4_append_query(struct buf *b, const struct sigv4_pair *parameters, size_t count)
    __attribute__((warn_unused_result));

/* SHA-256 of bytes, in hex and a NUL. */
enum err sigv4_hash_hex(struct span bytes, char out[SIGV4_HEX_BYTES + 1])
    __attribute__((warn_unused_result));

#endif

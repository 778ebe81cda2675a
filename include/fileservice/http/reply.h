/* An answer, before it is given to a client. A value with owned parts; built on the worker's thread.
 *
 * Errors become the JSON of README.md, "Errors": reply_error() is the one place where a kind of
 * failure becomes an HTTP status.
 */
#ifndef FILESERVICE_HTTP_REPLY_H
#define FILESERVICE_HTTP_REPLY_H

#include "fileservice/base/buf.h"

#define REPLY_HEADERS_MAX 160 /* those of a streamed object, S3_READ_HEADERS_MAX, and our own */
#define REPLY_HEADERS_MAX_BYTES                                                                    \
    32768 /* a presigned Location has about 2 KiB, with a token 10 KiB */
#define REPLY_BODY_MAX_BYTES 65536
#define REPLY_RETRY_AFTER_SECONDS 2

struct reply {
    unsigned status;
    struct buf headers; /* name NUL value NUL, for each */
    size_t header_count;
    struct buf body;
    struct error error; /* what went wrong, for the log; err is ERR_OK on success */
};

void reply_init(struct reply *r, unsigned status);
void reply_done(struct reply *r);

/* Lets the body of this answer have up to `bytes` in place of REPLY_BODY_MAX_BYTES. */
void reply_allow_body(struct reply *r, size_t bytes);

/* Adds a header. A value with control characters is left out: nothing of a client's or of S3's can
 * split the answer. */
void reply_header(struct reply *r, const char *name, struct span value);

/* Makes `*r` the JSON answer of an error, with code, request id and the headers that its status
 * needs (Retry-After, Connection). `*r` may hold an unfinished answer, which is thrown away. */
void reply_error(struct reply *r, const struct error *error, const char *request_id);

/* The HTTP status of an error. Pure. */
unsigned reply_status(const struct error *error);

/* Calls `each` for every header. */
void reply_each_header(const struct reply *r,
                       void (*each)(void *context, const char *name, const char *value),
                       void *context);

#endif

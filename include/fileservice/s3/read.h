/* Reading one object as it comes: GetObject or HeadObject with what a client asked of them. The
 * conditions are S3's to judge (RFC 9110 §13); If-Range, which S3 does not know, is judged here.
 * Everything on the client's loop.
 */
#ifndef FILESERVICE_S3_READ_H
#define FILESERVICE_S3_READ_H

#include "fileservice/s3/client.h"

#define S3_READ_HEADERS_MAX 128 /* of an answer; S3's 2 KiB of metadata are at most about 60 */

/* Borrowed during s3_read_start(). Conditions are sent verbatim; empty: not asked. */
struct s3_read_options {
    struct span bucket;
    struct span key;
    const struct trace *trace; /* for whom; NULL: for nobody */
    bool head_only;            /* HeadObject */
    struct span range;
    struct span if_range;
    struct span if_match;
    struct span if_none_match;
    struct span if_modified_since;
    struct span if_unmodified_since;
};

/* The head of the object. Borrowed for the call. */
struct s3_read_head {
    int status;                     /* 200, 206, or 304 */
    uint64_t length;                /* bytes that follow; with head_only: that would */
    const struct sigv4_pair *lines; /* S3's header lines: name and value */
    size_t line_count;
    struct span request_id;
};

/* on_head comes once or, after a failure, never; then on_data for the bytes; on_done once, the last.
 * None comes from inside s3_read_start() or after cancel. on_head and on_data come from inside the HTTP
 * client: they store and post. */
struct s3_read_events {
    /* False: no byte is wanted; on_done follows with ERR_CANCELLED. */
    bool (*on_head)(void *context, const struct s3_read_head *head);
    /* Takes all of it, or none: then nothing comes until s3_read_resume(). */
    bool (*on_data)(void *context, struct span data);
    /* ERR_OK: everything was given. An error after on_head: the rest does not come. `size` is that of
     * the object when the error's code is "InvalidRange" and S3 says so, else 0. */
    void (*on_done)(void *context, enum err err, const struct error *error, uint64_t size);
    void *context;
};

struct s3_read;

enum err s3_read_start(struct s3_client *s3, const struct s3_read_options *options,
                       const struct s3_read_events *events, struct s3_read **ret)
    __attribute__((warn_unused_result));
void s3_read_resume(struct s3_read *read);
void s3_read_cancel(struct s3_read *read); /* NULL is fine */

/* Whether an answer's validators are what If-Range names: a strong ETag, equal byte for byte, or the
 * very date of Last-Modified (RFC 9110 §13.1.5). Pure. */
bool s3_read_range_holds(struct span if_range, struct span etag, struct span last_modified);

#endif

/* One object: what it is, and deleting it. Everything on the client's loop. */
#ifndef FILESERVICE_S3_OBJECT_H
#define FILESERVICE_S3_OBJECT_H

#include "fileservice/base/clock.h"
#include "fileservice/s3/client.h"

#define S3_ETAG_MAX_BYTES 128
#define S3_CONTENT_TYPE_MAX_BYTES 256
#define S3_CHECKSUM_MAX_BYTES 48 /* a SHA-256 in base64, and a NUL */

/* What S3 says of an object. A value; empty strings when S3 did not say. */
struct s3_object {
    uint64_t size;
    char etag[S3_ETAG_MAX_BYTES]; /* verbatim, with its quotes */
    char content_type[S3_CONTENT_TYPE_MAX_BYTES];
    char last_modified[CLOCK_RFC3339_BYTES]; /* RFC 3339 */
    char request_id[ERROR_REQUEST_ID_MAX_BYTES];
    /* Of the whole object, in base64; after an upload only. */
    char checksum_crc32[S3_CHECKSUM_MAX_BYTES];
    char checksum_crc64nvme[S3_CHECKSUM_MAX_BYTES];
    char checksum_sha256[S3_CHECKSUM_MAX_BYTES];
};

/* Called once; never after cancel, never from inside start. On ERR_OK `object` is filled (after a
 * delete: only its request id). Borrowed for the call. */
typedef void s3_object_done(void *context, enum err err, const struct s3_object *object,
                            const struct error *error);

struct s3_object_call;

/* Below, `trace` says for whom; it is copied, and may be NULL. */

/* HeadObject. A HEAD carries no reason: on an error S3 is asked once more by GET of one byte. */
enum err s3_object_head(struct s3_client *s3, struct span bucket, struct span key,
                        const struct trace *trace, s3_object_done *done, void *context,
                        struct s3_object_call **ret) __attribute__((warn_unused_result));

/* HeadObject, then DeleteObject: ERR_NOT_FOUND when there is nothing to delete. */
enum err s3_object_delete(struct s3_client *s3, struct span bucket, struct span key,
                          const struct trace *trace, s3_object_done *done, void *context,
                          struct s3_object_call **ret) __attribute__((warn_unused_result));

/* GetObject of one byte, for readiness: whatever S3 answers comes as an error or success. */
enum err s3_object_probe(struct s3_client *s3, struct span bucket, struct span key,
                         const struct trace *trace, s3_object_done *done, void *context,
                         struct s3_object_call **ret) __attribute__((warn_unused_result));

void s3_object_cancel(struct s3_object_call *call); /* NULL is fine */

#endif

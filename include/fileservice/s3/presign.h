/* Presigned GET and HEAD URLs for clients. */
#ifndef FILESERVICE_S3_PRESIGN_H
#define FILESERVICE_S3_PRESIGN_H

#include "fileservice/s3/client.h"

#define S3_PRESIGN_MAX_BYTES                                                                       \
    16384 /* a token of 8 KiB, encoded, and a key of 1,024 bytes, encoded */

/* Appends a URL that is good for `expires_s` from `wall_ms`, signed for the public endpoint. Its life
 * is cut to that of the credentials; `*expires_wall_ms` says when it really ends. ERR_CREDENTIALS
 * when there are none; else buf_error(url). */
enum err s3_presign(struct s3_client *s3, const char *method, struct span bucket, struct span key,
                    uint32_t expires_s, int64_t wall_ms, struct buf *url, int64_t *expires_wall_ms,
                    struct error *error) __attribute__((warn_unused_result));

#endif

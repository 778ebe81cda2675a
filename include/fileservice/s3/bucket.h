/* Making a bucket that is missing. Everything on the client's loop. */
#ifndef FILESERVICE_S3_BUCKET_H
#define FILESERVICE_S3_BUCKET_H

#include "fileservice/s3/client.h"

/* How long a bucket that we made may still be unknown to the next call. */
#define S3_BUCKET_SETTLES_MS 5000

/* Called once; never after cancel, never from inside start. `warning` is set on success when the
 * bucket is there but its CORS rule was refused (some S3-compatible servers have none). */
typedef void s3_bucket_done(void *context, enum err err, const struct error *error,
                            const struct error *warning);

struct s3_bucket_call;

/* HeadBucket; where it is missing CreateBucket and PutBucketCors (GET, HEAD; any origin; expose ETag;
 * max age 3600). A bucket that is there meanwhile is a success: creating one's own again would reset
 * its ACL in us-east-1, which is why HeadBucket comes first. One that belongs to someone else is
 * ERR_DENIED. `trace` is copied, and may be NULL. */
enum err s3_bucket_make(struct s3_client *s3, struct span bucket, const struct trace *trace,
                        s3_bucket_done *done, void *context, struct s3_bucket_call **ret)
    __attribute__((warn_unused_result));
void s3_bucket_cancel(struct s3_bucket_call *call); /* NULL is fine */

#endif

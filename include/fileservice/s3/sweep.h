/* Aborts this service's own multipart uploads that nobody finished: those that a killed process left.
 * Off by default. Everything on the client's loop.
 *
 * S3 lists uploads without their metadata, so what a service could write into them does not tell them
 * apart. What the list does say is who began each (Initiator). A round therefore begins an upload of
 * its own in each bucket, looks up who S3 says began it, aborts it, and then aborts what the same
 * initiator began longer ago than the age. Of an assumed role the session, which changes with every
 * task, does not count. Where S3 does not name initiators nothing is touched.
 */
#ifndef FILESERVICE_S3_SWEEP_H
#define FILESERVICE_S3_SWEEP_H

#include "fileservice/base/texts.h"
#include "fileservice/s3/client.h"

#define S3_SWEEP_INTERVAL_MS 3600000
#define S3_SWEEP_PROBE_KEY ".fileservice-sweep" /* of the upload that shows who we are */
#define S3_SWEEP_BUCKETS_MAX 10000              /* of one round; an account has fewer */

/* Borrowed for the life of the sweep. */
struct s3_sweep_options {
    uint32_t age_hours;         /* 1 or more */
    const char *const *buckets; /* as clients name them; none: all that carry our prefix */
    size_t bucket_count;
    /* After each bucket with something to tell; `error` is set when it could not be swept. */
    void (*on_bucket)(struct span bucket, unsigned aborted, const struct error *error);
};

struct s3_sweep;

/* A first round soon, then one an hour. Before the loop runs, or on its thread. */
enum err s3_sweep_start(struct s3_client *s3, const struct s3_sweep_options *options,
                        struct s3_sweep **ret) __attribute__((warn_unused_result));
void s3_sweep_free(struct s3_sweep *s); /* ends what is under way; NULL is fine */

/* One answer of S3, read. Pure; here for the tests. */

/* Appends the names of a ListAllMyBucketsResult. */
enum err s3_sweep_read_buckets(struct span document, struct texts *names)
    __attribute__((warn_unused_result));

struct s3_sweep_page {
    struct texts uploads;  /* key, id, initiator and RFC 3339 time of each, one after the other */
    struct buf key_marker; /* where the next page begins; empty when this is the last */
    struct buf upload_marker;
};
void s3_sweep_page_init(struct s3_sweep_page *page);
void s3_sweep_page_done(struct s3_sweep_page *page);
/* Reads a ListMultipartUploadsResult into an empty page. */
enum err s3_sweep_read_uploads(struct span document, struct s3_sweep_page *page)
    __attribute__((warn_unused_result));

/* Whether both are the same user, or sessions of the same role; never when empty. */
bool s3_sweep_same_initiator(struct span a, struct span b);

#endif

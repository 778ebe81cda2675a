/* What a worker counts of its calls to S3: how many, how they ended, how long, how often tried again.
 *
 * owner: the loop's thread, which alone counts; any thread writes the page. All labels come from tables:
 * never a bucket or a key.
 */
#ifndef FILESERVICE_S3_S3_METRICS_H
#define FILESERVICE_S3_S3_METRICS_H

#include "fileservice/base/metrics.h"
#include "fileservice/s3/client.h"

struct s3_metrics;

struct s3_metrics *s3_metrics_new(void); /* NULL when there is no memory */
void s3_metrics_free(struct s3_metrics *m);

/* A call has ended: part of what aws_client.on_call does. */
void s3_metrics_count(struct s3_metrics *m, const struct aws_report *report);

/* Appends the families fileservice_s3_*, added up over all tables. What did not occur is left out. */
void s3_metrics_write(const struct s3_metrics *const *tables, size_t count, struct buf *page);

#endif

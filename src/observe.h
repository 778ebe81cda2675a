/* What becomes known of calls to S3, when each ends. On the thread of the client's loop. */
#ifndef FILESERVICE_SRC_OBSERVE_H
#define FILESERVICE_SRC_OBSERVE_H

#include "fileservice/s3/s3_metrics.h"

/* on_call of an S3 client, whose on_call_context is the struct s3_metrics of its loop: counts the call
 * and, at level debug, writes one line for it, with the ids of the request that it was made for: of
 * stream `service` when there is one. What is asked of S3, and how it is signed, is in none. The client
 * of CloudWatch must have none: its lines would make calls, which make lines. */
void observe_s3_call(void *context, const struct aws_report *report);

#endif

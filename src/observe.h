/* What becomes known of calls to S3, when each ends. Any thread. */
#ifndef FILESERVICE_SRC_OBSERVE_H
#define FILESERVICE_SRC_OBSERVE_H

#include "fileservice/s3/client.h"

/* on_call of an S3 client: at level debug, one line for a call, with the ids of the request that it was
 * made for. Of stream `service` when there is one. What is asked of S3, and how it is signed, is in
 * none. The client of CloudWatch must have none: its lines would make calls, which make lines. */
void observe_s3_call(void *context, const struct aws_report *report);

#endif

/* What CloudWatch Logs answers. Pure. Private to the room.
 * Source: CloudWatch Logs API reference, "Common errors" and PutLogEvents. */
#ifndef FILESERVICE_SRC_LOGS_ANSWER_H
#define FILESERVICE_SRC_LOGS_ANSWER_H

#include "fileservice/aws/call.h"
#include "fileservice/logs/cloudwatch.h"

/* An aws_judge. A 200 without a request id, or with a body that is no JSON object, is not CloudWatch's
 * (a proxy's, a captive portal's): whether it has the lines is open, so it is a failure. */
enum err answer_judge(void *context, const struct aws_response *response, struct error *error,
                      enum retry_kind *retry);

/* Of an accepted batch of `count` lines, how many were refused one by one, by kind: too old and expired
 * ones stand in front, too new ones at the end. */
void answer_rejected(struct span body, size_t count, size_t ret[LOGS_REJECT_COUNT]);

/* Whether the call will never be taken, whoever sends it and however often. */
bool answer_is_final(const struct error *error);

#endif

/* When a failed call is tried again: the "standard" mode of the AWS SDKs, as of November 2026.
 * Pure: randomness comes in as an argument. One bucket for each worker's client.
 *
 *   attempts   3 in all (S3_MAX_ATTEMPTS)
 *   bucket     500 tokens; a retry costs 14 after a transient failure, 5 after throttling; success on
 *              the first try gives 1 back, success after a retry gives back what that retry cost
 *   delay      rand(0,1) * min(base * 2^(n-1), 20 s); base 50 ms transient, 1 s throttling;
 *              x-amz-retry-after (ms) raises it, by 5 s at most
 */
#ifndef FILESERVICE_AWS_RETRY_H
#define FILESERVICE_AWS_RETRY_H

#include "fileservice/base/err.h"
#include "fileservice/base/span.h"

#define RETRY_BUCKET_MAX 500
#define RETRY_COST_TRANSIENT 14
#define RETRY_COST_THROTTLED 5
#define RETRY_DELAY_MAX_MS 20000

enum retry_kind {
    RETRY_NEVER,
    RETRY_TRANSIENT,
    RETRY_THROTTLED,
};

struct retry_bucket {
    unsigned tokens;
};

void retry_bucket_init(struct retry_bucket *b);

/* What a try's outcome means: `err` of the transport, else status and S3's code. */
enum retry_kind retry_classify(enum err transport, int status, struct span code);

/* Takes the cost out of the bucket; false when there is not enough. */
bool retry_acquire(struct retry_bucket *b, enum retry_kind kind);
/* Gives back after success: `last` is the kind of the retry that led there, RETRY_NEVER for none. */
void retry_succeeded(struct retry_bucket *b, enum retry_kind last);

/* The wait before try `attempt` + 1 (attempt counts from 1). `fraction` is in [0, 1); `hint_ms` is
 * x-amz-retry-after or negative when there is none. */
uint64_t retry_delay_ms(enum retry_kind kind, unsigned attempt, double fraction, int64_t hint_ms);

#endif

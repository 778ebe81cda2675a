#include "fileservice/aws/retry.h"

#include "fileservice/base/banned.h"

#define RETRY_HINT_EXTRA_MAX_MS 5000

void retry_bucket_init(struct retry_bucket *b) { b->tokens = RETRY_BUCKET_MAX; }

static bool is_one_of(struct span code, const char *const *codes, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (span_eq(code, span_of(codes[i])))
            return true;
    return false;
}

enum retry_kind retry_classify(enum err transport, int status, struct span code) {
    static const char *const throttled[] = {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottledException",
        "RequestThrottled",
        "TooManyRequestsException",
        "ProvisionedThroughputExceededException",
        "TransactionInProgressException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "SlowDown",
        "PriorRequestNotComplete",
        "EC2ThrottledException",
    };
    /* OperationAborted: another operation on the bucket is under way (409). ExpiredToken and
     * RequestTimeTooSkewed: the next try is signed with what was learnt. */
    static const char *const transient[] = {
        "RequestTimeout",       "RequestTimeoutException",
        "OperationAborted",     "OperationAbortedException",
        "ExpiredToken",         "ExpiredTokenException",
        "RequestTimeTooSkewed",
    };
    if (transport == ERR_UNREACHABLE || transport == ERR_TIMEOUT)
        return RETRY_TRANSIENT;
    if (transport != ERR_OK)
        return RETRY_NEVER;
    if (status == 429 || is_one_of(code, throttled, sizeof throttled / sizeof *throttled))
        return RETRY_THROTTLED;
    if (status == 500 || status == 502 || status == 503 || status == 504 ||
        is_one_of(code, transient, sizeof transient / sizeof *transient))
        return RETRY_TRANSIENT;
    return RETRY_NEVER;
}

static unsigned cost_of(enum retry_kind kind) {
    return kind == RETRY_THROTTLED ? RETRY_COST_THROTTLED : RETRY_COST_TRANSIENT;
}

bool retry_acquire(struct retry_bucket *b, enum retry_kind kind) {
    unsigned cost = cost_of(kind);
    if (b->tokens < cost)
        return false;
    b->tokens -= cost;
    return true;
}

void retry_succeeded(struct retry_bucket *b, enum retry_kind last) {
    unsigned refund = last == RETRY_NEVER ? 1 : cost_of(last);
    b->tokens = refund > RETRY_BUCKET_MAX - b->tokens ? RETRY_BUCKET_MAX : b->tokens + refund;
}

uint64_t retry_delay_ms(enum retry_kind kind, unsigned attempt, double fraction, int64_t hint_ms) {
    uint64_t ceiling = kind == RETRY_THROTTLED ? 1000 : 50;
    for (unsigned n = 1; n < attempt && ceiling < RETRY_DELAY_MAX_MS; n++)
        ceiling *= 2;
    if (ceiling > RETRY_DELAY_MAX_MS)
        ceiling = RETRY_DELAY_MAX_MS;
    uint64_t delay = (uint64_t)(fraction * (double)ceiling);
    if (hint_ms < 0 || (uint64_t)hint_ms <= delay)
        return delay;
    uint64_t most = delay + RETRY_HINT_EXTRA_MAX_MS;
    return (uint64_t)hint_ms < most ? (uint64_t)hint_ms : most;
}

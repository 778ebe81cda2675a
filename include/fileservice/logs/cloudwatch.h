/* The CloudWatch Logs shipper: a thread that sends log lines in batches.
 *
 * Lines of both streams wait in one bounded queue; when it is full the oldest waiting lines are
 * dropped and counted, callers never wait. The shipper has a loop and a transport of its own, so its
 * calls are signed and retried like all others (aws/call). A missing group or stream is created and
 * the same batch sent again. It never logs through the front end; what it has to say about itself
 * goes into the queue as a line, or to standard error when it ends.
 * Source: CloudWatch Logs API reference; docs on PutLogEvents.
 */
#ifndef FILESERVICE_LOGS_CLOUDWATCH_H
#define FILESERVICE_LOGS_CLOUDWATCH_H

#include "fileservice/aws/credentials.h"
#include "fileservice/base/log.h"
#include "fileservice/base/url.h"

#define LOGS_QUEUE_BYTES 8388608 /* waiting lines, 8 MiB; ours */
#define LOGS_SEND_AFTER_MS 1000
#define LOGS_SEND_AFTER_BYTES 524288
#define LOGS_BACKOFF_MAX_MS 30000u

struct logs_cloudwatch;

/* Borrowed for the life of the shipper. */
struct logs_cloudwatch_options {
    struct url_endpoint endpoint;
    const char *region;
    const char *group;      /* streams are log_stream_name() of each stream */
    enum log_format format; /* of the shipper's own lines */
    struct credentials_source *credentials;
    uint32_t connect_ms;
    uint32_t silence_ms;
};

/* At any quiet moment delivered + dropped + rejected == produced. */
struct logs_cloudwatch_counts {
    uint64_t produced;
    uint64_t delivered;
    uint64_t dropped;
    uint64_t rejected;
};

enum err logs_cloudwatch_start(const struct logs_cloudwatch_options *options,
                               struct logs_cloudwatch **ret, struct error *error)
    __attribute__((warn_unused_result));
struct log_sink logs_cloudwatch_sink(struct logs_cloudwatch *c);
struct logs_cloudwatch_counts logs_cloudwatch_counts(struct logs_cloudwatch *c); /* any thread */

/* Sends what waits, at most `timeout_ms`, then joins the thread and frees. What could not be sent is
 * counted as dropped in the counts returned. NULL is fine. */
struct logs_cloudwatch_counts logs_cloudwatch_stop(struct logs_cloudwatch *c, unsigned timeout_ms);

#endif

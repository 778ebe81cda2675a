/* The CloudWatch Logs shipper: a thread that sends log lines in batches.
 *
 * Lines of both streams wait in one bounded queue; when it is full the oldest waiting lines are
 * dropped and counted, callers never wait. A batch is sent 1 s after the last one or once 512 KiB wait,
 * and again, with full-jitter backoff of up to 30 s, for as long as CloudWatch does not take it: it is
 * never given up, so after an outage the lines that began it come first. What a lost answer leaves
 * open is sent again, too: CloudWatch may have a line twice, which its number tells. A missing stream
 * or group is created and the same batch sent again.
 *
 * The shipper has a loop and a transport of its own, signs like all others (aws/call), and its calls
 * write no log lines, since each would make another call. What an operator must know comes through the
 * callbacks: a few lines for each outage, not some for each call.
 * Source: CloudWatch Logs API reference.
 */
#ifndef FILESERVICE_LOGS_CLOUDWATCH_H
#define FILESERVICE_LOGS_CLOUDWATCH_H

#include "fileservice/aws/credentials.h"
#include "fileservice/base/log.h"
#include "fileservice/base/url.h"

#define LOGS_SEND_AFTER_MS 1000
#define LOGS_SEND_AFTER_BYTES 524288
#define LOGS_BACKOFF_MAX_MS 30000u

struct logs_cloudwatch;

/* Borrowed for the life of the shipper. */
struct logs_cloudwatch_options {
    struct url_endpoint endpoint;
    const char *region;
    const char *group;       /* streams are log_stream_name() of each stream */
    unsigned retention_days; /* of a group that the shipper creates; 0: left to CloudWatch */
    size_t queue_bytes; /* of waiting lines; up to one batch of each stream is under way besides */
    struct credentials_source *credentials;
    uint32_t connect_ms;
    uint32_t silence_ms;

    /* Told on the shipper's thread; NULL: nobody. They may log. What is lost is told of every 10 s at
     * most, and less often while more is lost all the time. */
    void (*on_outage)(const struct error *error); /* three tries in a row failed */
    /* Lines flow again; how many were dropped and not told of yet. Also told without an outage, when
     * lines come faster than CloudWatch takes them. */
    void (*on_recovery)(uint64_t dropped);
    void (*on_rejected)(uint64_t lines);           /* CloudWatch refused so many more, for good */
    void (*on_no_retention)(const struct error *); /* the new group keeps lines for ever */
};

/* Why CloudWatch refuses a line for good. */
enum logs_reject {
    LOGS_REJECT_TOO_OLD, /* by more than 14 days */
    LOGS_REJECT_TOO_NEW, /* by more than 2 hours */
    LOGS_REJECT_EXPIRED, /* older than the group's retention */
    LOGS_REJECT_INVALID, /* it refused the whole call */
};
#define LOGS_REJECT_COUNT 4

const char *logs_reject_name(enum logs_reject reason); /* "too_old", …; static storage */

/* Lines over the whole life. At any quiet moment, when queue_bytes is 0,
 * delivered + dropped + all rejected == produced. */
struct logs_cloudwatch_counts {
    uint64_t produced;
    uint64_t delivered;
    uint64_t dropped;
    uint64_t rejected[LOGS_REJECT_COUNT];
    uint64_t queue_bytes; /* of lines whose fate is open, waiting or under way */
};

enum err logs_cloudwatch_start(const struct logs_cloudwatch_options *options,
                               struct logs_cloudwatch **ret, struct error *error)
    __attribute__((warn_unused_result));
struct log_sink logs_cloudwatch_sink(struct logs_cloudwatch *c);
struct logs_cloudwatch_counts logs_cloudwatch_counts(struct logs_cloudwatch *c); /* any thread */

/* Asks the shipper to send what there is, in `timeout_ms` at most, and to end. Returns at once; once. */
void logs_cloudwatch_flush(struct logs_cloudwatch *c, unsigned timeout_ms);
/* Whether that is over. Then the counts are final: what was not delivered counts as dropped, and so
 * does a line that comes later. */
bool logs_cloudwatch_is_flushed(const struct logs_cloudwatch *c);
/* Ends the thread, at once unless a flush has ended already, and frees. No thread may use the sink any
 * more. NULL is fine. */
void logs_cloudwatch_free(struct logs_cloudwatch *c);

#endif

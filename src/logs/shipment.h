/* What is under way for one log stream: one batch, from its lines to CloudWatch's answer.
 *
 *     IDLE ─► PUT ─► (answer) ─► IDLE
 *              └─► STREAM ─► GROUP ─► RETENTION ─► STREAM ─► PUT     something is missing
 *              └─► WAIT ─► PUT                                       failed: the same batch again
 *
 * Private to the room. Everything on the shipper's thread.
 */
#ifndef FILESERVICE_SRC_LOGS_SHIPMENT_H
#define FILESERVICE_SRC_LOGS_SHIPMENT_H

#include "queue.h"
#include "report.h"

#include "fileservice/aws/call.h"
#include "fileservice/logs/batch.h"

struct shipper;

enum shipment_state {
    SHIPMENT_IDLE,      /* no batch is under way */
    SHIPMENT_PUT,       /* PutLogEvents */
    SHIPMENT_STREAM,    /* the stream or the group was not found: CreateLogStream */
    SHIPMENT_GROUP,     /* it was the group: CreateLogGroup */
    SHIPMENT_RETENTION, /* PutRetentionPolicy */
    SHIPMENT_WAIT,      /* the batch waits for its next try */
    SHIPMENT_OVER,      /* the shipper is stopping, and no try in the time left would help */
};

struct shipment {
    struct shipper *shipper;
    enum log_stream stream;
    enum shipment_state state;
    struct list lines; /* blocks taken out of the queue: what no batch holds yet, in order */
    size_t skip;       /* bytes at the front of the first block that a batch had */
    size_t text_bytes; /* of these lines, those skipped among them */

    struct buf batch; /* body of PutLogEvents, until its fate is known */
    size_t batch_lines;
    size_t batch_text_bytes;

    struct buf small; /* body of the other calls */
    struct span body; /* the one that is sent */
    struct aws_call *call;
    struct loop_timer timer; /* the next look at the queue, or the end of a wait */
    uint64_t next_ms;        /* when the next batch is due, however small */
    unsigned failures;       /* of this batch, in a row */
    unsigned refusals;       /* of these, the last ones: denied, not held up */
    unsigned steps;          /* calls since the batch began or waited last */
};

/* What the shipments of both streams share. owner: the shipper's thread, but for the queue */
struct shipper {
    const struct logs_cloudwatch_options *options;
    struct queue queue; /* any thread */
    struct loop *loop;
    struct aws_client client;
    struct logs_event *events; /* LOGS_BATCH_MAX_EVENTS, for building a batch */
    struct shipment shipments[LOG_STREAM_COUNT];
    bool retention_due; /* a group was made, or may have been, and its retention is not set yet */
    bool stopping;      /* nothing is waited for any more but answers */
    struct report report;
    void (*on_idle)(struct shipper *shipper); /* a shipment has nothing to send, or cannot */
};

void shipment_init(struct shipment *s, struct shipper *shipper, enum log_stream stream);
void shipment_done(struct shipment *s); /* cancels and frees */

/* Bytes of text, about, that no batch holds yet; 0 when there is none. */
size_t shipment_waiting(const struct shipment *s);

/* Sends a batch if one is due; else sees to it that this is asked again in time. */
void shipment_look(struct shipment *s);
/* The shipper is stopping: sends at once what waits, also for its next try. */
void shipment_hurry(struct shipment *s);

#endif

/* What the shipper tells an operator of, and when: a few callbacks for each outage, not some for each
 * call. Private to the room. owner: the shipper's thread */
#ifndef FILESERVICE_SRC_LOGS_REPORT_H
#define FILESERVICE_SRC_LOGS_REPORT_H

#include "pace.h"
#include "queue.h"

#define REPORT_OUTAGE_FAILURES 3 /* tries of one batch, in a row */

/* Zeroed at the start. */
struct report {
    unsigned failing; /* shipments whose last try failed */
    bool outage;      /* on_outage was called, on_recovery not yet */
    bool last_words;  /* spoken: what is told while stopping is not told of again */
    uint64_t told_dropped;
    uint64_t told_rejected;
    uint64_t since_ms; /* since when there is something to tell; 0: there is not */
    struct pace pace;
};

/* A batch that had failed `failures` times before failed again. */
void report_failure(struct report *r, const struct logs_cloudwatch_options *options,
                    unsigned failures, const struct error *error);
/* A batch's fate is known; whether it had failed before. */
void report_success(struct report *r, bool had_failed);

/* Tells of what was dropped and rejected once lines flow and no more are about to be dropped, or else
 * after LOGS_PACE_EVERY_MS. What goes on is told of at growing intervals (pace.h):
 * a line that tells of rejected lines may itself be rejected. `stopping`: at once, and once. */
void report_look(struct report *r, const struct logs_cloudwatch_options *options,
                 struct queue *queue, uint64_t now_ms, bool stopping);

#endif

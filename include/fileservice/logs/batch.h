/* Which lines go into one PutLogEvents call. Pure: no clock, no I/O.
 * Limits: CloudWatch Logs API reference, PutLogEvents. */
#ifndef FILESERVICE_LOGS_BATCH_H
#define FILESERVICE_LOGS_BATCH_H

#include "fileservice/base/buf.h"

#define LOGS_BATCH_MAX_BYTES 1048576 /* sum of message bytes + 26 for each event */
#define LOGS_BATCH_EVENT_BYTES 26    /* what CloudWatch counts for each event */
#define LOGS_BATCH_MAX_EVENTS 10000
#define LOGS_BATCH_MAX_SPAN_MS 86400000 /* 24 h between first and last */
#define LOGS_EVENT_MAX_BYTES 262144     /* 256 KiB; emulators enforce the classic limit */

struct logs_event {
    int64_t wall_ms;
    struct span message; /* borrowed, UTF-8 */
};

/* How many of `events`, from the first, make one legal batch. At least 1 when count > 0. */
size_t logs_batch_size(const struct logs_event *events, size_t count);

/* Cuts a message that is over LOGS_EVENT_MAX_BYTES on a UTF-8 boundary and appends it to `out` with
 * the mark "[truncated N bytes]"; a shorter one is appended as it is; an empty one becomes "-". */
void logs_batch_append_message(struct buf *out, struct span message);

/* Appends the JSON body of PutLogEvents, events in ascending time (stable). */
enum err logs_batch_body(const char *group, const char *stream, const struct logs_event *events,
                         size_t count, struct buf *out) __attribute__((warn_unused_result));

#endif

/* The lines that wait for CloudWatch: bounded, first in first out, the oldest are given up first.
 *
 * Lines lie one behind the other in blocks, each of one stream. Any thread puts lines in; the shipper
 * takes whole blocks out, so neither waits for the other longer than one line's copy takes. Where a
 * new block finds no room, the oldest block that waits goes, with all of its lines. Every line is
 * counted exactly once: as delivered, rejected or dropped.
 */
#ifndef FILESERVICE_SRC_LOGS_QUEUE_H
#define FILESERVICE_SRC_LOGS_QUEUE_H

#include "fileservice/base/list.h"
#include "fileservice/base/log.h"
#include "fileservice/logs/cloudwatch.h"

#include <pthread.h>

#define QUEUE_BLOCK_BYTES 32768 /* a longer line gets a block of its own; ours */

/* owner: the queue, under its mutex; once taken, the shipper */
struct queue_block {
    struct list node;
    uint64_t order; /* counts up over both streams */
    size_t capacity;
    size_t used;
    size_t lines;
    size_t text_bytes;
    char bytes[]; /* queue_line by queue_line */
};

/* The first block of a list; NULL when it is empty. */
struct queue_block *queue_first(const struct list *blocks);
void queue_free_blocks(struct list *blocks);

/* A line as it is read back; its text lies in the block. */
struct queue_line {
    int64_t wall_ms;
    struct span text;
};

struct queue {
    pthread_mutex_t mutex;
    /* any thread, under mutex */
    size_t max_bytes;
    size_t bytes; /* of all blocks that wait */
    uint64_t order;
    struct list waiting[LOG_STREAM_COUNT];
    size_t text_bytes[LOG_STREAM_COUNT]; /* that wait */
    struct logs_cloudwatch_counts counts;
    bool closed;
};

void queue_init(struct queue *q, size_t max_bytes);
void queue_done(struct queue *q); /* frees what waits */

/* Copies a line in, which must have at least a byte. True when, by it, as much waits in its stream as is
 * sent at once (LOGS_SEND_AFTER_BYTES). */
bool queue_put(struct queue *q, const struct log_line *line);

/* Moves the first blocks of a stream to the end of `taken`, until they hold `text_bytes` or none waits.
 * Their lines are the taker's to deliver, or to count otherwise. */
void queue_take(struct queue *q, enum log_stream stream, size_t text_bytes, struct list *taken);

/* Bytes of text that wait in a stream; 0 when no line does. */
size_t queue_text_bytes(struct queue *q, enum log_stream stream);

/* Whether half of the room is free, so that no line is about to be dropped. */
bool queue_has_room(struct queue *q);

/* Reads the line at `*at` of a block and moves on. False at the block's end. */
bool queue_read(const struct queue_block *block, size_t *at, struct queue_line *ret);

/* What became of `lines` taken lines with `text_bytes`: `rejected` by kind, the others delivered. */
void queue_count_sent(struct queue *q, size_t lines, size_t text_bytes,
                      const size_t rejected[LOGS_REJECT_COUNT]);

/* No line is sent any more: all that are neither delivered nor rejected, taken ones too, count as
 * dropped, and so does every line that is put later. */
void queue_close(struct queue *q);

struct logs_cloudwatch_counts queue_counts(struct queue *q);

#endif

/* The lines that wait for CloudWatch: bounded, first in first out, the oldest are given up first.
 *
 * Any thread puts; the shipper takes a batch of one stream, and gives it back when it could not be
 * sent. Lines that were taken stay counted in `bytes` until they are released.
 */
#ifndef FILESERVICE_LOGS_QUEUE_H
#define FILESERVICE_LOGS_QUEUE_H

#include "fileservice/base/list.h"
#include "fileservice/base/log.h"
#include "fileservice/logs/cloudwatch.h"

#include <pthread.h>

/* One line; its text follows it in the same block. */
struct queue_line {
    struct list node;
    enum log_stream stream;
    int64_t wall_ms;
    size_t n;
    char text[];
};

struct queue {
    pthread_mutex_t mutex;
    /* any thread, under mutex */
    size_t max_bytes;
    size_t bytes; /* waiting and taken, texts and headers */
    struct list waiting[LOG_STREAM_COUNT];
    size_t count[LOG_STREAM_COUNT];
    size_t text_bytes[LOG_STREAM_COUNT];
    struct logs_cloudwatch_counts counts;
    uint64_t unsaid; /* dropped lines that no line has told of yet */
};

void queue_init(struct queue *q, size_t max_bytes);
void queue_done(struct queue *q); /* frees what waits and counts it as dropped */

/* Copies a line in; when there is no room the oldest waiting lines of either stream go. Returns how
 * many bytes of text now wait in its stream. */
size_t queue_put(struct queue *q, const struct log_line *line);

/* Moves the first lines of a stream, at most `max`, to `taken`. */
void queue_take(struct queue *q, enum log_stream stream, size_t max, struct list *taken);
/* Puts taken lines back to the front, in their order. */
void queue_give_back(struct queue *q, enum log_stream stream, struct list *taken);
/* Frees taken lines. The first `rejected` of them count as rejected, the others as delivered or, when
 * `delivered` is false, as dropped. */
void queue_release(struct queue *q, struct list *taken, size_t rejected, bool delivered);

/* Dropped lines since this was asked last. */
uint64_t queue_take_unsaid(struct queue *q);
struct logs_cloudwatch_counts queue_counts(struct queue *q);

#endif

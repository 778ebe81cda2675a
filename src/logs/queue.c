#include "queue.h"

#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

/* clang-analyzer-unix.Malloc does not see that a line leaves its list before it is freed. */
static struct queue_line *line_of(struct list *node) {
    return CONTAINER_OF(node, struct queue_line, node);
}

static size_t cost_of(const struct queue_line *l) { return sizeof *l + l->n; }

void queue_init(struct queue *q, size_t max_bytes) {
    memset(q, 0, sizeof *q);
    pthread_mutex_init(&q->mutex, NULL);
    q->max_bytes = max_bytes;
    for (size_t i = 0; i < LOG_STREAM_COUNT; i++)
        list_init(&q->waiting[i]);
}

/* Takes a waiting line out of its list. */
static void unlink_waiting(struct queue *q, struct queue_line *l) {
    list_remove(&l->node);
    q->count[l->stream]--;
    q->text_bytes[l->stream] -= l->n;
}

static void free_line(struct queue *q, struct queue_line *l) {
    q->bytes -= cost_of(l);
    free(l);
}

static void count_dropped(struct queue *q) {
    q->counts.dropped++;
    q->unsaid++;
}

/* The stream whose first line is the older; NULL when nothing waits. */
static struct queue_line *oldest(struct queue *q) {
    struct queue_line *found = NULL;
    for (size_t i = 0; i < LOG_STREAM_COUNT; i++) {
        if (list_is_empty(&q->waiting[i]))
            continue;
        struct queue_line *l = line_of(q->waiting[i].next); // NOLINT(clang-analyzer-unix.Malloc)
        if (found == NULL || l->wall_ms < found->wall_ms)
            found = l;
    }
    return found;
}

static bool make_room(struct queue *q, size_t cost) {
    if (cost > q->max_bytes)
        return false;
    while (cost > q->max_bytes - q->bytes) {
        struct queue_line *l = oldest(q);
        if (l == NULL)
            return false; /* all of the room is under way */
        unlink_waiting(q, l);
        free_line(q, l);
        count_dropped(q);
    }
    return true;
}

size_t queue_put(struct queue *q, const struct log_line *line) {
    pthread_mutex_lock(&q->mutex);
    q->counts.produced++;
    struct queue_line *l = NULL;
    if (make_room(q, sizeof *l + line->text.n))
        l = malloc(sizeof *l + line->text.n);
    if (l == NULL) {
        count_dropped(q);
    } else {
        l->stream = line->stream;
        l->wall_ms = line->wall_ms;
        l->n = line->text.n;
        if (l->n > 0)
            memcpy(l->text, line->text.p, l->n);
        list_append(&q->waiting[l->stream], &l->node);
        q->count[l->stream]++;
        q->text_bytes[l->stream] += l->n;
        q->bytes += cost_of(l);
    }
    size_t waiting = q->text_bytes[line->stream];
    pthread_mutex_unlock(&q->mutex);
    return waiting;
}

void queue_take(struct queue *q, enum log_stream stream, size_t max, struct list *taken) {
    pthread_mutex_lock(&q->mutex);
    for (size_t i = 0; i < max && !list_is_empty(&q->waiting[stream]); i++) {
        struct queue_line *l = line_of(q->waiting[stream].next);
        unlink_waiting(q, l);
        list_append(taken, &l->node);
    }
    pthread_mutex_unlock(&q->mutex);
}

void queue_give_back(struct queue *q, enum log_stream stream, struct list *taken) {
    pthread_mutex_lock(&q->mutex);
    while (!list_is_empty(taken)) {
        struct queue_line *l = line_of(taken->prev);
        list_remove(&l->node);
        list_append(q->waiting[stream].next, &l->node); /* before the first: to the front */
        q->count[stream]++;
        q->text_bytes[stream] += l->n;
    }
    pthread_mutex_unlock(&q->mutex);
}

void queue_release(struct queue *q, struct list *taken, size_t rejected, bool delivered) {
    pthread_mutex_lock(&q->mutex);
    for (size_t i = 0; !list_is_empty(taken); i++) {
        struct queue_line *l = line_of(taken->next); // NOLINT(clang-analyzer-unix.Malloc)
        list_remove(&l->node);
        free_line(q, l);
        if (i < rejected)
            q->counts.rejected++;
        else if (delivered)
            q->counts.delivered++;
        else
            count_dropped(q);
    }
    pthread_mutex_unlock(&q->mutex);
}

uint64_t queue_take_unsaid(struct queue *q) {
    pthread_mutex_lock(&q->mutex);
    uint64_t n = q->unsaid;
    q->unsaid = 0;
    pthread_mutex_unlock(&q->mutex);
    return n;
}

struct logs_cloudwatch_counts queue_counts(struct queue *q) {
    pthread_mutex_lock(&q->mutex);
    struct logs_cloudwatch_counts counts = q->counts;
    pthread_mutex_unlock(&q->mutex);
    return counts;
}

void queue_done(struct queue *q) {
    for (size_t i = 0; i < LOG_STREAM_COUNT; i++)
        queue_release(q, &q->waiting[i], 0, false);
    pthread_mutex_destroy(&q->mutex);
}

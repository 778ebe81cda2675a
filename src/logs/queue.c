#include "queue.h"

#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

/* What stands before the text of a line in a block, unaligned. */
struct line_head {
    int64_t wall_ms;
    size_t n;
};

struct queue_block *queue_first(const struct list *blocks) {
    if (list_is_empty(blocks))
        return NULL;
    /* The analyzer does not see that a block leaves its list before it is freed.
     * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    return CONTAINER_OF(blocks->next, struct queue_block, node);
}

static size_t cost_of(const struct queue_block *b) { return sizeof *b + b->capacity; }

void queue_init(struct queue *q, size_t max_bytes) {
    memset(q, 0, sizeof *q);
    pthread_mutex_init(&q->mutex, NULL);
    q->max_bytes = max_bytes;
    for (size_t i = 0; i < LOG_STREAM_COUNT; i++)
        list_init(&q->waiting[i]);
}

void queue_free_blocks(struct list *blocks) {
    struct queue_block *b;
    while ((b = queue_first(blocks)) != NULL) {
        list_remove(&b->node);
        free(b);
    }
}

void queue_done(struct queue *q) {
    for (size_t i = 0; i < LOG_STREAM_COUNT; i++)
        queue_free_blocks(&q->waiting[i]);
    pthread_mutex_destroy(&q->mutex);
}

/* Takes a waiting block out of its list. */
static void unlink_waiting(struct queue *q, enum log_stream stream, struct queue_block *b) {
    list_remove(&b->node);
    q->bytes -= cost_of(b);
    q->text_bytes[stream] -= b->text_bytes;
}

/* Lines are lost. */
static void count_dropped(struct queue *q, size_t lines, size_t text_bytes) {
    q->counts.dropped += lines;
    q->counts.queue_bytes -= text_bytes;
}

/* Gives up the block that began to wait first. False when none waits. */
static bool drop_oldest(struct queue *q) {
    struct queue_block *found = NULL;
    enum log_stream stream = LOG_STREAM_DEFAULT;
    for (size_t i = 0; i < LOG_STREAM_COUNT; i++) {
        struct queue_block *b = queue_first(&q->waiting[i]);
        if (b != NULL && (found == NULL || b->order < found->order)) {
            found = b;
            stream = (enum log_stream)i;
        }
    }
    if (found == NULL)
        return false;
    unlink_waiting(q, stream, found);
    count_dropped(q, found->lines, found->text_bytes);
    free(found);
    return true;
}

/* A block at the end of the stream, with room for `need` bytes; NULL when there can be none. */
static struct queue_block *add_block(struct queue *q, enum log_stream stream, size_t need) {
    size_t capacity = need > QUEUE_BLOCK_BYTES ? need : QUEUE_BLOCK_BYTES;
    size_t cost = sizeof(struct queue_block) + capacity;
    if (cost > q->max_bytes)
        return NULL;
    while (cost > q->max_bytes - q->bytes)
        if (!drop_oldest(q))
            return NULL;
    struct queue_block *b = malloc(cost);
    if (b == NULL)
        return NULL;
    *b = (struct queue_block){.order = q->order++, .capacity = capacity};
    list_append(&q->waiting[stream], &b->node);
    q->bytes += cost;
    return b;
}

/* Whether a block is the next to go, should there be no room. */
static bool is_oldest(const struct queue *q, const struct queue_block *b) {
    for (size_t i = 0; i < LOG_STREAM_COUNT; i++) {
        const struct queue_block *first = queue_first(&q->waiting[i]);
        if (first != NULL && first->order < b->order)
            return false;
    }
    return true;
}

static struct queue_block *block_with_room(struct queue *q, enum log_stream stream, size_t need) {
    struct list *blocks = &q->waiting[stream];
    if (!list_is_empty(blocks)) {
        struct queue_block *last = CONTAINER_OF(blocks->prev, struct queue_block, node);
        /* A stream of few lines would put new ones with old ones that are about to go. */
        bool ages = q->bytes > q->max_bytes / 2 && is_oldest(q, last);
        if (need <= last->capacity - last->used && !ages)
            return last;
    }
    return add_block(q, stream, need);
}

static void append(struct queue_block *b, const struct log_line *line) {
    struct line_head head = {line->wall_ms, line->text.n};
    memcpy(b->bytes + b->used, &head, sizeof head);
    if (head.n > 0)
        memcpy(b->bytes + b->used + sizeof head, line->text.p, head.n);
    b->used += sizeof head + head.n;
    b->text_bytes += head.n;
    b->lines++;
}

bool queue_put(struct queue *q, const struct log_line *line) {
    bool much = false;
    pthread_mutex_lock(&q->mutex);
    struct queue_block *b = NULL;
    q->counts.produced++;
    if (!q->closed)
        b = block_with_room(q, line->stream, sizeof(struct line_head) + line->text.n);
    if (b == NULL) {
        count_dropped(q, 1, 0);
    } else {
        size_t before = q->text_bytes[line->stream];
        append(b, line);
        q->text_bytes[line->stream] += line->text.n;
        q->counts.queue_bytes += line->text.n;
        much =
            before < LOGS_SEND_AFTER_BYTES && q->text_bytes[line->stream] >= LOGS_SEND_AFTER_BYTES;
    }
    pthread_mutex_unlock(&q->mutex);
    return much;
}

void queue_take(struct queue *q, enum log_stream stream, size_t text_bytes, struct list *taken) {
    size_t got = 0;
    pthread_mutex_lock(&q->mutex);
    while (got < text_bytes && !list_is_empty(&q->waiting[stream])) {
        struct queue_block *b = queue_first(&q->waiting[stream]);
        unlink_waiting(q, stream, b);
        list_append(taken, &b->node);
        got += b->text_bytes;
    }
    pthread_mutex_unlock(&q->mutex);
}

size_t queue_text_bytes(struct queue *q, enum log_stream stream) {
    pthread_mutex_lock(&q->mutex);
    size_t n = q->text_bytes[stream];
    pthread_mutex_unlock(&q->mutex);
    return n;
}

bool queue_has_room(struct queue *q) {
    pthread_mutex_lock(&q->mutex);
    bool room = q->bytes <= q->max_bytes / 2;
    pthread_mutex_unlock(&q->mutex);
    return room;
}

bool queue_read(const struct queue_block *block, size_t *at, struct queue_line *ret) {
    struct line_head head;
    if (*at == block->used)
        return false;
    memcpy(&head, block->bytes + *at, sizeof head);
    *ret = (struct queue_line){head.wall_ms, {block->bytes + *at + sizeof head, head.n}};
    *at += sizeof head + head.n;
    return true;
}

void queue_count_sent(struct queue *q, size_t lines, size_t text_bytes,
                      const size_t rejected[LOGS_REJECT_COUNT]) {
    pthread_mutex_lock(&q->mutex);
    for (size_t i = 0; i < LOGS_REJECT_COUNT; i++) {
        q->counts.rejected[i] += rejected[i];
        lines -= rejected[i];
    }
    q->counts.delivered += lines;
    q->counts.queue_bytes -= text_bytes;
    pthread_mutex_unlock(&q->mutex);
}

void queue_close(struct queue *q) {
    pthread_mutex_lock(&q->mutex);
    struct logs_cloudwatch_counts *c = &q->counts;
    q->closed = true;
    c->dropped = c->produced - c->delivered;
    for (size_t i = 0; i < LOGS_REJECT_COUNT; i++)
        c->dropped -= c->rejected[i];
    c->queue_bytes = 0;
    pthread_mutex_unlock(&q->mutex);
}

struct logs_cloudwatch_counts queue_counts(struct queue *q) {
    pthread_mutex_lock(&q->mutex);
    struct logs_cloudwatch_counts counts = q->counts;
    pthread_mutex_unlock(&q->mutex);
    return counts;
}

#include "fileservice/s3/budget.h"

#include <pthread.h>
#include <stdlib.h>

#include "fileservice/base/banned.h"

struct budget {
    pthread_mutex_t mutex; /* all below, and every waiter's node, bytes and granted */
    uint64_t room;         /* for reservations */
    uint64_t reserved;
    uint64_t first_room; /* for first chunks, counted in chunks */
    uint64_t first_used;
    struct list line; /* waiters, first come first */
};

struct budget *budget_new(uint64_t bytes) {
    struct budget *b = calloc(1, sizeof *b);
    if (b == NULL)
        return NULL;
    pthread_mutex_init(&b->mutex, NULL);
    b->first_room = bytes / 4 / BUDGET_CHUNK_BYTES;
    b->room = bytes - b->first_room * BUDGET_CHUNK_BYTES;
    list_init(&b->line);
    return b;
}

void budget_free(struct budget *b) {
    if (b == NULL)
        return;
    pthread_mutex_destroy(&b->mutex);
    free(b);
}

bool budget_take_first(struct budget *b) {
    pthread_mutex_lock(&b->mutex);
    bool taken = b->first_used < b->first_room;
    b->first_used += taken ? 1 : 0;
    pthread_mutex_unlock(&b->mutex);
    return taken;
}

void budget_give_first(struct budget *b) {
    pthread_mutex_lock(&b->mutex);
    b->first_used--;
    pthread_mutex_unlock(&b->mutex);
}

/* Serves the line from its head for as long as there is room. Under the mutex. */
static void serve(struct budget *b) {
    while (!list_is_empty(&b->line)) {
        struct budget_waiter *w = CONTAINER_OF(b->line.next, struct budget_waiter, node);
        if (w->bytes > b->room - b->reserved)
            return;
        b->reserved += w->bytes;
        list_remove(&w->node);
        w->granted = true;
        loop_post_remote(w->loop, &w->task);
    }
}

bool budget_reserve(struct budget *b, struct budget_waiter *w, uint64_t bytes) {
    pthread_mutex_lock(&b->mutex);
    w->bytes = bytes;
    w->granted = list_is_empty(&b->line) && bytes <= b->room - b->reserved;
    if (w->granted)
        b->reserved += bytes;
    else
        list_append(&b->line, &w->node);
    bool granted = w->granted;
    pthread_mutex_unlock(&b->mutex);
    return granted;
}

void budget_cancel(struct budget *b, struct budget_waiter *w) {
    pthread_mutex_lock(&b->mutex);
    list_remove(&w->node);
    if (w->granted)
        b->reserved -= w->bytes;
    w->granted = false;
    w->bytes = 0;
    serve(b); /* who stood behind a large wish may fit now */
    pthread_mutex_unlock(&b->mutex);
    loop_cancel(w->loop, &w->task);
}

void budget_release(struct budget *b, uint64_t bytes) {
    pthread_mutex_lock(&b->mutex);
    b->reserved -= bytes;
    serve(b);
    pthread_mutex_unlock(&b->mutex);
}

uint64_t budget_used(struct budget *b) {
    pthread_mutex_lock(&b->mutex);
    uint64_t used = b->reserved + b->first_used * BUDGET_CHUNK_BYTES;
    pthread_mutex_unlock(&b->mutex);
    return used;
}

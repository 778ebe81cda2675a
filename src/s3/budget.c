#include "fileservice/s3/budget.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "fileservice/base/banned.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define POISON(p) ASAN_POISON_MEMORY_REGION(p, BUDGET_CHUNK_BYTES)
#define UNPOISON(p) ASAN_UNPOISON_MEMORY_REGION(p, BUDGET_CHUNK_BYTES)
#else
#define POISON(p) ((void)(p))
#define UNPOISON(p) ((void)(p))
#endif

/* any thread, under the mutex */
struct budget {
    pthread_mutex_t mutex;
    struct budget_policy policy; /* with every holder's claim */

    char *memory; /* of chunk_count chunks */
    uint64_t chunk_count;
    struct budget_chunk *chunks; /* row i is for chunk i */
    uint64_t fresh;              /* the first chunk that was never used */
    struct budget_chunk *hot;    /* given back, with their pages */
    uint64_t hot_count;
    struct budget_chunk *cold; /* given back, without */
};

struct budget *budget_new(uint64_t bytes) {
    struct budget *b = calloc(1, sizeof *b);
    if (b == NULL)
        return NULL;
    pthread_mutex_init(&b->mutex, NULL);
    budget_policy_init(&b->policy, bytes);
    b->chunk_count = bytes / BUDGET_CHUNK_BYTES;
    b->chunks = calloc(b->chunk_count, sizeof *b->chunks);
    b->memory = mmap(NULL, b->chunk_count * BUDGET_CHUNK_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (b->memory == MAP_FAILED)
        b->memory = NULL;
    if (b->chunks == NULL || b->memory == NULL) {
        budget_free(b);
        return NULL;
    }
    return b;
}

void budget_free(struct budget *b) {
    if (b == NULL)
        return;
    if (b->memory != NULL)
        munmap(b->memory, b->chunk_count * BUDGET_CHUNK_BYTES);
    free(b->chunks);
    pthread_mutex_destroy(&b->mutex);
    free(b);
}

/* Chunks */

static struct budget_chunk *pop(struct budget_chunk **list) {
    struct budget_chunk *c = *list;
    if (c != NULL)
        *list = c->next;
    return c;
}

static void push(struct budget_chunk **list, struct budget_chunk *c) {
    c->next = *list;
    *list = c;
}

struct budget_chunk *budget_take_chunk(struct budget *b) {
    pthread_mutex_lock(&b->mutex);
    struct budget_chunk *c = pop(&b->hot);
    if (c != NULL) {
        b->hot_count--;
    } else if ((c = pop(&b->cold)) == NULL && b->fresh < b->chunk_count) {
        c = &b->chunks[b->fresh];
        c->data = b->memory + b->fresh * BUDGET_CHUNK_BYTES;
        b->fresh++;
    }
    pthread_mutex_unlock(&b->mutex);
    if (c == NULL)
        return NULL;
    UNPOISON(c->data);
    c->next = NULL;
    c->n = 0;
    return c;
}

/* Takes as many off the chain as may stay hot, under one lock. */
static void keep_hot(struct budget *b, struct budget_chunk **chain) {
    pthread_mutex_lock(&b->mutex);
    while (*chain != NULL && b->hot_count < BUDGET_HOT_CHUNKS) {
        push(&b->hot, pop(chain));
        b->hot_count++;
    }
    pthread_mutex_unlock(&b->mutex);
}

void budget_give_chunks(struct budget *b, struct budget_chunk *first) {
    for (struct budget_chunk *c = first; c != NULL; c = c->next)
        POISON(c->data);
    keep_hot(b, &first);
    if (first == NULL)
        return;
    /* Giving pages back takes time: not under the mutex. */
    for (struct budget_chunk *c = first; c != NULL; c = c->next)
        madvise(c->data, BUDGET_CHUNK_BYTES, MADV_DONTNEED);
    pthread_mutex_lock(&b->mutex);
    while (first != NULL)
        push(&b->cold, pop(&first));
    pthread_mutex_unlock(&b->mutex);
}

/* Room */

void budget_holder_init(struct budget_holder *h, struct loop *loop,
                        void (*granted)(struct loop_task *task)) {
    budget_claim_init(&h->claim);
    h->loop = loop;
    loop_task_init(&h->granted, granted);
}

/* Serves the line from its head for as long as there is room. Under the mutex. */
static void serve(struct budget *b, uint64_t now_ms) {
    struct budget_claim *c;
    while ((c = budget_policy_grant(&b->policy, now_ms)) != NULL) {
        struct budget_holder *h = CONTAINER_OF(c, struct budget_holder, claim);
        loop_post_remote(h->loop, &h->granted);
    }
}

uint64_t budget_ask(struct budget *b, struct budget_holder *h, uint64_t bytes) {
    pthread_mutex_lock(&b->mutex);
    uint64_t held = budget_policy_ask(&b->policy, &h->claim, bytes, loop_now_ms(h->loop));
    pthread_mutex_unlock(&b->mutex);
    return held;
}

void budget_shrink(struct budget *b, struct budget_holder *h, uint64_t bytes) {
    pthread_mutex_lock(&b->mutex);
    budget_policy_shrink(&b->policy, &h->claim, bytes);
    serve(b, loop_now_ms(h->loop));
    pthread_mutex_unlock(&b->mutex);
}

void budget_give_back(struct budget *b, struct budget_holder *h) {
    pthread_mutex_lock(&b->mutex);
    budget_policy_give_back(&b->policy, &h->claim);
    serve(b, loop_now_ms(h->loop)); /* also who stood behind a large wish may fit now */
    pthread_mutex_unlock(&b->mutex);
    loop_cancel(h->loop, &h->granted); /* nobody posts it any more: the claim is out of the line */
}

enum budget_verdict budget_look(struct budget *b, struct budget_holder *h, uint64_t size,
                                uint64_t *again_ms) {
    pthread_mutex_lock(&b->mutex);
    enum budget_verdict verdict =
        budget_policy_look(&b->policy, &h->claim, size, loop_now_ms(h->loop), again_ms);
    pthread_mutex_unlock(&b->mutex);
    return verdict;
}

uint64_t budget_used(struct budget *b) {
    pthread_mutex_lock(&b->mutex);
    uint64_t used = budget_policy_used(&b->policy);
    pthread_mutex_unlock(&b->mutex);
    return used;
}

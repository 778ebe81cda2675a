#include "fileservice/s3/budget.h"

#include <pthread.h>
#include <stdlib.h>

#include "fileservice/base/banned.h"

struct budget {
    pthread_mutex_t mutex;
    struct budget_policy policy; /* with every holder's claim: any thread, under the mutex */
};

struct budget *budget_new(uint64_t bytes) {
    struct budget *b = calloc(1, sizeof *b);
    if (b == NULL)
        return NULL;
    pthread_mutex_init(&b->mutex, NULL);
    budget_policy_init(&b->policy, bytes);
    return b;
}

void budget_free(struct budget *b) {
    if (b == NULL)
        return;
    pthread_mutex_destroy(&b->mutex);
    free(b);
}

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

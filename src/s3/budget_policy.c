#include "fileservice/s3/budget_policy.h"

#include <assert.h>

#include "fileservice/base/banned.h"

void budget_policy_init(struct budget_policy *p, uint64_t bytes) {
    *p = (struct budget_policy){.first_room = bytes / 4 / BUDGET_CHUNK_BYTES};
    p->room = bytes - p->first_room * BUDGET_CHUNK_BYTES;
    list_init(&p->line);
}

void budget_claim_init(struct budget_claim *c) {
    *c = (struct budget_claim){.state = BUDGET_NOTHING};
    list_init(&c->node);
}

/* Times of two loops are compared, and one may be a step behind. */
static uint64_t since(uint64_t then_ms, uint64_t now_ms) {
    return now_ms > then_ms ? now_ms - then_ms : 0;
}

static void give_first(struct budget_policy *p, struct budget_claim *c) {
    p->first_used -= c->has_first ? 1 : 0;
    c->has_first = false;
}

/* The first chunk is part of what is reserved now. */
static void reserve(struct budget_policy *p, struct budget_claim *c) {
    p->reserved += c->bytes;
    c->state = BUDGET_RESERVED;
    give_first(p, c);
}

static bool fits(const struct budget_policy *p, const struct budget_claim *c) {
    return c->bytes <= p->room - p->reserved;
}

uint64_t budget_policy_ask(struct budget_policy *p, struct budget_claim *c, uint64_t bytes,
                           uint64_t now_ms) {
    assert(c->state == BUDGET_NOTHING || c->state == BUDGET_FIRST);
    assert(bytes <= p->room);
    if (c->state == BUDGET_NOTHING) {
        c->window_ms = now_ms;
        if (p->first_used < p->first_room) {
            p->first_used++;
            c->has_first = true;
            c->state = BUDGET_FIRST;
            return BUDGET_CHUNK_BYTES;
        }
    }
    c->bytes = bytes;
    if (list_is_empty(&p->line) && fits(p, c)) {
        reserve(p, c);
        return bytes;
    }
    c->state = BUDGET_WAITING;
    c->asked_ms = now_ms;
    list_append(&p->line, &c->node);
    return 0;
}

struct budget_claim *budget_policy_grant(struct budget_policy *p, uint64_t now_ms) {
    if (list_is_empty(&p->line))
        return NULL;
    struct budget_claim *c = CONTAINER_OF(p->line.next, struct budget_claim, node);
    if (!fits(p, c))
        return NULL;
    list_remove(&c->node);
    reserve(p, c);
    c->window_ms += since(c->asked_ms, now_ms); /* it was we who held it back */
    return c;
}

void budget_policy_shrink(struct budget_policy *p, struct budget_claim *c, uint64_t bytes) {
    if (c->state != BUDGET_RESERVED || bytes >= c->bytes)
        return;
    p->reserved -= c->bytes - bytes;
    c->bytes = bytes;
}

void budget_policy_give_back(struct budget_policy *p, struct budget_claim *c) {
    if (c->state == BUDGET_RESERVED)
        p->reserved -= c->bytes;
    give_first(p, c);
    list_remove(&c->node);
    budget_claim_init(c);
}

static enum budget_verdict look_at_waiting(const struct budget_claim *c, uint64_t now_ms,
                                           uint64_t *again_ms) {
    uint64_t waited_ms = since(c->asked_ms, now_ms);
    if (waited_ms >= BUDGET_WAIT_MAX_MS)
        return BUDGET_WAITED;
    *again_ms = BUDGET_WAIT_MAX_MS - waited_ms;
    return BUDGET_KEEP;
}

static enum budget_verdict look_at_reserved(const struct budget_policy *p, struct budget_claim *c,
                                            uint64_t size, uint64_t now_ms, uint64_t *again_ms) {
    uint64_t open_ms = since(c->window_ms, now_ms);
    if (open_ms >= BUDGET_SLOW_WINDOW_MS) {
        c->slow = (size - c->window_bytes) * 1000 < open_ms * BUDGET_SLOW_BYTES_PER_S;
        c->window_ms = now_ms;
        c->window_bytes = size;
        open_ms = 0;
    }
    if (c->slow && !list_is_empty(&p->line))
        return BUDGET_SLOW;
    *again_ms = BUDGET_SLOW_WINDOW_MS - open_ms;
    if (c->slow && *again_ms > BUDGET_LOOK_AGAIN_MS)
        *again_ms = BUDGET_LOOK_AGAIN_MS;
    return BUDGET_KEEP;
}

enum budget_verdict budget_policy_look(const struct budget_policy *p, struct budget_claim *c,
                                       uint64_t size, uint64_t now_ms, uint64_t *again_ms) {
    *again_ms = UINT64_MAX;
    if (c->state == BUDGET_WAITING)
        return look_at_waiting(c, now_ms, again_ms);
    if (c->state == BUDGET_RESERVED)
        return look_at_reserved(p, c, size, now_ms, again_ms);
    return BUDGET_KEEP;
}

uint64_t budget_policy_used(const struct budget_policy *p) {
    return p->reserved + p->first_used * BUDGET_CHUNK_BYTES;
}

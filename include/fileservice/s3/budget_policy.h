/* Who gets room in the upload budget, who waits, who is cut. Pure: no lock, no loop, no clock; the
 * time comes in as an argument, so that a simulation can set it. s3/budget.h is the same for many
 * threads.
 *
 * A claim is what one part of an upload holds or wants:
 *
 *     NOTHING ─► FIRST ─► WAITING ─► RESERVED     ask, then grant; give_back ends it from anywhere
 *        └────────┴──────────┴──────────┘         (steps are left out where there is room at once)
 *
 *   FIRST      one chunk, out of the quarter of the budget that is kept for first chunks: a client
 *              that trickles holds no more than that
 *   RESERVED   the whole part, out of the other three quarters, first come first served: who waits
 *              is served before who comes later, so a large wish never starves. A begun part can
 *              always be finished, so there is no deadlock
 *
 * Nobody waits, or makes others wait, for ever: who waited for BUDGET_WAIT_MAX_MS has to go, and,
 * while others wait, so has a reserved part that took less than BUDGET_SLOW_BYTES_PER_S over
 * BUDGET_SLOW_WINDOW_MS. Time in which the part itself waited for room is not counted.
 */
#ifndef FILESERVICE_S3_BUDGET_POLICY_H
#define FILESERVICE_S3_BUDGET_POLICY_H

#include "fileservice/base/list.h"

#include <stdint.h>

#define BUDGET_CHUNK_BYTES 65536

#define BUDGET_WAIT_MAX_MS 30000      /* load balancers cut a silent client at 60 s */
#define BUDGET_SLOW_WINDOW_MS 10000   /* over this time, from the part's first byte on, and again */
#define BUDGET_SLOW_BYTES_PER_S 16384 /* fills a part of 8 MiB in 8 minutes */
#define BUDGET_LOOK_AGAIN_MS 1000     /* at a slow part, whether others wait by now */

enum budget_claim_state { BUDGET_NOTHING, BUDGET_FIRST, BUDGET_WAITING, BUDGET_RESERVED };

enum budget_verdict {
    BUDGET_KEEP,
    BUDGET_WAITED, /* too long for room */
    BUDGET_SLOW,   /* it keeps others waiting */
};

/* All members are the policy's. */
struct budget_claim {
    enum budget_claim_state state;
    bool has_first;        /* one chunk of the first quarter; in FIRST and perhaps in WAITING */
    struct list node;      /* in the line while WAITING */
    uint64_t bytes;        /* wanted while WAITING, held while RESERVED */
    uint64_t asked_ms;     /* since when it is WAITING */
    uint64_t window_ms;    /* begin of the time over which its speed is looked at */
    uint64_t window_bytes; /* what it had taken then */
    bool slow;             /* the last window was */
};

struct budget_policy {
    uint64_t room; /* for reservations */
    uint64_t reserved;
    uint64_t first_room; /* for first chunks, counted in chunks */
    uint64_t first_used;
    struct list line; /* of claims that wait, first come first */
};

/* `bytes` is the whole budget. */
void budget_policy_init(struct budget_policy *p, uint64_t bytes);
void budget_claim_init(struct budget_claim *c);

/* A claim needs a chunk more than it holds. `bytes` is what its whole part takes, at most three
 * quarters of the budget. Returns what it holds from now on: one chunk or all of `bytes`; 0 when it
 * stands in line. Not while it waits, and not when it holds all already. */
uint64_t budget_policy_ask(struct budget_policy *p, struct budget_claim *c, uint64_t bytes,
                           uint64_t now_ms);

/* Serves the head of the line if its room is there: the claim, now RESERVED, or NULL. To be called
 * until it returns NULL whenever something was given back. */
struct budget_claim *budget_policy_grant(struct budget_policy *p, uint64_t now_ms);

/* A reserved part will take no more than `bytes`. */
void budget_policy_shrink(struct budget_policy *p, struct budget_claim *c, uint64_t bytes);

/* Leaves the line and gives back everything; the claim is NOTHING again. */
void budget_policy_give_back(struct budget_policy *p, struct budget_claim *c);

/* What is to become of a claim whose part has taken `size` bytes so far. On BUDGET_KEEP *again_ms is
 * how long from now it may be left alone; for a claim that neither waits nor is reserved, for ever:
 * UINT64_MAX. */
enum budget_verdict budget_policy_look(const struct budget_policy *p, struct budget_claim *c,
                                       uint64_t size, uint64_t now_ms, uint64_t *again_ms);

/* Bytes held or reserved. Never more than the budget. */
uint64_t budget_policy_used(const struct budget_policy *p);

#endif

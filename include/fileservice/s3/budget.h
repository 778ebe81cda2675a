/* The memory that all uploads of the process share: room is reserved in order, chunks are taken as
 * bytes arrive.
 *
 * Three quarters of the budget are for reservations, first come first served over all workers: who
 * waits is served before who comes later, so a large wish never starves. One quarter is for first
 * chunks: every upload may hold one without a reservation, so a client that trickles holds no room.
 * A begun part can always be finished, so there is no deadlock. One mutex, held for a few
 * instructions; nothing here blocks.
 */
#ifndef FILESERVICE_S3_BUDGET_H
#define FILESERVICE_S3_BUDGET_H

#include "fileservice/net/loop.h"

#define BUDGET_CHUNK_BYTES 65536 /* with its header; one allocation */
#define BUDGET_CHUNK_DATA_BYTES (BUDGET_CHUNK_BYTES - 2 * sizeof(void *))

/* A piece of an upload. owner: the upload */
struct budget_chunk {
    struct budget_chunk *next;
    size_t n;
    char data[];
};

/* Somebody who waits for room. `task` is posted to `loop` once the room is theirs. Owned by the
 * waiter; `node`, `bytes` and `granted` are the budget's until then. */
struct budget_waiter {
    struct loop *loop;
    struct loop_task task;
    struct list node;
    uint64_t bytes;
    bool granted;
};

struct budget;

/* `bytes` is UPLOAD_MEMORY_BYTES. NULL when there is no memory. */
struct budget *budget_new(uint64_t bytes);
void budget_free(struct budget *b);

/* Takes room for a first chunk out of its quarter; false when that is used up. Any thread. */
bool budget_take_first(struct budget *b);
void budget_give_first(struct budget *b);

/* Reserves `bytes`: true at once, or false and the waiter stands in line. Any thread. */
bool budget_reserve(struct budget *b, struct budget_waiter *w, uint64_t bytes);
/* Leaves the line, or gives back what was granted meanwhile. On the waiter's loop. */
void budget_cancel(struct budget *b, struct budget_waiter *w);
void budget_release(struct budget *b, uint64_t bytes);

/* Bytes in use or reserved; any thread, for metrics and tests. */
uint64_t budget_used(struct budget *b);

#endif

/* The memory that all uploads of the process share: s3/budget_policy.h, which has the rules, behind
 * one mutex that is held for a few instructions, and a task for who waits. Nothing here blocks.
 */
#ifndef FILESERVICE_S3_BUDGET_H
#define FILESERVICE_S3_BUDGET_H

#include "fileservice/net/loop.h"
#include "fileservice/s3/budget_policy.h"

#define BUDGET_CHUNK_DATA_BYTES (BUDGET_CHUNK_BYTES - 2 * sizeof(void *))

/* A piece of an upload. owner: the upload */
struct budget_chunk {
    struct budget_chunk *next;
    size_t n;
    char data[];
};

/* One who holds room or waits for it: a part. Owned by who uses it; the members are the budget's. */
struct budget_holder {
    struct budget_claim claim; /* any thread, under the budget's mutex */
    struct loop *loop;
    struct loop_task granted; /* posted to `loop` when a wait has ended with room */
};

struct budget;

/* `bytes` is UPLOAD_MEMORY_BYTES. NULL when there is no memory. */
struct budget *budget_new(uint64_t bytes);
void budget_free(struct budget *b);

void budget_holder_init(struct budget_holder *h, struct loop *loop,
                        void (*granted)(struct loop_task *task));

/* The calls of the policy, each on the holder's loop. After budget_ask() said 0 `granted` runs once
 * all of `bytes` is there, unless it was given back before. */
uint64_t budget_ask(struct budget *b, struct budget_holder *h, uint64_t bytes)
    __attribute__((warn_unused_result));
void budget_shrink(struct budget *b, struct budget_holder *h, uint64_t bytes);
void budget_give_back(struct budget *b, struct budget_holder *h);
enum budget_verdict budget_look(struct budget *b, struct budget_holder *h, uint64_t size,
                                uint64_t *again_ms) __attribute__((warn_unused_result));

/* Bytes in use or reserved; any thread, for metrics and tests. */
uint64_t budget_used(struct budget *b);

#endif

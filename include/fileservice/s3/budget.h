/* The memory that all uploads of the process share: s3/budget_policy.h, which has the rules, behind
 * one mutex that is held for a few instructions, and a task for who waits; and the memory itself.
 *
 * The memory is one range of addresses, as large as the budget and empty until it is used: so no
 * allocator's arenas or fragments can make it more, and a thread can use what another gave back. Nothing
 * here blocks.
 */
#ifndef FILESERVICE_S3_BUDGET_H
#define FILESERVICE_S3_BUDGET_H

#include "fileservice/net/loop.h"
#include "fileservice/s3/budget_policy.h"

/* Given back chunks that keep their pages; those beyond go back to the system. More than one large upload
 * needs, so that it does not fault pages in anew. */
#define BUDGET_HOT_CHUNKS 1024

/* A piece of an upload. owner: the upload */
struct budget_chunk {
    struct budget_chunk *next;
    size_t n;   /* bytes in use */
    char *data; /* of BUDGET_CHUNK_BYTES; the budget's */
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

/* A chunk within what was asked for and held; empty. NULL when all are taken, which the policy excludes.
 * Any thread. */
struct budget_chunk *budget_take_chunk(struct budget *b);
/* Gives back a chain of them; NULL is fine. Any thread. */
void budget_give_chunks(struct budget *b, struct budget_chunk *first);

/* Bytes in use or reserved; any thread, for metrics and tests. */
uint64_t budget_used(struct budget *b);

#endif

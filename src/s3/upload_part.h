/* The memory of one part of an upload: chunks, their digest, their room. Private to the room.
 * owner: the upload's loop */
#ifndef FILESERVICE_SRC_S3_UPLOAD_PART_H
#define FILESERVICE_SRC_S3_UPLOAD_PART_H

#include "fileservice/s3/upload.h"

#include <openssl/evp.h>

struct upload_part {
    struct list node; /* of the upload's parts on their way */
    struct s3_upload *upload;
    struct budget *budget;
    struct aws_call *call; /* NULL while it waits to be sent */
    unsigned number;       /* counts from 1 */

    struct budget_chunk *first;
    struct budget_chunk *last;
    size_t chunk_count;
    uint64_t size;
    uint64_t room_bytes;       /* what the budget has granted so far */
    uint64_t whole_room_bytes; /* what was asked of it */
    bool waits;                /* until all of that is granted */
    struct budget_holder room; /* the part's place in the budget */

    bool has_crc; /* set by the upload before the first byte: S3 is to check it too */
    enum checksum_kind crc_kind;
    uint64_t crc;
    EVP_MD_CTX *sha256;
    char hash[SIGV4_HEX_BYTES + 1]; /* set by upload_part_close() */
    struct span *pieces;            /* of chunk_count, set by upload_part_close() */
};

/* `granted` is posted to the loop when the part has waited for room and has it. NULL when there is no
 * memory. */
struct upload_part *upload_part_new(struct s3_upload *upload, struct s3_client *s3, unsigned number,
                                    void (*granted)(struct loop_task *task));
/* Gives back memory and room; cancels its call. NULL is fine. */
void upload_part_free(struct upload_part *p);

/* Whether a next byte has room already. */
bool upload_part_has_room(const struct upload_part *p);

/* Copies into the last chunk, or a new one: at least 1 byte, as many as fit it. Only with room. */
enum err upload_part_append(struct upload_part *p, struct span data, size_t *taken)
    __attribute__((warn_unused_result));

/* No more bytes: hash and pieces become valid, and room that is not needed is given back. */
enum err upload_part_close(struct upload_part *p) __attribute__((warn_unused_result));

/* What `bytes` of a part take from the budget. */
uint64_t upload_part_cost(uint64_t bytes);

#endif

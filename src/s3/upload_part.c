#include "upload_part.h"

#include "fileservice/base/hex.h"

#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

struct upload_part *upload_part_new(struct s3_upload *upload, struct s3_client *s3, unsigned number,
                                    void (*granted)(struct loop_task *task)) {
    struct upload_part *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->upload = upload;
    p->budget = s3->budget;
    p->number = number;
    list_init(&p->node);
    budget_holder_init(&p->room, s3->aws.loop, granted);
    p->sha256 = EVP_MD_CTX_new();
    if (p->sha256 == NULL || EVP_DigestInit_ex(p->sha256, EVP_sha256(), NULL) != 1) {
        upload_part_free(p);
        return NULL;
    }
    return p;
}

void upload_part_free(struct upload_part *p) {
    if (p == NULL)
        return;
    aws_call_cancel(p->call);
    list_remove(&p->node);
    budget_give_chunks(p->budget, p->first);
    budget_give_back(p->budget, &p->room);
    EVP_MD_CTX_free(p->sha256);
    free(p->pieces);
    free(p);
}

static size_t left_in_last(const struct upload_part *p) {
    return p->last == NULL ? 0 : BUDGET_CHUNK_BYTES - p->last->n;
}

bool upload_part_has_room(const struct upload_part *p) {
    return left_in_last(p) > 0 || p->chunk_count < p->room_bytes / BUDGET_CHUNK_BYTES;
}

static enum err add_chunk(struct upload_part *p) {
    struct budget_chunk *c = budget_take_chunk(p->budget);
    if (c == NULL)
        return ERR_NO_MEMORY;
    if (p->last == NULL)
        p->first = c;
    else
        p->last->next = c;
    p->last = c;
    p->chunk_count++;
    return ERR_OK;
}

enum err upload_part_append(struct upload_part *p, struct span data, size_t *taken) {
    if (left_in_last(p) == 0 && add_chunk(p) != ERR_OK)
        return ERR_NO_MEMORY;
    size_t room = left_in_last(p);
    size_t n = data.n < room ? data.n : room;
    if (EVP_DigestUpdate(p->sha256, data.p, n) != 1)
        return ERR_INTERNAL;
    if (p->has_crc)
        p->crc = checksum_crc(p->crc_kind, p->crc, (struct span){data.p, n});
    memcpy(p->last->data + p->last->n, data.p, n);
    p->last->n += n;
    p->size += n;
    *taken = n;
    return ERR_OK;
}

enum err upload_part_close(struct upload_part *p) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_DigestFinal_ex(p->sha256, digest, &n) != 1)
        return ERR_INTERNAL;
    hex_encode(digest, n, p->hash);
    p->pieces = calloc(p->chunk_count + 1, sizeof *p->pieces);
    if (p->pieces == NULL)
        return ERR_NO_MEMORY;
    size_t i = 0;
    for (struct budget_chunk *c = p->first; c != NULL; c = c->next)
        p->pieces[i++] = (struct span){c->data, c->n};
    budget_shrink(p->budget, &p->room, p->chunk_count * BUDGET_CHUNK_BYTES);
    return ERR_OK;
}

uint64_t upload_part_cost(uint64_t bytes) {
    return (bytes + BUDGET_CHUNK_BYTES - 1) / BUDGET_CHUNK_BYTES * BUDGET_CHUNK_BYTES;
}

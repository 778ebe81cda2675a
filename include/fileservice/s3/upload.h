/* An upload: bytes in, one object on S3.
 *
 *     COLLECT ─► PUT ─────────────────────────────────► end      fits one part
 *        └─────► CREATE ─► PARTS ─► COMPLETE ─► (PROVE) ─► end   does not
 *                   └────────┴─────────┴──────► ABORT ──► end    on a failure, or given up
 *
 * Bytes wait in parts whose memory comes from the budget; a part is freed when S3 has it. When no
 * byte can be taken, s3_upload_write() takes none and on_room follows once it can. Who waits for room
 * too long, or is too slow while others wait, fails with ERR_BUSY (s3/budget_policy.h). A missing
 * bucket is made and the same bytes are sent again. The upload frees itself; it may outlive its
 * owner's interest, to abort, or to finish what may no longer be taken back. Everything on the
 * client's loop.
 */
#ifndef FILESERVICE_S3_UPLOAD_H
#define FILESERVICE_S3_UPLOAD_H

#include "fileservice/s3/checksum.h"
#include "fileservice/s3/object.h"

#define S3_UPLOAD_PARTS_IN_FLIGHT_MAX 4
#define S3_UPLOAD_PARTS_MAX 10000        /* S3 user guide, "Multipart upload limits" */
#define S3_UPLOAD_HEADERS_MAX 36         /* stored with an object: 32 of its user, 4 of HTTP */
#define S3_UPLOAD_HEADERS_MAX_BYTES 8192 /* S3's own limit for all headers of a PUT */

/* Borrowed during s3_upload_start(). */
struct s3_upload_options {
    struct span bucket;
    struct span key;
    struct span content_type;  /* empty: S3's own default */
    bool if_none_match;        /* only where there is no object yet: If-None-Match: * */
    const struct trace *trace; /* for whom; NULL: for nobody */
    uint64_t length_max; /* bytes to come at most: plans parts and room, is not checked here */

    /* Stored with the object as they are: x-amz-meta-*, cache-control and its kin, lower-case. */
    const struct sigv4_pair *headers;
    size_t header_count; /* at most S3_UPLOAD_HEADERS_MAX */
    /* A checksum of all bytes that S3 is to check, of a kind that has a checksum_header(). Of a
     * multipart upload S3 can only check CRCs: a SHA-256 goes no further than to a single PutObject. */
    struct span checksum; /* base64; empty: none */
    enum checksum_kind checksum_kind;
};

struct s3_upload_events {
    void (*on_room)(void *context);
    /* Called once, unless abandoned, never from inside a call of this header. Afterwards the upload
     * is not the caller's any more. `object` is set on ERR_OK. `warning` may be set on success: the
     * bucket was made but has no CORS rule. */
    void (*on_done)(void *context, enum err err, const struct s3_object *object,
                    const struct error *error, const struct error *warning);
    void *context;
};

struct s3_upload;

/* The size of all parts but the last, fixed at the start: the setting, or a 10,000th of the length in
 * whole MiB where that is more, so that 10,000 parts are enough. `length` is the most that may come.
 * It grows with the length, and the start of the program refuses settings by which it would be more
 * than a quarter of the budget for the largest upload: so no upload's part is. Pure. */
uint64_t s3_upload_part_bytes(uint64_t setting, uint64_t length);

enum err s3_upload_start(struct s3_client *s3, const struct s3_upload_options *options,
                         const struct s3_upload_events *events, struct s3_upload **ret)
    __attribute__((warn_unused_result));

/* Takes as many bytes as there is room for, and says how many. */
size_t s3_upload_write(struct s3_upload *u, struct span data);
/* All bytes were given. on_done follows. */
void s3_upload_finish(struct s3_upload *u);
/* The owner is not interested any more; no event follows. What S3 has of it is aborted, unless the
 * last call is already on its way: then it is left to finish. */
void s3_upload_abandon(struct s3_upload *u);

/* Ends all uploads of a client that are left, without asking S3, which may be what they hang on; tells
 * on_orphan of those that may leave parts. Only when the loop runs no more. */
void s3_uploads_end(struct s3_client *s3);

#endif

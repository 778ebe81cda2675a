/* Deleting up to 1,000 objects in one call: DeleteObjects. The call on the client's loop; building and
 * reading its documents is pure. */
#ifndef FILESERVICE_S3_REMOVE_MANY_H
#define FILESERVICE_S3_REMOVE_MANY_H

#include "fileservice/base/texts.h"
#include "fileservice/s3/client.h"

#define S3_REMOVE_KEYS_MAX 1000 /* S3 API reference, DeleteObjects */
#define S3_REMOVE_KEYS_MAX_BYTES ((size_t)S3_REMOVE_KEYS_MAX * S3_KEY_MAX_BYTES)
/* 1,000 keys of 1,024 bytes, each as up to six (&quot;), and 300 bytes about each. */
#define S3_REMOVE_DOCUMENT_MAX_BYTES 8388608
#define S3_REMOVE_MESSAGE_MAX_BYTES 512
#define S3_REMOVE_NOT_REPORTED "NotReported"

/* Why one key is still there. */
struct s3_remove_failure {
    struct span key;
    struct span code;    /* S3's */
    struct span message; /* cut at S3_REMOVE_MESSAGE_MAX_BYTES */
};

/* What became of each key. One that S3 never had counts as deleted; one of which it says nothing is a
 * failure with the code S3_REMOVE_NOT_REPORTED. */
struct s3_removed {
    struct texts deleted;
    struct texts failures; /* key, code and message of each */
    char request_id[ERROR_REQUEST_ID_MAX_BYTES];
};

void s3_removed_init(struct s3_removed *r);
void s3_removed_done(struct s3_removed *r);

size_t s3_removed_failure_count(const struct s3_removed *r);
struct s3_remove_failure s3_removed_failure(const struct s3_removed *r, size_t i); /* borrowed */

/* Appends the document that asks for the deletion of keys. */
void s3_remove_many_write(struct buf *document, const struct texts *keys);

/* Reads a DeleteResult into an empty `*ret`. ERR_UPSTREAM when it is no whole one, has a DTD, or more
 * rows or longer texts than S3 gives. Afterwards `*ret` holds anything. */
enum err s3_remove_many_read(struct span document, struct s3_removed *ret)
    __attribute__((warn_unused_result));

/* Adds a failure for each of `keys` that is in neither list. ERR_LIMIT when S3 spoke of too many
 * others, ERR_NO_MEMORY. */
enum err s3_removed_complete(struct s3_removed *r, const struct texts *keys)
    __attribute__((warn_unused_result));

/* Called once; never after cancel, never from inside start. `removed` is there on ERR_OK, and
 * borrowed: the call as a whole worked, some keys may have failed. */
typedef void s3_remove_many_done(void *context, enum err err, const struct s3_removed *removed,
                                 const struct error *error);

struct s3_remove_many_call;

/* `keys` are 1 to S3_REMOVE_KEYS_MAX that XML 1.0 can carry; they are taken out of `*keys`. Deleting is
 * repeated after a failure, like every call: twice deleted is deleted. `trace` says for whom; NULL: for
 * nobody. */
enum err s3_remove_many_start(struct s3_client *s3, struct span bucket, struct texts *keys,
                              const struct trace *trace, s3_remove_many_done *done, void *context,
                              struct s3_remove_many_call **ret) __attribute__((warn_unused_result));
void s3_remove_many_cancel(struct s3_remove_many_call *call); /* NULL is fine */

#endif

/* Listing a bucket, a page at a time: ListObjectsV2. Calls on the client's loop; reading a page, and
 * cursors, are pure.
 *
 * A cursor is what a client gets in place of S3's continuation token: base64url of a version byte, 16
 * bytes of SHA-256 and the token. The digest is over what was listed and the token, so that a cursor
 * that was cut, changed or given for another list is noticed. Nothing is kept: any copy of the service
 * takes it. It is no secret and no signature: who forges one only sends S3 a token that S3 checks.
 */
#ifndef FILESERVICE_S3_LIST_H
#define FILESERVICE_S3_LIST_H

#include "fileservice/base/texts.h"
#include "fileservice/s3/client.h"

#define S3_LIST_LIMIT_MAX 1000       /* S3 API reference, ListObjectsV2, max-keys */
#define S3_LIST_TOKEN_MAX_BYTES 4096 /* S3's has about 100; some servers put an encoded key there */
#define S3_LIST_CURSOR_MAX_BYTES 5488 /* a token and 17 bytes, as base64 */
/* 1,000 keys of 1,024 bytes, each as %XX, and 500 bytes about each; a server that does not encode
 * them writes up to six bytes for one (&quot;). */
#define S3_LIST_RESPONSE_MAX_BYTES 8388608

/* What is listed. Borrowed for a call. */
struct s3_list_query {
    struct span bucket;
    struct span prefix;    /* empty: all keys */
    struct span delimiter; /* empty: no grouping */
    struct span token;     /* of the page before; empty: the first page */
    unsigned limit;        /* objects and prefixes together; 1 to S3_LIST_LIMIT_MAX */
};

struct s3_list_object {
    struct span key; /* any bytes */
    uint64_t size;
    struct span etag;          /* verbatim, with its quotes; empty when S3 did not say */
    struct span last_modified; /* RFC 3339; empty when S3 did not say */
};

/* One page. */
struct s3_list_page {
    struct texts keys;
    struct texts facts;    /* size, ETag and time of each key */
    struct texts prefixes; /* groups of keys, each ends with the delimiter */
    struct buf token;      /* for the next page; empty when this is the last */
    char request_id[ERROR_REQUEST_ID_MAX_BYTES];
};

void s3_list_page_init(struct s3_list_page *page);
void s3_list_page_done(struct s3_list_page *page);

/* Object `i` of page->keys.count. Borrowed from the page. */
struct s3_list_object s3_list_object(const struct s3_list_page *page, size_t i);

/* Reads a ListBucketResult into an empty page. ERR_UPSTREAM when it is no whole one, has a DTD, more
 * rows or longer texts than S3 gives, or says that there is more but not where. Afterwards the page
 * holds anything. */
enum err s3_list_read(struct span document, struct s3_list_page *page)
    __attribute__((warn_unused_result));

/* Appends the cursor for `token`, as the answer to a query. Its own token and limit do not matter. */
enum err s3_list_seal(const struct s3_list_query *query, struct span token, struct buf *cursor)
    __attribute__((warn_unused_result));

/* Appends the token of a cursor. ERR_BAD_INPUT when it was not made by s3_list_seal() for the same
 * bucket, prefix and delimiter. */
enum err s3_list_open(const struct s3_list_query *query, struct span cursor, struct buf *token)
    __attribute__((warn_unused_result));

/* Called once; never after cancel, never from inside start. `page` is there on ERR_OK, and borrowed. */
typedef void s3_list_done(void *context, enum err err, const struct s3_list_page *page,
                          const struct error *error);

struct s3_list_call;

/* `trace` says for whom; NULL: for nobody. */
enum err s3_list_start(struct s3_client *s3, const struct s3_list_query *query,
                       const struct trace *trace, s3_list_done *done, void *context,
                       struct s3_list_call **ret) __attribute__((warn_unused_result));
void s3_list_cancel(struct s3_list_call *call); /* NULL is fine */

#endif

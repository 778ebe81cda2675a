/* A push parser for multipart/form-data (RFC 7578, RFC 2046 §5.1).
 *
 * Bytes go in in any pieces; events come out: a part begins, some of its bytes, a part ends. The
 * events are the same for every way to cut the input, except that data may come in more or fewer
 * pieces. The parser keeps no body bytes beyond a possible piece of a delimiter. The receiver of data
 * may take fewer bytes than offered: then the parser stops and is fed the rest later (back-pressure).
 */
#ifndef FILESERVICE_HTTP_MULTIPART_H
#define FILESERVICE_HTTP_MULTIPART_H

#include "fileservice/base/buf.h"

#define MULTIPART_BOUNDARY_MAX_BYTES 70     /* RFC 2046 §5.1.1 */
#define MULTIPART_PART_HEAD_MAX_BYTES 16384 /* all header lines of one part; ours */
#define MULTIPART_PARTS_MAX 64              /* parts of one form; ours */

struct multipart;

/* What a part says of itself; borrowed for the call. Names are decoded (RFC 7578: quoted-string with
 * \" and \\, %22 as browsers write it; filename* of RFC 8187 wins over filename). */
struct multipart_part {
    struct span name;
    bool has_file_name;
    struct span file_name;
    struct span content_type; /* empty when not given */
};

struct multipart_events {
    /* A part begins. Anything but ERR_OK stops the parser with that error. */
    enum err (*on_part)(void *context, const struct multipart_part *part, struct error *error);
    /* Some bytes of the current part. Sets *taken (≤ data.n); fewer means: no more for now. */
    enum err (*on_data)(void *context, struct span data, size_t *taken, struct error *error);
    enum err (*on_part_end)(void *context, struct error *error);
    void *context;
};

/* Takes the boundary out of a Content-Type value. ERR_BAD_INPUT when it is multipart/form-data with
 * no or a bad boundary; ERR_NOT_FOUND when it is another type. `boundary` borrows from the value, or
 * from `scratch` (MULTIPART_BOUNDARY_MAX_BYTES) when it was quoted with escapes. */
enum err multipart_boundary(struct span content_type, char scratch[MULTIPART_BOUNDARY_MAX_BYTES],
                            struct span *boundary) __attribute__((warn_unused_result));

/* NULL when there is no memory. `boundary` (1 to 70 bytes) is copied. */
struct multipart *multipart_new(struct span boundary, const struct multipart_events *events);
void multipart_free(struct multipart *m);

/* Feeds bytes. Sets *taken; it is less than data.n only when on_data took fewer (feed the rest
 * again later) or on an error. ERR_BAD_INPUT with a sentence when the body is broken; what a callback
 * returned otherwise. After an error only multipart_free() is allowed. Bytes after the last delimiter
 * are thrown away. */
enum err multipart_feed(struct multipart *m, struct span data, size_t *taken, struct error *error)
    __attribute__((warn_unused_result));

/* Says that the body has ended: ERR_OK only when the last delimiter was seen. */
enum err multipart_finish(struct multipart *m, struct error *error)
    __attribute__((warn_unused_result));

#endif

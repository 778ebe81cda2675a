/* The bytes of a streamed answer between whoever gives them and MHD, who takes them: a ring of fixed
 * size, made with the stream. Private to the room. owner: the exchange */
#ifndef FILESERVICE_SRC_HTTP_STREAM_H
#define FILESERVICE_SRC_HTTP_STREAM_H

#include "fileservice/base/err.h"
#include "fileservice/base/span.h"

/* Two reads of the HTTP client: one is taken by the client while the other comes. */
#define STREAM_RING_BYTES 131072

struct stream {
    char *ring; /* NULL: there is no stream */
    size_t at;  /* of the first byte that waits */
    size_t n;   /* bytes that wait */
    uint64_t length;
    uint64_t taken; /* by MHD */
    bool wants_room;
};

enum err stream_begin(struct stream *s, uint64_t length) __attribute__((warn_unused_result));
void stream_done(struct stream *s); /* a zeroed one is fine */

/* Takes all, or none: then `wants_room` is set until half of the ring is free. */
bool stream_put(struct stream *s, struct span data);
/* Copies out at most `max` bytes; 0 when none wait. */
size_t stream_take(struct stream *s, char *out, size_t max);
/* True once after bytes were refused, when there is room for more. */
bool stream_has_room(struct stream *s);

#endif

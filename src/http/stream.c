#include "stream.h"

#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

enum err stream_begin(struct stream *s, uint64_t length) {
    s->ring = malloc(STREAM_RING_BYTES);
    s->length = length;
    return s->ring == NULL ? ERR_NO_MEMORY : ERR_OK;
}

void stream_done(struct stream *s) {
    free(s->ring);
    s->ring = NULL;
}

bool stream_put(struct stream *s, struct span data) {
    if (data.n > STREAM_RING_BYTES - s->n) {
        s->wants_room = true;
        return false;
    }
    size_t end = (s->at + s->n) % STREAM_RING_BYTES;
    size_t first = STREAM_RING_BYTES - end < data.n ? STREAM_RING_BYTES - end : data.n;
    memcpy(s->ring + end, data.p, first);
    memcpy(s->ring, data.p + first, data.n - first);
    s->n += data.n;
    return true;
}

size_t stream_take(struct stream *s, char *out, size_t max) {
    size_t n = s->n < max ? s->n : max;
    size_t first = STREAM_RING_BYTES - s->at < n ? STREAM_RING_BYTES - s->at : n;
    memcpy(out, s->ring + s->at, first);
    memcpy(out + first, s->ring, n - first);
    s->n -= n;
    s->at = s->n == 0 ? 0 : (s->at + n) % STREAM_RING_BYTES;
    s->taken += n;
    return n;
}

bool stream_has_room(struct stream *s) {
    if (!s->wants_room || s->n > STREAM_RING_BYTES / 2)
        return false;
    s->wants_room = false;
    return true;
}

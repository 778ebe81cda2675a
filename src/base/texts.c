#include "fileservice/base/texts.h"

#include <assert.h>
#include <stdlib.h>

#include "fileservice/base/banned.h"

#define TEXTS_FIRST 16

void texts_init(struct texts *t, size_t count_max, size_t bytes_max) {
    *t = (struct texts){.count_max = count_max};
    buf_init(&t->bytes, bytes_max);
}

void texts_done(struct texts *t) {
    buf_done(&t->bytes);
    free(t->ends);
    texts_init(t, t->count_max, t->bytes.max);
}

void texts_clear(struct texts *t) {
    buf_clear(&t->bytes);
    t->count = 0;
    t->error = ERR_OK;
}

static enum err grow(struct texts *t) {
    if (t->count == t->count_max)
        return ERR_LIMIT;
    if (t->count < t->capacity)
        return ERR_OK;
    size_t capacity = t->capacity == 0 ? TEXTS_FIRST : t->capacity * 2;
    size_t *ends = reallocarray(t->ends, capacity, sizeof *ends);
    if (ends == NULL)
        return ERR_NO_MEMORY;
    t->ends = ends;
    t->capacity = capacity;
    return ERR_OK;
}

void texts_append(struct texts *t, struct span text) {
    if (t->error == ERR_OK)
        t->error = grow(t);
    if (t->error != ERR_OK)
        return;
    buf_append(&t->bytes, text);
    t->error = buf_error(&t->bytes);
    if (t->error == ERR_OK)
        t->ends[t->count++] = t->bytes.n;
}

enum err texts_error(const struct texts *t) { return t->error; }

struct span texts_at(const struct texts *t, size_t i) {
    assert(i < t->count);
    size_t begin = i == 0 ? 0 : t->ends[i - 1];
    return (struct span){buf_text(&t->bytes) + begin, t->ends[i] - begin};
}

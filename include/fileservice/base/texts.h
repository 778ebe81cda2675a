/* Many texts, one behind the other in one buffer: the keys of a list, without an allocation each.
 *
 * Failure is sticky, as in base/buf.h: after the first text that does not fit nothing is taken any
 * more, and texts_error() says why. One thread at a time.
 */
#ifndef FILESERVICE_BASE_TEXTS_H
#define FILESERVICE_BASE_TEXTS_H

#include "fileservice/base/buf.h"

struct texts {
    struct buf bytes;
    size_t *ends; /* of each text, in bytes */
    size_t count;
    size_t capacity;
    size_t count_max;
    enum err error;
};

/* Ceilings of how many there are and of their bytes together; allocates nothing. */
void texts_init(struct texts *t, size_t count_max, size_t bytes_max);
void texts_done(struct texts *t);  /* t may be zeroed or done already */
void texts_clear(struct texts *t); /* none and no error; keeps the memory */

void texts_append(struct texts *t, struct span text);

/* ERR_OK, ERR_LIMIT or ERR_NO_MEMORY: whether everything that was appended is there. */
enum err texts_error(const struct texts *t) __attribute__((warn_unused_result));

struct span texts_at(const struct texts *t, size_t i); /* valid until the next append */

#endif

/* Owned bytes that grow up to a ceiling.
 *
 * Failure is sticky: after the first append that does not fit (or finds no memory) the buffer keeps
 * what it had, every later append does nothing, and buf_error() says why. So a text is built without
 * a test on every line and checked once at its end. One thread at a time.
 */
#ifndef FILESERVICE_BASE_BUF_H
#define FILESERVICE_BASE_BUF_H

#include "fileservice/base/err.h"
#include "fileservice/base/span.h"

struct buf {
    char *p; /* always NUL-terminated once anything was appended */
    size_t n;
    size_t capacity;
    size_t max; /* ceiling of n */
    enum err error;
};

void buf_init(struct buf *b, size_t max); /* allocates nothing */
void buf_done(struct buf *b);             /* frees; b may be zeroed or done already */
void buf_done_secret(struct buf *b);      /* wipes, then frees */
void buf_clear(struct buf *b);            /* n = 0 and no error; keeps the memory */

/* Makes room for n more bytes, so that appending them moves nothing; false after setting the error. */
bool buf_reserve(struct buf *b, size_t n);

void buf_append(struct buf *b, struct span s);
void buf_append_byte(struct buf *b, char c);
void buf_append_text(struct buf *b, const char *text);
void buf_append_u64(struct buf *b, uint64_t n);
void buf_append_format(struct buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ERR_OK, ERR_LIMIT or ERR_NO_MEMORY: whether everything that was appended is there. */
enum err buf_error(const struct buf *b) __attribute__((warn_unused_result));

struct span buf_span(const struct buf *b); /* valid until the next append */
const char *buf_text(const struct buf *b); /* "" when empty; never NULL */

/* Hands the memory over to the caller, who frees it; the buffer is empty afterwards. NULL when the
 * buffer failed or is empty. */
char *buf_steal(struct buf *b);

#endif

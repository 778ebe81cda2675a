#include "fileservice/base/buf.h"

#include "fileservice/base/secret.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

#define BUF_FIRST_BYTES 512 /* most texts never grow beyond it */

void buf_init(struct buf *b, size_t max) { *b = (struct buf){.max = max}; }

void buf_done(struct buf *b) {
    if (b == NULL)
        return;
    free(b->p);
    buf_init(b, b->max);
}

void buf_done_secret(struct buf *b) {
    if (b == NULL)
        return;
    secret_wipe(b->p, b->capacity);
    buf_done(b);
}

void buf_clear(struct buf *b) {
    b->n = 0;
    b->error = ERR_OK;
    if (b->p != NULL)
        b->p[0] = '\0';
}

/* And room for the NUL. */
bool buf_reserve(struct buf *b, size_t n) {
    if (b->error != ERR_OK)
        return false;
    if (n > b->max - b->n) {
        b->error = ERR_LIMIT;
        return false;
    }
    size_t need = b->n + n + 1;
    if (need <= b->capacity)
        return true;
    size_t capacity = b->capacity < BUF_FIRST_BYTES ? BUF_FIRST_BYTES : b->capacity;
    while (capacity < need)
        capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
    /* Not realloc: the old bytes may be a secret that buf_done_secret must be able to wipe. */
    char *p = malloc(capacity);
    if (p == NULL) {
        b->error = ERR_NO_MEMORY;
        return false;
    }
    if (b->n > 0)
        memcpy(p, b->p, b->n);
    secret_wipe(b->p, b->n);
    free(b->p);
    b->p = p;
    b->capacity = capacity;
    return true;
}

void buf_append(struct buf *b, struct span s) {
    if (!buf_reserve(b, s.n))
        return;
    if (s.n > 0)
        memcpy(b->p + b->n, s.p, s.n);
    b->n += s.n;
    b->p[b->n] = '\0';
}

void buf_append_byte(struct buf *b, char c) { buf_append(b, (struct span){&c, 1}); }

void buf_append_text(struct buf *b, const char *text) { buf_append(b, span_of(text)); }

void buf_append_u64(struct buf *b, uint64_t n) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    buf_append(b, (struct span){digits + at, sizeof digits - at});
}

void buf_append_format(struct buf *b, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    int n = vsnprintf(NULL, 0, format, arguments);
    if (n >= 0 && buf_reserve(b, (size_t)n)) {
        (void)vsnprintf(b->p + b->n, (size_t)n + 1, format, again);
        b->n += (size_t)n;
    }
    va_end(again);
    va_end(arguments);
}

enum err buf_error(const struct buf *b) { return b->error; }

struct span buf_span(const struct buf *b) {
    return (struct span){b->p, b->n};
}

const char *buf_text(const struct buf *b) { return b->p == NULL ? "" : b->p; }

char *buf_steal(struct buf *b) {
    if (b->error != ERR_OK) {
        buf_done(b);
        return NULL;
    }
    char *p = b->p;
    buf_init(b, b->max);
    return p;
}

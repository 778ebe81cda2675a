/* Borrowed bytes.
 *
 * A span points at bytes that someone else owns. It is valid until the call that received it
 * returns, unless a header says longer. NUL bytes are data. All functions are pure.
 */
#ifndef FILESERVICE_BASE_SPAN_H
#define FILESERVICE_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct span {
    const char *p;
    size_t n;
};

/* A span over a string literal, without its NUL. */
#define SPAN(literal) ((struct span){"" literal, sizeof(literal) - 1})

struct span span_of(const char *text); /* NULL gives an empty span */
bool span_eq(struct span a, struct span b);
bool span_eq_nocase(struct span a, struct span b); /* ASCII letters only */
bool span_starts(struct span s, struct span prefix);
bool span_ends(struct span s, struct span suffix);
int span_cmp(struct span a, struct span b);      /* byte order, shorter first */
struct span span_trim(struct span s);            /* blanks, tabs, CR and LF at both ends */
struct span span_from(struct span s, size_t at); /* the rest from `at`; empty past the end */

/* Offset of the first `c`, or s.n when there is none. */
size_t span_find(struct span s, char c);

/* Takes the piece before the next `separator` off `*rest`. False once nothing is left; an empty
 * piece between two separators is a piece. */
bool span_cut(struct span *rest, char separator, struct span *piece);

/* Decimal digits only, no sign, no blanks, no overflow: true and `*ret`, or false. */
bool span_to_u64(struct span s, uint64_t *ret);

/* True when `s` is well-formed UTF-8 (no surrogates, no overlong forms; RFC 3629). */
bool span_is_utf8(struct span s);

#endif

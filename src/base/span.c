#include "fileservice/base/span.h"

#include <string.h>

#include "fileservice/base/banned.h"

struct span span_of(const char *text) {
    return (struct span){text, text == NULL ? 0 : strlen(text)};
}

bool span_eq(struct span a, struct span b) {
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

bool span_eq_nocase(struct span a, struct span b) {
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

bool span_starts(struct span s, struct span prefix) {
    return s.n >= prefix.n && span_eq((struct span){s.p, prefix.n}, prefix);
}

bool span_ends(struct span s, struct span suffix) {
    return s.n >= suffix.n && span_eq(span_from(s, s.n - suffix.n), suffix);
}

int span_cmp(struct span a, struct span b) {
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n == 0 ? 0 : memcmp(a.p, b.p, n);
    if (order != 0)
        return order;
    return a.n < b.n ? -1 : a.n > b.n;
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

struct span span_trim(struct span s) {
    while (s.n > 0 && is_blank(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

struct span span_from(struct span s, size_t at) {
    if (at >= s.n)
        return (struct span){s.p == NULL ? NULL : s.p + s.n, 0};
    return (struct span){s.p + at, s.n - at};
}

size_t span_find(struct span s, char c) {
    const char *hit = s.n == 0 ? NULL : memchr(s.p, c, s.n);
    return hit == NULL ? s.n : (size_t)(hit - s.p);
}

bool span_cut(struct span *rest, char separator, struct span *piece) {
    if (rest->p == NULL)
        return false;
    size_t at = span_find(*rest, separator);
    *piece = (struct span){rest->p, at};
    /* A NULL pointer marks the end, so that an empty last piece is still handed out. */
    *rest = at == rest->n ? (struct span){NULL, 0} : span_from(*rest, at + 1);
    return true;
}

bool span_to_u64(struct span s, uint64_t *ret) {
    uint64_t n = 0;
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(s.p[i] - '0');
        if (n > (UINT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *ret = n;
    return true;
}

/* Length of the well-formed sequence at s, 0 when there is none (RFC 3629 §4). */
static size_t utf8_sequence(const unsigned char *s, size_t n) {
    unsigned char low = 0x80;
    unsigned char high = 0xBF;
    size_t length = 0;
    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xC2 && s[0] <= 0xDF) {
        length = 2;
    } else if (s[0] >= 0xE0 && s[0] <= 0xEF) {
        length = 3;
        low = s[0] == 0xE0 ? 0xA0 : low;
        high = s[0] == 0xED ? 0x9F : high;
    } else if (s[0] >= 0xF0 && s[0] <= 0xF4) {
        length = 4;
        low = s[0] == 0xF0 ? 0x90 : low;
        high = s[0] == 0xF4 ? 0x8F : high;
    }
    if (length == 0 || length > n || s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    return length;
}

bool span_is_utf8(struct span s) {
    for (size_t i = 0; i < s.n;) {
        size_t length = utf8_sequence((const unsigned char *)s.p + i, s.n - i);
        if (length == 0)
            return false;
        i += length;
    }
    return true;
}

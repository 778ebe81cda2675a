#include "fileservice/base/json.h"

#include "fileservice/base/banned.h"

/* How many bytes more than itself a byte takes in a string (RFC 8259 §7): one for \" \\ \n \r \t, five
 * for \u00XX. Bytes from 0x80 on are UTF-8, which is checked apart. */
// clang-format off
static const unsigned char escape_bytes[256] = {
    5, 5, 5, 5, 5, 5, 5, 5, 5, 1 /* \t */, 1 /* \n */, 5, 5, 1 /* \r */, 5, 5,
    5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5,
    ['"'] = 1, ['\\'] = 1, [0x7F] = 5,
};
// clang-format on

/* Writes one byte that needs an escape; gives the end. */
static char *write_escape(char *out, unsigned char c) {
    static const char digits[] = "0123456789abcdef";
    *out++ = '\\';
    switch (c) {
    case '\n':
        *out++ = 'n';
        break;
    case '\r':
        *out++ = 'r';
        break;
    case '\t':
        *out++ = 't';
        break;
    case '"':
    case '\\':
        *out++ = (char)c;
        break;
    default:
        *out++ = 'u';
        *out++ = '0';
        *out++ = '0';
        *out++ = digits[c >> 4];
        *out++ = digits[c & 15];
    }
    return out;
}

/* Log lines, and batches of them, are mostly this: once over the bytes to know the size, once more to
 * write them. */
static void append_utf8(struct buf *b, struct span s, size_t escapes) {
    if (!buf_reserve(b, s.n + escapes + 2))
        return;
    char *out = b->p + b->n;
    *out++ = '"';
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (escape_bytes[c] == 0)
            *out++ = (char)c;
        else
            out = write_escape(out, c);
    }
    *out++ = '"';
    *out = '\0';
    b->n = (size_t)(out - b->p);
}

/* Bytes of the UTF-8 sequence at the front, 0 when it is broken. */
static size_t sequence(struct span s) {
    for (size_t n = 2; n <= 4 && n <= s.n; n++)
        if (span_is_utf8((struct span){s.p, n}))
            return n;
    return 0;
}

/* Some byte of it is no UTF-8: U+FFFD stands for each of those. */
static void append_repaired(struct buf *b, struct span s) {
    buf_append_byte(b, '"');
    while (s.n > 0) {
        unsigned char c = (unsigned char)s.p[0];
        char escape[6];
        size_t n = c < 0x80 ? 1 : sequence(s);
        if (n == 0) {
            buf_append(b, SPAN("\xEF\xBF\xBD"));
            n = 1;
        } else if (escape_bytes[c] != 0) {
            buf_append(b, (struct span){escape, (size_t)(write_escape(escape, c) - escape)});
        } else {
            buf_append(b, (struct span){s.p, n});
        }
        s = span_from(s, n);
    }
    buf_append_byte(b, '"');
}

void json_append_string(struct buf *b, struct span s) {
    size_t escapes = 0;
    unsigned char all = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        escapes += escape_bytes[c];
        all |= c;
    }
    if (all < 0x80 || span_is_utf8(s))
        append_utf8(b, s, escapes);
    else
        append_repaired(b, s);
}

void json_append_name(struct buf *b, const char *name) {
    if (!span_ends(buf_span(b), SPAN("{")))
        buf_append_byte(b, ',');
    json_append_string(b, span_of(name));
    buf_append_byte(b, ':');
}

void json_append_member(struct buf *b, const char *name, struct span value) {
    json_append_name(b, name);
    json_append_string(b, value);
}

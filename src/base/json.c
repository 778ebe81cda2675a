#include "fileservice/base/json.h"

#include "fileservice/base/banned.h"

static void append_escaped(struct buf *b, unsigned char c) {
    switch (c) {
    case '"':
        buf_append(b, SPAN("\\\""));
        break;
    case '\\':
        buf_append(b, SPAN("\\\\"));
        break;
    case '\n':
        buf_append(b, SPAN("\\n"));
        break;
    case '\r':
        buf_append(b, SPAN("\\r"));
        break;
    case '\t':
        buf_append(b, SPAN("\\t"));
        break;
    default:
        buf_append_format(b, "\\u%04x", c);
    }
}

/* The longest run at the front that goes out as it is. */
static size_t plain_run(struct span s) {
    size_t n = 0;
    while (n < s.n && (unsigned char)s.p[n] >= 0x20 && (unsigned char)s.p[n] < 0x7F &&
           s.p[n] != '"' && s.p[n] != '\\')
        n++;
    return n;
}

/* Bytes of the UTF-8 sequence at the front, 0 when it is broken. */
static size_t sequence(struct span s) {
    for (size_t n = 2; n <= 4 && n <= s.n; n++)
        if (span_is_utf8((struct span){s.p, n}))
            return n;
    return 0;
}

void json_append_string(struct buf *b, struct span s) {
    buf_append_byte(b, '"');
    while (s.n > 0) {
        size_t n = plain_run(s);
        if (n == 0 && (unsigned char)s.p[0] >= 0x80) {
            n = sequence(s);
            if (n == 0) {
                buf_append(b, SPAN("\xEF\xBF\xBD"));
                s = span_from(s, 1);
            }
        } else if (n == 0) {
            append_escaped(b, (unsigned char)s.p[0]);
            s = span_from(s, 1);
        }
        buf_append(b, (struct span){s.p, n});
        s = span_from(s, n);
    }
    buf_append_byte(b, '"');
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

#include "fileservice/base/url.h"

#include <string.h>

#include "fileservice/base/banned.h"

static bool is_unreserved(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void url_encode(struct buf *b, struct span s, bool keep_slash) {
    static const char digits[] = "0123456789ABCDEF";
    size_t plain = 0; /* start of the run that needs no encoding: appended in one piece */
    for (size_t i = 0; i < s.n; i++) {
        if (is_unreserved(s.p[i]) || (keep_slash && s.p[i] == '/'))
            continue;
        unsigned char byte = (unsigned char)s.p[i];
        char code[3] = {'%', digits[byte >> 4], digits[byte & 15]};
        buf_append(b, (struct span){s.p + plain, i - plain});
        buf_append(b, (struct span){code, sizeof code});
        plain = i + 1;
    }
    buf_append(b, span_from(s, plain));
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

enum err url_decode(struct buf *b, struct span s) {
    while (s.n > 0) {
        size_t at = span_find(s, '%');
        buf_append(b, (struct span){s.p, at});
        s = span_from(s, at);
        if (s.n == 0)
            break;
        int high = s.n < 3 ? -1 : hex_value(s.p[1]);
        int low = s.n < 3 ? -1 : hex_value(s.p[2]);
        if (high < 0 || low < 0)
            return ERR_BAD_INPUT;
        buf_append_byte(b, (char)(high * 16 + low));
        s = span_from(s, 3);
    }
    return buf_error(b);
}

enum err url_decode_form(struct buf *b, struct span s) {
    struct span piece;
    bool first = true;
    while (span_cut(&s, '+', &piece)) {
        if (!first)
            buf_append_byte(b, ' ');
        first = false;
        if (url_decode(b, piece) == ERR_BAD_INPUT)
            return ERR_BAD_INPUT;
    }
    return buf_error(b);
}

static bool is_host_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

/* Bytes of the host at the front of s: a name, or an IPv6 address in brackets. 0 when it is neither. */
static size_t host_length(struct span s) {
    size_t n = 0;
    if (s.n > 0 && s.p[0] == '[') {
        size_t end = span_find(s, ']');
        for (n = 1; n < end && n < s.n; n++)
            if (hex_value(s.p[n]) < 0 && s.p[n] != ':' && s.p[n] != '.')
                return 0;
        return end == s.n || end < 3 ? 0 : end + 1;
    }
    while (n < s.n && is_host_byte((char)(s.p[n] | (s.p[n] >= 'A' && s.p[n] <= 'Z' ? 0x20 : 0))))
        n++;
    return n;
}

enum err url_parse_endpoint(struct span text, struct url_endpoint *ret) {
    struct url_endpoint e;
    memset(&e, 0, sizeof e);
    e.tls = span_starts(text, SPAN("https://"));
    if (!e.tls && !span_starts(text, SPAN("http://")))
        return ERR_BAD_INPUT;
    e.port = e.tls ? 443 : 80;
    text = span_from(text, e.tls ? 8 : 7);

    size_t n = host_length(text);
    if (n == 0 || n >= sizeof e.host)
        return ERR_BAD_INPUT;
    for (size_t i = 0; i < n; i++)
        e.host[i] = text.p[i] >= 'A' && text.p[i] <= 'Z' ? (char)(text.p[i] | 0x20) : text.p[i];
    text = span_from(text, n);

    if (span_ends(text, SPAN("/")))
        text.n--;
    if (text.n > 0) {
        uint64_t port = 0;
        if (text.p[0] != ':' || text.n > 6 || !span_to_u64(span_from(text, 1), &port) ||
            port == 0 || port > UINT16_MAX)
            return ERR_BAD_INPUT;
        e.port = (uint16_t)port;
    }
    *ret = e;
    return ERR_OK;
}

void url_append_host(struct buf *b, const struct url_endpoint *e) {
    buf_append_text(b, e->host);
    if (e->port != (e->tls ? 443 : 80)) {
        buf_append_byte(b, ':');
        buf_append_u64(b, e->port);
    }
}

void url_append_origin(struct buf *b, const struct url_endpoint *e) {
    buf_append_text(b, e->tls ? "https://" : "http://");
    url_append_host(b, e);
}

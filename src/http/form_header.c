#include "form_header.h"

#include "fileservice/base/url.h"

#include "fileservice/base/banned.h"

struct span form_header_type(struct span *value) {
    size_t at = span_find(*value, ';');
    struct span type = span_trim((struct span){value->p, at});
    *value = span_from(*value, at);
    return type;
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static void skip_blanks(struct span *s) {
    while (s->n > 0 && is_blank(s->p[0]))
        *s = span_from(*s, 1);
}

/* After the opening quote. A backslash escapes only '"' and itself: old browsers send whole paths of
 * Windows without escapes. */
static bool take_quoted(struct span *rest, struct buf *value) {
    while (rest->n > 0 && rest->p[0] != '"') {
        bool escape =
            rest->p[0] == '\\' && rest->n > 1 && (rest->p[1] == '"' || rest->p[1] == '\\');
        buf_append_byte(value, rest->p[escape ? 1 : 0]);
        *rest = span_from(*rest, escape ? 2 : 1);
    }
    if (rest->n == 0)
        return false;
    *rest = span_from(*rest, 1);
    return true;
}

static bool take_token(struct span *rest, struct buf *value) {
    size_t n = 0;
    while (n < rest->n && rest->p[n] != ';' && !is_blank(rest->p[n]))
        n++;
    buf_append(value, (struct span){rest->p, n});
    *rest = span_from(*rest, n);
    return n > 0;
}

bool form_header_parameter(struct span *rest, struct span *name, struct buf *value, enum err *err) {
    *err = ERR_OK;
    skip_blanks(rest);
    if (rest->n == 0)
        return false;
    *err = ERR_BAD_INPUT;
    if (rest->p[0] != ';')
        return false;
    *rest = span_from(*rest, 1);
    skip_blanks(rest);
    if (rest->n == 0) { /* a last ';' with nothing behind it */
        *err = ERR_OK;
        return false;
    }
    size_t equals = span_find(*rest, '=');
    if (equals == rest->n || equals == 0)
        return false;
    *name = span_trim((struct span){rest->p, equals});
    *rest = span_from(*rest, equals + 1);
    skip_blanks(rest);
    bool quoted = rest->n > 0 && rest->p[0] == '"';
    if (quoted)
        *rest = span_from(*rest, 1);
    if (!(quoted ? take_quoted(rest, value) : take_token(rest, value)))
        return false;
    *err = buf_error(value);
    return *err == ERR_OK;
}

enum err form_header_extended(struct span value, struct buf *out) {
    struct span charset;
    struct span language;
    if (!span_cut(&value, '\'', &charset) || !span_cut(&value, '\'', &language) ||
        !span_eq_nocase(charset, SPAN("UTF-8")) || value.p == NULL)
        return ERR_BAD_INPUT;
    return url_decode(out, value);
}

void form_header_browser_text(struct span value, struct buf *out) {
    static const struct {
        struct span code;
        char byte;
    } codes[] = {{{"%22", 3}, '"'}, {{"%0D", 3}, '\r'}, {{"%0A", 3}, '\n'}};
    while (value.n > 0) {
        size_t used = 0;
        for (size_t i = 0; i < sizeof codes / sizeof *codes && used == 0; i++)
            if (span_starts(value, codes[i].code)) {
                buf_append_byte(out, codes[i].byte);
                used = 3;
            }
        if (used == 0) {
            buf_append_byte(out, value.p[0]);
            used = 1;
        }
        value = span_from(value, used);
    }
}

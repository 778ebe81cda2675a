#include "fileservice/http/multipart.h"

#include "form_header.h"

#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

#define PREAMBLE_MAX_BYTES 65536    /* text before the first delimiter; ours */
#define DELIMITER_TAIL_MAX_BYTES 64 /* blanks between a boundary and its line end; ours */
#define DELIMITER_FRONT "\r\n--"
#define DELIMITER_MAX_BYTES (sizeof DELIMITER_FRONT - 1 + MULTIPART_BOUNDARY_MAX_BYTES)

enum multipart_state {
    STATE_PREAMBLE,  /* before the first delimiter: thrown away */
    STATE_DELIMITED, /* after a boundary: its line end, or "--" */
    STATE_HEAD,      /* header lines of a part */
    STATE_DATA,      /* bytes of a part */
    STATE_EPILOGUE,  /* after the last delimiter: thrown away */
};

struct multipart {
    struct multipart_events events;
    enum multipart_state state;
    char delimiter[DELIMITER_MAX_BYTES];
    size_t delimiter_n;
    /* How much of a delimiter the end of the input so far is. A delimiter has its only CR in front,
     * so what turns out to be none is data as a whole, and is found here: nothing else is kept. */
    size_t matched;
    size_t borrowed; /* of these, how many belong to the head of the part and are never data */
    size_t owed_at; /* delimiter[owed_at, owed_end) was data after all, and is not handed out yet */
    size_t owed_end;
    size_t preamble_bytes;
    unsigned parts;
    struct buf line; /* the rest of a delimiter's line, or a part's head */
};

/* Boundaries */

static bool is_boundary(struct span s) {
    if (s.n == 0 || s.n > MULTIPART_BOUNDARY_MAX_BYTES || s.p[s.n - 1] == ' ')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || (unsigned char)s.p[i] >= 0x7F)
            return false;
    return true;
}

enum err multipart_boundary(struct span content_type, char scratch[MULTIPART_BOUNDARY_MAX_BYTES],
                            struct span *boundary) {
    struct span name;
    struct buf value;
    enum err e;
    bool found = false;
    if (!span_eq_nocase(form_header_type(&content_type), SPAN("multipart/form-data")))
        return ERR_NOT_FOUND;
    buf_init(&value, content_type.n);
    while (form_header_parameter(&content_type, &name, &value, &e)) {
        if (span_eq_nocase(name, SPAN("boundary"))) {
            if (found || !is_boundary(buf_span(&value)))
                e = ERR_BAD_INPUT;
            else
                memcpy(scratch, value.p, value.n);
            if (e != ERR_OK)
                break;
            *boundary = (struct span){scratch, value.n};
            found = true;
        }
        buf_clear(&value);
    }
    buf_done(&value);
    return e == ERR_OK && !found ? ERR_BAD_INPUT : e;
}

/* Life */

struct multipart *multipart_new(struct span boundary, const struct multipart_events *events) {
    struct multipart *m = calloc(1, sizeof *m);
    const size_t front = sizeof DELIMITER_FRONT - 1;
    if (m == NULL)
        return NULL;
    m->events = *events;
    memcpy(m->delimiter, DELIMITER_FRONT, front);
    if (boundary.n > MULTIPART_BOUNDARY_MAX_BYTES)
        boundary.n = MULTIPART_BOUNDARY_MAX_BYTES;
    memcpy(m->delimiter + front, boundary.p, boundary.n);
    m->delimiter_n = front + boundary.n;
    m->matched = 2; /* the first delimiter needs no line end before it */
    buf_init(&m->line, MULTIPART_PART_HEAD_MAX_BYTES);
    return m;
}

void multipart_free(struct multipart *m) {
    if (m == NULL)
        return;
    buf_done(&m->line);
    free(m);
}

/* Heads of parts */

/* What the headers of a part say. */
struct head {
    struct buf name;
    struct buf file_name;
    bool has_name;
    bool has_file_name;
    bool has_extended;
    struct span content_type;
    bool has_disposition;
};

static enum err bad_head(struct error *error, const char *why) {
    return error_set(error, ERR_BAD_INPUT, "A part of the form has a broken head: %s.", why);
}

static enum err take_file_name(struct head *h, struct span value, bool extended,
                               struct error *error) {
    enum err e = ERR_OK;
    if (extended ? h->has_extended : (h->has_file_name && !h->has_extended))
        return bad_head(error, "two file names");
    if (!extended && h->has_extended)
        return ERR_OK; /* the extended one wins */
    buf_clear(&h->file_name);
    if (extended)
        e = form_header_extended(value, &h->file_name);
    else
        form_header_browser_text(value, &h->file_name);
    h->has_file_name = true;
    h->has_extended = h->has_extended || extended;
    return e == ERR_BAD_INPUT ? bad_head(error, "filename* is not UTF-8''…") : e;
}

static enum err take_parameter(struct head *h, struct span name, struct span value,
                               struct error *error) {
    if (span_eq_nocase(name, SPAN("filename")))
        return take_file_name(h, value, false, error);
    if (span_eq_nocase(name, SPAN("filename*")))
        return take_file_name(h, value, true, error);
    if (!span_eq_nocase(name, SPAN("name")))
        return ERR_OK;
    if (h->has_name)
        return bad_head(error, "two names");
    h->has_name = true;
    form_header_browser_text(value, &h->name);
    return ERR_OK;
}

static enum err read_disposition(struct head *h, struct span value, struct error *error) {
    struct span name;
    struct buf text;
    enum err e = ERR_OK;
    enum err taken = ERR_OK;
    if (h->has_disposition || !span_eq_nocase(form_header_type(&value), SPAN("form-data")))
        return bad_head(error, "Content-Disposition must be form-data, once");
    h->has_disposition = true;
    buf_init(&text, MULTIPART_PART_HEAD_MAX_BYTES);
    while (taken == ERR_OK && form_header_parameter(&value, &name, &text, &e)) {
        taken = take_parameter(h, name, buf_span(&text), error);
        buf_clear(&text);
    }
    buf_done(&text);
    if (taken != ERR_OK)
        return taken;
    return e == ERR_BAD_INPUT ? bad_head(error, "Content-Disposition cannot be read") : e;
}

static enum err read_header(struct head *h, struct span line, struct error *error) {
    size_t colon = span_find(line, ':');
    struct span name = {line.p, colon};
    struct span value = span_trim(span_from(line, colon + 1));
    if (colon == line.n || colon == 0 || line.p[0] == ' ' || line.p[0] == '\t' ||
        line.p[colon - 1] == ' ' || line.p[colon - 1] == '\t')
        return bad_head(error, "a line is not name: value");
    for (size_t i = 0; i < line.n; i++)
        if (line.p[i] == '\0' || line.p[i] == '\r' || line.p[i] == '\n')
            return bad_head(error, "a control character");
    if (span_eq_nocase(name, SPAN("Content-Disposition")))
        return read_disposition(h, value, error);
    if (span_eq_nocase(name, SPAN("Content-Type")))
        h->content_type = value;
    /* Other codings would be stored as they are, which is not what the sender means. */
    if (span_eq_nocase(name, SPAN("Content-Transfer-Encoding")) &&
        !span_eq_nocase(value, SPAN("binary")) && !span_eq_nocase(value, SPAN("8bit")) &&
        !span_eq_nocase(value, SPAN("7bit")))
        return bad_head(error, "its Content-Transfer-Encoding is not binary");
    return ERR_OK;
}

static enum err read_head(struct head *h, struct span text, struct error *error) {
    enum err e = ERR_OK;
    while (e == ERR_OK && !span_eq(text, SPAN("\r\n"))) {
        const char *end = memmem(text.p, text.n, "\r\n", 2);
        size_t n = end == NULL ? text.n : (size_t)(end - text.p);
        e = read_header(h, (struct span){text.p, n}, error);
        text = span_from(text, n + 2);
    }
    if (e == ERR_OK && !h->has_name)
        e = bad_head(error, "it has no name");
    if (e == ERR_OK && (buf_error(&h->name) != ERR_OK || buf_error(&h->file_name) != ERR_OK))
        e = error_set(error, ERR_NO_MEMORY, "There is no memory for the form.");
    return e;
}

static enum err begin_part(struct multipart *m, struct error *error) {
    struct head h = {.has_name = false};
    if (m->parts++ == MULTIPART_PARTS_MAX)
        return error_set(error, ERR_BAD_INPUT, "The form has more than %d parts.",
                         MULTIPART_PARTS_MAX);
    buf_init(&h.name, MULTIPART_PART_HEAD_MAX_BYTES);
    buf_init(&h.file_name, MULTIPART_PART_HEAD_MAX_BYTES);
    enum err e = read_head(&h, buf_span(&m->line), error);
    if (e == ERR_NO_MEMORY)
        error_set(error, e, "There is no memory for the form.");
    if (e == ERR_OK) {
        struct multipart_part part = {buf_span(&h.name), h.has_file_name, buf_span(&h.file_name),
                                      h.content_type};
        e = m->events.on_part(m->events.context, &part, error);
    }
    buf_done(&h.name);
    buf_done(&h.file_name);
    return e;
}

/* States: each takes bytes off the front of *rest */

/* Hands out data; false when the receiver took fewer, or on an error. */
static bool give(struct multipart *m, struct span *data, enum err *e, struct error *error) {
    size_t taken = 0;
    if (data->n == 0)
        return true;
    *e = m->events.on_data(m->events.context, *data, &taken, error);
    bool all = *e == ERR_OK && taken >= data->n;
    *data = span_from(*data, taken < data->n ? taken : data->n);
    return all;
}

static bool give_owed(struct multipart *m, enum err *e, struct error *error) {
    struct span owed = {m->delimiter + m->owed_at, m->owed_end - m->owed_at};
    bool all = give(m, &owed, e, error);
    m->owed_at = m->owed_end - owed.n;
    return all;
}

/* Where the first delimiter stands, or its beginning at the very end; s.n when there is none. */
static size_t find_delimiter(const struct multipart *m, struct span s) {
    const char *at = memmem(s.p, s.n, m->delimiter, m->delimiter_n);
    if (at != NULL)
        return (size_t)(at - s.p);
    size_t first = s.n < m->delimiter_n ? 0 : s.n - m->delimiter_n + 1;
    for (size_t i = first; i < s.n; i++)
        if (s.p[i] == m->delimiter[0] && memcmp(s.p + i, m->delimiter, s.n - i) == 0)
            return i;
    return s.n;
}

static void match(struct multipart *m, struct span *rest) {
    while (rest->n > 0 && m->matched < m->delimiter_n && rest->p[0] == m->delimiter[m->matched]) {
        m->matched++;
        *rest = span_from(*rest, 1);
    }
}

static enum err found_delimiter(struct multipart *m, struct error *error) {
    enum err e = ERR_OK;
    if (m->state == STATE_DATA)
        e = m->events.on_part_end(m->events.context, error);
    m->matched = 0;
    m->borrowed = 0;
    buf_clear(&m->line);
    m->state = STATE_DELIMITED;
    return e;
}

/* Data up to a delimiter. False: stop here, by back-pressure or by *e. */
static bool step_data(struct multipart *m, struct span *rest, enum err *e, struct error *error) {
    if (!give_owed(m, e, error))
        return false;
    match(m, rest);
    if (m->matched == m->delimiter_n) {
        *e = found_delimiter(m, error);
        return *e == ERR_OK;
    }
    if (rest->n == 0)
        return true;
    if (m->matched > 0) {
        m->owed_at = m->borrowed;
        m->owed_end = m->matched;
        m->matched = 0;
        m->borrowed = 0;
        return true;
    }
    struct span data = {rest->p, find_delimiter(m, *rest)};
    size_t offered = data.n;
    bool all = give(m, &data, e, error);
    *rest = span_from(*rest, offered - data.n);
    return all;
}

static bool step_preamble(struct multipart *m, struct span *rest, enum err *e,
                          struct error *error) {
    match(m, rest);
    if (m->matched == m->delimiter_n) {
        *e = found_delimiter(m, error);
        return *e == ERR_OK;
    }
    if (rest->n == 0)
        return true;
    size_t n = find_delimiter(m, *rest);
    m->preamble_bytes += m->matched + n; /* what is thrown away, however the input was cut */
    m->matched = 0;
    *rest = span_from(*rest, n);
    if (m->preamble_bytes > PREAMBLE_MAX_BYTES)
        *e = error_set(error, ERR_BAD_INPUT, "The form does not begin with its boundary.");
    return *e == ERR_OK;
}

/* Collects up to the next LF, with it; false while it has not come. */
static bool take_line(struct multipart *m, struct span *rest) {
    size_t n = span_find(*rest, '\n');
    bool whole = n < rest->n;
    n += whole ? 1 : 0;
    buf_append(&m->line, (struct span){rest->p, n});
    *rest = span_from(*rest, n);
    return whole;
}

/* Blanks and a line end. */
static bool is_blank_line(struct span line) {
    size_t n = 0;
    while (n < line.n && (line.p[n] == ' ' || line.p[n] == '\t'))
        n++;
    return span_eq(span_from(line, n), SPAN("\r\n"));
}

static bool step_delimited(struct multipart *m, struct span *rest, enum err *e,
                           struct error *error) {
    /* "--" ends the form at once, whatever comes behind it: two bytes, one at a time. */
    while (m->line.n < 2 && rest->n > 0 && !span_ends(buf_span(&m->line), SPAN("\n"))) {
        buf_append_byte(&m->line, rest->p[0]);
        *rest = span_from(*rest, 1);
        if (span_eq(buf_span(&m->line), SPAN("--")))
            m->state = STATE_EPILOGUE;
    }
    struct span line = buf_span(&m->line);
    bool whole = span_ends(line, SPAN("\n"));
    if (m->state == STATE_EPILOGUE || (line.n < 2 && !whole))
        return true;
    if (!whole)
        whole = take_line(m, rest);
    line = buf_span(&m->line);
    if (buf_error(&m->line) != ERR_OK || line.n > DELIMITER_TAIL_MAX_BYTES ||
        (whole && !is_blank_line(line))) {
        *e = error_set(error, ERR_BAD_INPUT, "A boundary of the form is followed by other text.");
        return false;
    }
    if (whole) {
        buf_clear(&m->line);
        m->state = STATE_HEAD;
    }
    return true;
}

static bool step_head(struct multipart *m, struct span *rest, enum err *e, struct error *error) {
    bool whole = take_line(m, rest);
    struct span text = buf_span(&m->line);
    if (buf_error(&m->line) == ERR_LIMIT)
        *e = error_set(error, ERR_BAD_INPUT, "The head of a part of the form is too long.");
    else if (buf_error(&m->line) != ERR_OK)
        *e = error_set(error, ERR_NO_MEMORY, "There is no memory for the form.");
    else if (whole && (span_eq(text, SPAN("\r\n")) || span_ends(text, SPAN("\r\n\r\n")))) {
        *e = begin_part(m, error);
        m->state = STATE_DATA;
        m->matched = 2; /* the line end of the head is also that of a delimiter: an empty part */
        m->borrowed = 2;
    }
    return *e == ERR_OK;
}

enum err multipart_feed(struct multipart *m, struct span data, size_t *taken, struct error *error) {
    struct span rest = data;
    enum err e = ERR_OK;
    bool go_on = true;
    while (go_on && (rest.n > 0 || m->owed_at < m->owed_end)) {
        switch (m->state) {
        case STATE_PREAMBLE:
            go_on = step_preamble(m, &rest, &e, error);
            break;
        case STATE_DELIMITED:
            go_on = step_delimited(m, &rest, &e, error);
            break;
        case STATE_HEAD:
            go_on = step_head(m, &rest, &e, error);
            break;
        case STATE_DATA:
            go_on = step_data(m, &rest, &e, error);
            break;
        case STATE_EPILOGUE:
            rest.n = 0;
            break;
        }
    }
    *taken = data.n - rest.n;
    return e;
}

enum err multipart_finish(struct multipart *m, struct error *error) {
    if (m->state == STATE_EPILOGUE)
        return ERR_OK;
    return error_set(error, ERR_BAD_INPUT, "The form ends before its last boundary.");
}

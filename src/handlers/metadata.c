#include "metadata.h"

#include <string.h>

#include "fileservice/base/banned.h"

#define METADATA_PREFIX "x-amz-meta-"
#define METADATA_PREFIX_BYTES (sizeof METADATA_PREFIX - 1)
#define METADATA_NAME_SHOWN_MAX_BYTES 64 /* of a name, in a sentence */

static const struct span system_names[] = {
    {"cache-control", 13},
    {"content-disposition", 19},
    {"content-encoding", 16},
    {"content-language", 16},
};
#define SYSTEM_NAMES (sizeof system_names / sizeof *system_names)
/* Two NULs for each. */
#define METADATA_TEXT_MAX_BYTES                                                                    \
    (METADATA_USER_MAX_BYTES + METADATA_SYSTEM_MAX_BYTES +                                         \
     METADATA_USER_MAX * (METADATA_PREFIX_BYTES + 2) + SYSTEM_NAMES * 2)

_Static_assert(METADATA_USER_MAX + SYSTEM_NAMES <= S3_UPLOAD_HEADERS_MAX, "an upload takes all");
_Static_assert(METADATA_TEXT_MAX_BYTES <= S3_UPLOAD_HEADERS_MAX_BYTES, "an upload takes all");

void metadata_init(struct metadata *m) {
    memset(m, 0, sizeof *m);
    buf_init(&m->text, METADATA_TEXT_MAX_BYTES);
}

void metadata_done(struct metadata *m) { buf_done(&m->text); }

/* Names */

bool metadata_is_user_name(struct span name) {
    return name.n >= METADATA_PREFIX_BYTES &&
           span_eq_nocase((struct span){name.p, METADATA_PREFIX_BYTES}, SPAN(METADATA_PREFIX));
}

bool metadata_is_name(struct span name) {
    for (size_t i = 0; i < SYSTEM_NAMES; i++)
        if (span_eq_nocase(name, system_names[i]))
            return true;
    return metadata_is_user_name(name);
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

/* RFC 9110 §5.6.2. Names of form fields may be anything. */
static bool is_token(struct span s) {
    for (size_t i = 0; i < s.n; i++) {
        char c = lower(s.p[i]);
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
            (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return false;
    }
    return s.n > 0;
}

/* Values */

static enum err refuse(struct error *error, const char *code, struct span name, const char *why) {
    size_t n = name.n < METADATA_NAME_SHOWN_MAX_BYTES ? name.n : METADATA_NAME_SHOWN_MAX_BYTES;
    error_set(error, ERR_BAD_INPUT, "%.*s %s", (int)n, name.p, why);
    memcpy(error->code, code, strlen(code) + 1);
    return ERR_BAD_INPUT;
}

static bool is_printable(struct span s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20 || s.p[i] > 0x7E)
            return false;
    return true;
}

/* Whether a comma-separated list of tokens has this one. */
static bool lists(struct span list, struct span token) {
    struct span piece;
    while (span_cut(&list, ',', &piece))
        if (span_eq_nocase(span_trim(piece), token))
            return true;
    return false;
}

enum err metadata_check_framing(struct span name, struct span value, struct error *error) {
    bool framed =
        (span_eq_nocase(name, SPAN("content-encoding")) && lists(value, SPAN("aws-chunked"))) ||
        (span_eq_nocase(name, SPAN("x-amz-content-sha256")) &&
         span_starts(span_trim(value), SPAN("STREAMING-")));
    if (framed)
        return refuse(error, "InvalidRequest", name,
                      "says that the body is framed as aws-chunked: send the file's bytes as they "
                      "are.");
    return ERR_OK;
}

static bool is_there(const struct metadata *m, struct span name) {
    struct sigv4_pair pairs[S3_UPLOAD_HEADERS_MAX];
    size_t count = metadata_pairs(m, pairs);
    for (size_t i = 0; i < count; i++)
        if (span_eq_nocase(pairs[i].name, name))
            return true;
    return false;
}

static enum err count_user(struct metadata *m, struct span name, struct span value,
                           struct error *error) {
    size_t bytes = name.n - METADATA_PREFIX_BYTES + value.n;
    if (bytes > METADATA_USER_MAX_BYTES - m->user_bytes)
        return refuse(error, "MetadataTooLarge", name,
                      "is too much: the names and values of x-amz-meta-* have at most 2048 bytes "
                      "in all.");
    if (m->user_count == METADATA_USER_MAX)
        return refuse(error, "MetadataTooLarge", name,
                      "is too much: there can be 32 of x-amz-meta-*.");
    m->user_bytes += bytes;
    m->user_count++;
    return ERR_OK;
}

static enum err count_system(struct metadata *m, struct span name, struct span value,
                             struct error *error) {
    size_t bytes = name.n + value.n;
    if (bytes > METADATA_SYSTEM_MAX_BYTES - m->system_bytes)
        return refuse(error, "MetadataTooLarge", name,
                      "is too much: it and its kin have at most 2048 bytes in all.");
    m->system_bytes += bytes;
    return ERR_OK;
}

enum err metadata_take(struct metadata *m, struct span name, struct span value,
                       struct error *error) {
    bool user = metadata_is_user_name(name);
    value = span_trim(value);
    if (!user && value.n == 0)
        return ERR_OK;
    if (user && !is_token(span_from(name, METADATA_PREFIX_BYTES)))
        return refuse(error, "InvalidMetadata", SPAN(METADATA_PREFIX "*"),
                      "must have a name of letters, digits and !#$%&'*+-.^_`|~.");
    if (!is_printable(value))
        return refuse(error, "InvalidMetadata", name,
                      "must be printable ASCII: encode other text, for example as %XX.");
    enum err e = metadata_check_framing(name, value, error);
    if (e == ERR_OK && is_there(m, name))
        e = refuse(error, "InvalidMetadata", name, "is there twice.");
    if (e == ERR_OK)
        e = user ? count_user(m, name, value, error) : count_system(m, name, value, error);
    if (e != ERR_OK)
        return e;
    for (size_t i = 0; i < name.n; i++)
        buf_append_byte(&m->text, lower(name.p[i]));
    buf_append_byte(&m->text, '\0');
    buf_append(&m->text, value);
    buf_append_byte(&m->text, '\0');
    m->count++;
    if (buf_error(&m->text) != ERR_OK)
        return error_set(error, ERR_NO_MEMORY, "There is no memory for an upload.");
    return ERR_OK;
}

size_t metadata_pairs(const struct metadata *m, struct sigv4_pair out[S3_UPLOAD_HEADERS_MAX]) {
    const char *at = buf_text(&m->text);
    for (size_t i = 0; i < m->count; i++) {
        out[i].name = span_of(at);
        out[i].value = span_of(at + out[i].name.n + 1);
        at += out[i].name.n + out[i].value.n + 2;
    }
    return m->count;
}

#include "integrity.h"

#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

#define INTEGRITY_NAME_SHOWN_MAX_BYTES 64 /* of a name, in a sentence */

struct integrity {
    unsigned kinds;  /* that were said */
    unsigned for_s3; /* of these, by x-amz-checksum-* */
    unsigned char said[CHECKSUM_KINDS][CHECKSUM_MAX_BYTES];
    struct checksum_set *found; /* NULL before the first byte */
};

/* Names */

static const enum checksum_kind s3_kinds[] = {
    CHECKSUM_CRC64NVME, CHECKSUM_CRC32, CHECKSUM_SHA256}; /* the order of integrity_for_s3() */
#define S3_KINDS (sizeof s3_kinds / sizeof *s3_kinds)

#define S3_PREFIX "x-amz-checksum-"

static bool has_prefix(struct span name) {
    const size_t n = sizeof S3_PREFIX - 1;
    return name.n >= n && span_eq_nocase((struct span){name.p, n}, SPAN(S3_PREFIX));
}

/* Headers of S3's API that begin alike and say no checksum. */
static bool is_about_checksums(struct span name) {
    return span_eq_nocase(name, SPAN("x-amz-checksum-algorithm")) ||
           span_eq_nocase(name, SPAN("x-amz-checksum-type")) ||
           span_eq_nocase(name, SPAN("x-amz-checksum-mode"));
}

bool integrity_is_name(struct span name) {
    return span_eq_nocase(name, SPAN("Content-MD5")) ||
           span_eq_nocase(name, SPAN("Content-Digest")) ||
           (has_prefix(name) && !is_about_checksums(name));
}

/* Values */

static enum err refuse(struct error *error, const char *code, struct span name, const char *why) {
    size_t n = name.n < INTEGRITY_NAME_SHOWN_MAX_BYTES ? name.n : INTEGRITY_NAME_SHOWN_MAX_BYTES;
    error_set(error, ERR_BAD_INPUT, "%.*s %s", (int)n, name.p, why);
    memcpy(error->code, code, strlen(code) + 1);
    return ERR_BAD_INPUT;
}

static enum err take_value(struct integrity *i, enum checksum_kind kind, struct span name,
                           struct span text, struct error *error) {
    unsigned char value[CHECKSUM_MAX_BYTES];
    bool said = (i->kinds & CHECKSUM_BIT(kind)) != 0;
    if (!checksum_decode(kind, text, value))
        return refuse(error, "InvalidDigest", name, "is not the base64 of such a digest.");
    if (said && memcmp(i->said[kind], value, checksum_bytes(kind)) != 0)
        return refuse(error, "InvalidDigest", name, "says another digest than one before it.");
    memcpy(i->said[kind], value, checksum_bytes(kind));
    i->kinds |= CHECKSUM_BIT(kind);
    return ERR_OK;
}

static enum err take_s3(struct integrity *i, struct span name, struct span value,
                        struct error *error) {
    for (size_t k = 0; k < S3_KINDS; k++) {
        if (!span_eq_nocase(name, checksum_header(s3_kinds[k])))
            continue;
        i->for_s3 |= CHECKSUM_BIT(s3_kinds[k]);
        return take_value(i, s3_kinds[k], name, value, error);
    }
    return refuse(error, "InvalidRequest", name,
                  "is not checked here: only -crc32, -crc64nvme and -sha256 are.");
}

/* Content-Digest: members key "=" ":" base64 ":", with commas between. */

static void skip_blanks(struct span *rest) {
    while (rest->n > 0 && (rest->p[0] == ' ' || rest->p[0] == '\t'))
        *rest = span_from(*rest, 1);
}

static bool is_key_byte(char c, bool first) {
    return (c >= 'a' && c <= 'z') || c == '*' ||
           (!first && ((c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.'));
}

static bool is_base64_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/' || c == '=';
}

static bool cut_member(struct span *rest, struct span *key, struct span *value) {
    size_t n = 0;
    while (n < rest->n && is_key_byte(rest->p[n], n == 0))
        n++;
    *key = (struct span){rest->p, n};
    *rest = span_from(*rest, n);
    if (n == 0 || !span_starts(*rest, SPAN("=:")))
        return false;
    *rest = span_from(*rest, 2);
    for (n = 0; n < rest->n && is_base64_byte(rest->p[n]);)
        n++;
    *value = (struct span){rest->p, n};
    *rest = span_from(*rest, n);
    if (!span_starts(*rest, SPAN(":")))
        return false;
    *rest = span_from(*rest, 1);
    return true;
}

static enum err take_dictionary(struct integrity *i, struct span name, struct span rest,
                                struct error *error) {
    struct span key;
    struct span value;
    for (;;) {
        enum err e = ERR_OK;
        if (!cut_member(&rest, &key, &value))
            break;
        if (span_eq(key, SPAN("sha-256")))
            e = take_value(i, CHECKSUM_SHA256, name, value, error);
        else if (span_eq(key, SPAN("sha-512")))
            e = take_value(i, CHECKSUM_SHA512, name, value, error);
        skip_blanks(&rest);
        if (e != ERR_OK || rest.n == 0)
            return e;
        if (rest.p[0] != ',')
            break;
        rest = span_from(rest, 1);
        skip_blanks(&rest);
    }
    return refuse(error, "InvalidDigest", name, "is not a list of algorithm=:base64: (RFC 9530).");
}

enum err integrity_take(struct integrity **i, struct span name, struct span value,
                        struct error *error) {
    if (*i == NULL)
        *i = calloc(1, sizeof **i);
    if (*i == NULL)
        return error_set(error, ERR_NO_MEMORY, "There is no memory for an upload.");
    value = span_trim(value);
    if (span_eq_nocase(name, SPAN("Content-MD5")))
        return take_value(*i, CHECKSUM_MD5, name, value, error);
    if (span_eq_nocase(name, SPAN("Content-Digest")))
        return take_dictionary(*i, name, value, error);
    return take_s3(*i, name, value, error);
}

void integrity_free(struct integrity *i) {
    if (i == NULL)
        return;
    checksum_set_free(i->found);
    free(i);
}

/* Bytes */

static enum err no_checksum(struct error *error) {
    return error_set(error, ERR_NO_MEMORY, "The digest of the bytes could not be computed.");
}

enum err integrity_update(struct integrity *i, struct span data, struct error *error) {
    if (i == NULL || i->kinds == 0)
        return ERR_OK;
    if (i->found == NULL)
        i->found = checksum_set_new(i->kinds);
    if (i->found == NULL || checksum_set_update(i->found, data) != ERR_OK)
        return no_checksum(error);
    return ERR_OK;
}

enum err integrity_check(struct integrity *i, struct error *error) {
    unsigned char found[CHECKSUM_MAX_BYTES];
    enum err e = integrity_update(i, SPAN(""), error); /* an empty body has digests too */
    for (unsigned kind = 0; i != NULL && kind < CHECKSUM_KINDS && e == ERR_OK; kind++) {
        if ((i->kinds & CHECKSUM_BIT(kind)) == 0)
            continue;
        if (checksum_set_end(i->found, kind, found) != ERR_OK)
            return no_checksum(error);
        if (memcmp(found, i->said[kind], checksum_bytes(kind)) != 0)
            e = refuse(error, "BadDigest", span_of(checksum_name(kind)),
                       "of the bytes that came is not the one that was sent.");
    }
    return e;
}

bool integrity_for_s3(const struct integrity *i, enum checksum_kind *kind,
                      char text[CHECKSUM_TEXT_MAX_BYTES]) {
    for (size_t k = 0; i != NULL && k < S3_KINDS; k++) {
        if ((i->for_s3 & CHECKSUM_BIT(s3_kinds[k])) == 0)
            continue;
        *kind = s3_kinds[k];
        checksum_encode(*kind, i->said[*kind], text);
        return true;
    }
    return false;
}

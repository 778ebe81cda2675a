#include "fileservice/s3/list.h"

#include <openssl/evp.h>
#include <string.h>

#include "fileservice/base/banned.h"

#define CURSOR_VERSION 1
#define CURSOR_DIGEST_BYTES 16 /* of SHA-256: against accidents, not against forgery */
#define CURSOR_FRONT_BYTES (1 + CURSOR_DIGEST_BYTES)
#define CURSOR_RAW_MAX_BYTES (CURSOR_FRONT_BYTES + S3_LIST_TOKEN_MAX_BYTES)
#define CURSOR_SUMMED_MAX_BYTES 16384

/* With their lengths, so that no two queries make the same text. */
static enum err sum(const struct s3_list_query *q, struct span token,
                    unsigned char digest[EVP_MAX_MD_SIZE]) {
    const struct span parts[] = {q->bucket, q->prefix, q->delimiter, token};
    struct buf text;
    unsigned n = 0;
    buf_init(&text, CURSOR_SUMMED_MAX_BYTES);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        buf_append_u64(&text, parts[i].n);
        buf_append_byte(&text, ':');
        buf_append(&text, parts[i]);
    }
    enum err e = buf_error(&text);
    if (e == ERR_OK && EVP_Digest(text.p, text.n, digest, &n, EVP_sha256(), NULL) != 1)
        e = ERR_INTERNAL;
    buf_done(&text);
    return e;
}

/* base64url without padding (RFC 4648 §5). */
static void append_base64url(struct buf *b, struct span s) {
    unsigned char text[S3_LIST_CURSOR_MAX_BYTES + 1];
    if (s.n > CURSOR_RAW_MAX_BYTES) {
        b->error = ERR_LIMIT;
        return;
    }
    int n = EVP_EncodeBlock(text, (const unsigned char *)s.p, (int)s.n);
    for (int i = 0; i < n && text[i] != '='; i++)
        buf_append_byte(b, text[i] == '+' ? '-' : text[i] == '/' ? '_' : (char)text[i]);
}

enum err s3_list_seal(const struct s3_list_query *query, struct span token, struct buf *cursor) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    struct buf raw;
    enum err e = sum(query, token, digest);
    if (e != ERR_OK)
        return e;
    buf_init(&raw, CURSOR_RAW_MAX_BYTES);
    buf_append_byte(&raw, CURSOR_VERSION);
    buf_append(&raw, (struct span){(const char *)digest, CURSOR_DIGEST_BYTES});
    buf_append(&raw, token);
    e = buf_error(&raw);
    if (e == ERR_OK)
        append_base64url(cursor, buf_span(&raw));
    buf_done(&raw);
    return e != ERR_OK ? e : buf_error(cursor);
}

/* Leniently: sealing again shows whether it was ours. */
static enum err append_decoded(struct buf *b, struct span cursor) {
    unsigned char text[S3_LIST_CURSOR_MAX_BYTES];
    unsigned char raw[S3_LIST_CURSOR_MAX_BYTES];
    size_t padding = (4 - cursor.n % 4) % 4;
    if (cursor.n == 0 || cursor.n + padding > sizeof text)
        return ERR_BAD_INPUT;
    for (size_t i = 0; i < cursor.n; i++)
        text[i] = cursor.p[i] == '-' ? '+' : cursor.p[i] == '_' ? '/' : (unsigned char)cursor.p[i];
    memset(text + cursor.n, '=', padding);
    int n = EVP_DecodeBlock(raw, text, (int)(cursor.n + padding));
    if (n < 0 || (size_t)n < padding + CURSOR_FRONT_BYTES)
        return ERR_BAD_INPUT;
    buf_append(b, (struct span){(const char *)raw, (size_t)n - padding});
    return buf_error(b) == ERR_LIMIT ? ERR_BAD_INPUT : buf_error(b);
}

enum err s3_list_open(const struct s3_list_query *query, struct span cursor, struct buf *token) {
    struct buf raw;
    struct buf again;
    buf_init(&raw, CURSOR_RAW_MAX_BYTES);
    buf_init(&again, S3_LIST_CURSOR_MAX_BYTES);
    enum err e = append_decoded(&raw, cursor);
    struct span inside = span_from(buf_span(&raw), CURSOR_FRONT_BYTES);
    if (e == ERR_OK)
        e = s3_list_seal(query, inside, &again);
    if (e == ERR_OK && (inside.n == 0 || !span_eq(buf_span(&again), cursor)))
        e = ERR_BAD_INPUT;
    if (e == ERR_OK) {
        buf_append(token, inside);
        e = buf_error(token);
    }
    buf_done(&raw);
    buf_done(&again);
    return e;
}

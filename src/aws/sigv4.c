#include "fileservice/aws/sigv4.h"

#include "fileservice/base/clock.h"
#include "fileservice/base/hex.h"
#include "fileservice/base/secret.h"
#include "fileservice/base/url.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

#define HASH_BYTES SIGV4_HASH_BYTES
#define BLOCK_BYTES 64 /* of SHA-256 */
#define DATE_BYTES 8   /* "20261124", the front of the time */
#define ALGORITHM "AWS4-HMAC-SHA256"

/* Digests */

static EVP_MD *sha256;

static void fetch_sha256(void) { sha256 = EVP_MD_fetch(NULL, "SHA256", NULL); }

/* Looked up once: OpenSSL 3 otherwise searches its providers in every call, which costs more than
 * the digest of a short text. NULL when there is no memory. */
static const EVP_MD *get_sha256(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fetch_sha256);
    return sha256;
}

enum err sigv4_hash_hex(struct span bytes, char out[SIGV4_HEX_BYTES + 1]) {
    unsigned char digest[HASH_BYTES];
    unsigned n = 0;
    if (get_sha256() == NULL || EVP_Digest(bytes.p, bytes.n, digest, &n, get_sha256(), NULL) != 1)
        return ERR_INTERNAL;
    hex_encode(digest, sizeof digest, out);
    return ERR_OK;
}

/* RFC 2104 over keys of at most a block, on a context that serves a whole chain: OpenSSL's own HMAC
 * allocates and looks up anew for each of the five links. */
static bool hmac(EVP_MD_CTX *context, struct span key, struct span text,
                 unsigned char out[HASH_BYTES]) {
    unsigned char inner[BLOCK_BYTES];
    unsigned char outer[BLOCK_BYTES];
    unsigned n = 0;
    memset(inner, 0x36, sizeof inner);
    memset(outer, 0x5c, sizeof outer);
    for (size_t i = 0; i < key.n; i++) {
        inner[i] = (unsigned char)(inner[i] ^ (unsigned char)key.p[i]);
        outer[i] = (unsigned char)(outer[i] ^ (unsigned char)key.p[i]);
    }
    bool good = EVP_DigestInit_ex(context, get_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(context, inner, sizeof inner) == 1 &&
                EVP_DigestUpdate(context, text.p, text.n) == 1 &&
                EVP_DigestFinal_ex(context, out, &n) == 1 &&
                EVP_DigestInit_ex(context, get_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(context, outer, sizeof outer) == 1 &&
                EVP_DigestUpdate(context, out, HASH_BYTES) == 1 &&
                EVP_DigestFinal_ex(context, out, &n) == 1;
    secret_wipe(inner, sizeof inner);
    secret_wipe(outer, sizeof outer);
    return good;
}

/* "AWS4" and the secret, as a key of the chain: hashed when it is longer than a block. */
static bool first_key(EVP_MD_CTX *context, struct span secret, unsigned char out[BLOCK_BYTES],
                      size_t *out_n) {
    unsigned n = 0;
    if (secret.n <= BLOCK_BYTES - 4) {
        memcpy(out, "AWS4", 4); // NOLINT(bugprone-not-null-terminated-result): bytes, no text
        if (secret.n > 0)
            memcpy(out + 4, secret.p, secret.n);
        *out_n = secret.n + 4;
        return true;
    }
    *out_n = HASH_BYTES;
    return EVP_DigestInit_ex(context, get_sha256(), NULL) == 1 &&
           EVP_DigestUpdate(context, "AWS4", 4) == 1 &&
           EVP_DigestUpdate(context, secret.p, secret.n) == 1 &&
           EVP_DigestFinal_ex(context, out, &n) == 1;
}

/* Paths */

/* What every service but S3 signs: no empty segments, none that are "." or "..". */
static void append_normalised(struct buf *b, struct span path) {
    size_t base = b->n;
    bool directory = span_ends(path, SPAN("/"));
    struct span segment;
    while (span_cut(&path, '/', &segment)) {
        if (span_eq(segment, SPAN(".."))) {
            while (b->n > base && b->p[b->n - 1] != '/')
                b->n--;
            b->n -= b->n > base ? 1 : 0;
        } else if (segment.n > 0 && !span_eq(segment, SPAN("."))) {
            buf_append_byte(b, '/');
            buf_append(b, segment);
        }
    }
    if (directory || b->n == base)
        buf_append_byte(b, '/');
}

void sigv4_append_path(struct buf *b, struct span path) {
    if (path.n == 0)
        buf_append_byte(b, '/');
    url_encode(b, path, true);
}

static enum err append_canonical_path(struct buf *b, const struct sigv4_request *r) {
    if (r->s3) {
        sigv4_append_path(b, r->path);
        return buf_error(b);
    }
    struct buf normalised;
    struct buf once;
    buf_init(&normalised, SIGV4_CANONICAL_MAX_BYTES);
    buf_init(&once, SIGV4_CANONICAL_MAX_BYTES);
    append_normalised(&normalised, r->path);
    sigv4_append_path(&once, buf_span(&normalised));
    url_encode(b, buf_span(&once), true);
    enum err e = buf_error(&normalised);
    if (e == ERR_OK)
        e = buf_error(&once);
    buf_done(&normalised);
    buf_done(&once);
    return e != ERR_OK ? e : buf_error(b);
}

/* Queries */

/* Encoded name and value of a parameter, as offsets: the buffer that holds them still moves. */
struct encoded {
    const struct buf *text;
    size_t name;
    size_t value;
    size_t end;
};

static struct span encoded_name(const struct encoded *e) {
    return (struct span){e->text->p + e->name, e->value - e->name};
}

static struct span encoded_value(const struct encoded *e) {
    return (struct span){e->text->p + e->value, e->end - e->value};
}

static int compare_encoded(const void *left, const void *right) {
    const struct encoded *a = left;
    const struct encoded *b = right;
    int order = span_cmp(encoded_name(a), encoded_name(b));
    return order != 0 ? order : span_cmp(encoded_value(a), encoded_value(b));
}

/* Sorted after encoding, "k=" for a parameter without value. */
enum err sigv4_append_query(struct buf *b, const struct sigv4_pair *parameters, size_t count) {
    struct encoded sorted[SIGV4_PARAMETERS_MAX];
    struct buf text;
    if (count > SIGV4_PARAMETERS_MAX)
        return ERR_LIMIT;
    buf_init(&text, SIGV4_CANONICAL_MAX_BYTES);
    for (size_t i = 0; i < count; i++) {
        sorted[i] = (struct encoded){.text = &text, .name = text.n};
        url_encode(&text, parameters[i].name, false);
        sorted[i].value = text.n;
        url_encode(&text, parameters[i].value, false);
        sorted[i].end = text.n;
    }
    enum err e = buf_error(&text);
    if (e == ERR_OK && count > 0)
        qsort(sorted, count, sizeof *sorted, compare_encoded);
    for (size_t i = 0; e == ERR_OK && i < count; i++) {
        if (i > 0)
            buf_append_byte(b, '&');
        buf_append(b, encoded_name(&sorted[i]));
        buf_append_byte(b, '=');
        buf_append(b, encoded_value(&sorted[i]));
    }
    buf_done_secret(&text);
    return e != ERR_OK ? e : buf_error(b);
}

/* Headers */

/* Left out: whoever stands between us and AWS may change or drop these. */
static bool is_unsigned_header(struct span name) {
    static const char *const names[] = {
        "authorization", "connection",        "expect",  "keep-alive", "te",
        "trailer",       "transfer-encoding", "upgrade", "user-agent", "x-amzn-trace-id",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (span_eq_nocase(name, span_of(names[i])))
            return true;
    return name.n >= 6 && span_eq_nocase((struct span){name.p, 6}, SPAN("proxy-"));
}

struct header {
    const struct sigv4_pair *pair;
    size_t position; /* values of one name keep the order they are sent in */
};

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c; }

static int compare_names(struct span a, struct span b) {
    for (size_t i = 0; i < a.n && i < b.n; i++) {
        unsigned char x = (unsigned char)lower(a.p[i]);
        unsigned char y = (unsigned char)lower(b.p[i]);
        if (x != y)
            return x < y ? -1 : 1;
    }
    return a.n == b.n ? 0 : a.n < b.n ? -1 : 1;
}

static int compare_headers(const void *left, const void *right) {
    const struct header *a = left;
    const struct header *b = right;
    int order = compare_names(a->pair->name, b->pair->name);
    if (order != 0)
        return order;
    return a->position < b->position ? -1 : 1;
}

/* Trimmed, inner runs of blanks as one. */
static void append_value(struct buf *b, struct span value) {
    value = span_trim(value);
    for (size_t i = 0; i < value.n; i++) {
        bool blank = value.p[i] == ' ' || value.p[i] == '\t';
        bool after_blank = i > 0 && (value.p[i - 1] == ' ' || value.p[i - 1] == '\t');
        if (!blank)
            buf_append_byte(b, value.p[i]);
        else if (!after_blank)
            buf_append_byte(b, ' ');
    }
}

static enum err append_headers(struct buf *canonical, struct buf *names,
                               const struct sigv4_request *r) {
    struct header sorted[SIGV4_HEADERS_MAX];
    size_t count = 0;
    if (r->header_count > SIGV4_HEADERS_MAX)
        return ERR_LIMIT;
    for (size_t i = 0; i < r->header_count; i++)
        if (!is_unsigned_header(r->headers[i].name))
            sorted[count++] = (struct header){&r->headers[i], i};
    if (count > 0)
        qsort(sorted, count, sizeof *sorted, compare_headers);
    for (size_t i = 0; i < count; i++) {
        const struct sigv4_pair *pair = sorted[i].pair;
        if (i > 0 && compare_names(sorted[i - 1].pair->name, pair->name) == 0) {
            buf_append_byte(canonical, ',');
        } else {
            if (i > 0) {
                buf_append_byte(canonical, '\n');
                buf_append_byte(names, ';');
            }
            for (size_t k = 0; k < pair->name.n; k++) {
                buf_append_byte(canonical, lower(pair->name.p[k]));
                buf_append_byte(names, lower(pair->name.p[k]));
            }
            buf_append_byte(canonical, ':');
        }
        append_value(canonical, pair->value);
    }
    buf_append_byte(canonical, '\n');
    return buf_error(names);
}

/* The three stages */

enum err sigv4_canonical_request(const struct sigv4_request *r, struct buf *canonical,
                                 struct buf *signed_headers) {
    buf_append(canonical, r->method);
    buf_append_byte(canonical, '\n');
    enum err e = append_canonical_path(canonical, r);
    buf_append_byte(canonical, '\n');
    if (e == ERR_OK)
        e = sigv4_append_query(canonical, r->parameters, r->parameter_count);
    buf_append_byte(canonical, '\n');
    size_t before = signed_headers->n;
    if (e == ERR_OK)
        e = append_headers(canonical, signed_headers, r);
    buf_append_byte(canonical, '\n');
    buf_append(canonical, span_from(buf_span(signed_headers), before));
    buf_append_byte(canonical, '\n');
    buf_append(canonical, r->payload_hash);
    return e != ERR_OK ? e : buf_error(canonical);
}

/* date/region/service/aws4_request */
static void append_scope(struct buf *b, const char *time, const struct sigv4_scope *scope) {
    buf_append(b, (struct span){time, DATE_BYTES});
    buf_append_byte(b, '/');
    buf_append(b, scope->region);
    buf_append_byte(b, '/');
    buf_append(b, scope->service);
    buf_append_text(b, "/aws4_request");
}

enum err sigv4_string_to_sign(struct span canonical, const struct sigv4_scope *scope,
                              struct buf *out) {
    char time[CLOCK_AMZ_BYTES];
    char hash[SIGV4_HEX_BYTES + 1];
    if (sigv4_hash_hex(canonical, hash) != ERR_OK)
        return ERR_INTERNAL;
    clock_format_amz(scope->wall_ms, time);
    buf_append_text(out, ALGORITHM "\n");
    buf_append_text(out, time);
    buf_append_byte(out, '\n');
    append_scope(out, time, scope);
    buf_append_byte(out, '\n');
    buf_append_text(out, hash);
    return buf_error(out);
}

void sigv4_memo_clear(struct sigv4_memo *memo) { secret_wipe(memo, sizeof *memo); }

static bool memo_holds(const struct sigv4_memo *m, const char *date,
                       const struct sigv4_scope *scope) {
    return m != NULL && m->service_n > 0 && memcmp(m->date, date, DATE_BYTES) == 0 &&
           span_eq((struct span){m->region, m->region_n}, scope->region) &&
           span_eq((struct span){m->service, m->service_n}, scope->service);
}

static void memo_keep(struct sigv4_memo *m, const char *date, const struct sigv4_scope *scope,
                      const unsigned char key[HASH_BYTES]) {
    if (m == NULL || scope->region.n > sizeof m->region || scope->service.n > sizeof m->service ||
        scope->region.n == 0)
        return;
    memcpy(m->date, date, DATE_BYTES);
    memcpy(m->region, scope->region.p, scope->region.n);
    memcpy(m->service, scope->service.p, scope->service.n);
    memcpy(m->key, key, HASH_BYTES);
    m->region_n = scope->region.n;
    m->service_n = scope->service.n;
}

/* The key that signs for one day, region and service. */
static bool signing_key(EVP_MD_CTX *context, const struct sigv4_scope *scope,
                        const struct sigv4_credentials *credentials,
                        unsigned char key[BLOCK_BYTES]) {
    char time[CLOCK_AMZ_BYTES];
    size_t key_n = 0;
    clock_format_amz(scope->wall_ms, time);
    if (memo_holds(credentials->memo, time, scope)) {
        memcpy(key, credentials->memo->key, HASH_BYTES);
        return true;
    }
    const struct span links[] = {
        {time, DATE_BYTES}, scope->region, scope->service, SPAN("aws4_request")};
    bool good = first_key(context, credentials->secret_access_key, key, &key_n);
    for (size_t i = 0; good && i < sizeof links / sizeof *links; i++) {
        good = hmac(context, (struct span){(const char *)key, key_n}, links[i], key);
        key_n = HASH_BYTES;
    }
    if (good)
        memo_keep(credentials->memo, time, scope, key);
    return good;
}

enum err sigv4_signature(struct span string_to_sign, const struct sigv4_scope *scope,
                         const struct sigv4_credentials *credentials,
                         char out[SIGV4_HEX_BYTES + 1]) {
    unsigned char key[BLOCK_BYTES];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context != NULL && get_sha256() != NULL &&
                signing_key(context, scope, credentials, key) &&
                hmac(context, (struct span){(const char *)key, HASH_BYTES}, string_to_sign, key);
    if (good)
        hex_encode(key, HASH_BYTES, out);
    secret_wipe(key, sizeof key);
    EVP_MD_CTX_free(context);
    return good ? ERR_OK : ERR_INTERNAL;
}

/* The stages put together: the signature of a request and the names of its signed headers. */
static enum err sign(const struct sigv4_request *r, const struct sigv4_scope *scope,
                     const struct sigv4_credentials *credentials, struct buf *signed_headers,
                     char signature[SIGV4_HEX_BYTES + 1]) {
    struct buf canonical;
    struct buf text;
    buf_init(&canonical, SIGV4_CANONICAL_MAX_BYTES);
    buf_init(&text, SIGV4_CANONICAL_MAX_BYTES);
    enum err e = sigv4_canonical_request(r, &canonical, signed_headers);
    if (e == ERR_OK)
        e = sigv4_string_to_sign(buf_span(&canonical), scope, &text);
    if (e == ERR_OK)
        e = sigv4_signature(buf_span(&text), scope, credentials, signature);
    buf_done_secret(&canonical); /* it holds the session token */
    buf_done(&text);
    return e;
}

static void append_credential(struct buf *b, const struct sigv4_scope *scope,
                              struct span access_key_id) {
    char time[CLOCK_AMZ_BYTES];
    clock_format_amz(scope->wall_ms, time);
    buf_append(b, access_key_id);
    buf_append_byte(b, '/');
    append_scope(b, time, scope);
}

enum err sigv4_authorization(const struct sigv4_request *request, const struct sigv4_scope *scope,
                             const struct sigv4_credentials *credentials, struct buf *out) {
    char signature[SIGV4_HEX_BYTES + 1];
    struct buf names;
    buf_init(&names, SIGV4_CANONICAL_MAX_BYTES);
    enum err e = sign(request, scope, credentials, &names, signature);
    if (e == ERR_OK) {
        buf_append_text(out, ALGORITHM " Credential=");
        append_credential(out, scope, credentials->access_key_id);
        buf_append_text(out, ", SignedHeaders=");
        buf_append(out, buf_span(&names));
        buf_append_text(out, ", Signature=");
        buf_append_text(out, signature);
        e = buf_error(out);
    }
    buf_done(&names);
    return e;
}

/* Signed headers are part of the query that is signed: their names are needed before. */
static enum err signed_names(const struct sigv4_request *request, struct buf *names) {
    struct buf unused;
    buf_init(&unused, SIGV4_CANONICAL_MAX_BYTES);
    enum err e = append_headers(&unused, names, request);
    if (e == ERR_OK)
        e = buf_error(&unused);
    buf_done_secret(&unused);
    return e;
}

enum err sigv4_presign_query(const struct sigv4_request *request, const struct sigv4_scope *scope,
                             const struct sigv4_credentials *credentials, uint32_t expires_s,
                             struct buf *out) {
    enum { OWN = 6 };
    struct sigv4_pair all[SIGV4_PARAMETERS_MAX];
    size_t n = request->parameter_count;
    char time[CLOCK_AMZ_BYTES];
    char signature[SIGV4_HEX_BYTES + 1];
    struct buf names;
    struct buf unused;
    struct buf credential;
    struct buf life;
    if (n > SIGV4_PARAMETERS_MAX - OWN)
        return ERR_LIMIT;
    buf_init(&names, SIGV4_CANONICAL_MAX_BYTES);
    buf_init(&unused, SIGV4_CANONICAL_MAX_BYTES);
    buf_init(&credential, SIGV4_CANONICAL_MAX_BYTES);
    buf_init(&life, 16);
    clock_format_amz(scope->wall_ms, time);
    append_credential(&credential, scope, credentials->access_key_id);
    buf_append_u64(&life, expires_s);
    enum err e = signed_names(request, &names);
    if (e == ERR_OK)
        e = buf_error(&credential);
    if (e == ERR_OK)
        e = buf_error(&life);
    for (size_t i = 0; i < n; i++)
        all[i] = request->parameters[i];
    all[n++] = (struct sigv4_pair){SPAN("X-Amz-Algorithm"), SPAN(ALGORITHM)};
    all[n++] = (struct sigv4_pair){SPAN("X-Amz-Credential"), buf_span(&credential)};
    all[n++] = (struct sigv4_pair){SPAN("X-Amz-Date"), span_of(time)};
    all[n++] = (struct sigv4_pair){SPAN("X-Amz-Expires"), buf_span(&life)};
    all[n++] = (struct sigv4_pair){SPAN("X-Amz-SignedHeaders"), buf_span(&names)};
    if (credentials->session_token.n > 0)
        all[n++] = (struct sigv4_pair){SPAN("X-Amz-Security-Token"), credentials->session_token};
    struct sigv4_request complete = *request;
    complete.parameters = all;
    complete.parameter_count = n;
    if (e == ERR_OK)
        e = sign(&complete, scope, credentials, &unused, signature);
    if (e == ERR_OK)
        e = sigv4_append_query(out, all, n);
    if (e == ERR_OK) {
        buf_append_text(out, "&X-Amz-Signature=");
        buf_append_text(out, signature);
        e = buf_error(out);
    }
    buf_done(&names);
    buf_done(&unused);
    buf_done(&credential);
    buf_done(&life);
    return e;
}

#include "fileservice/http/router.h"

#include "fileservice/base/url.h"

#include <string.h>

#include "fileservice/base/banned.h"

static const struct {
    enum router_method method;
    const char *name;
} methods[] = {
    /* in the order of Allow */
    {ROUTER_DELETE, "DELETE"},   {ROUTER_GET, "GET"},   {ROUTER_HEAD, "HEAD"},
    {ROUTER_OPTIONS, "OPTIONS"}, {ROUTER_POST, "POST"}, {ROUTER_PUT, "PUT"},
};
#define METHOD_COUNT (sizeof methods / sizeof *methods)

enum router_method router_method(struct span method) {
    for (size_t i = 0; i < METHOD_COUNT; i++)
        if (span_eq(method, span_of(methods[i].name)))
            return methods[i].method;
    return ROUTER_OTHER;
}

unsigned router_methods(enum route route) {
    switch (route) {
    case ROUTE_ROOT:
    case ROUTE_HEALTHZ:
    case ROUTE_READYZ:
        return ROUTER_GET | ROUTER_HEAD;
    case ROUTE_FILES:
        return ROUTER_POST;
    case ROUTE_BUCKET:
        return ROUTER_GET | ROUTER_HEAD | ROUTER_POST;
    case ROUTE_OBJECT:
        return ROUTER_GET | ROUTER_HEAD | ROUTER_PUT | ROUTER_DELETE;
    case ROUTE_NONE:
        break;
    }
    return 0;
}

void router_append_allow(struct buf *b, enum route route) {
    unsigned allowed = router_methods(route) | ROUTER_OPTIONS;
    const char *separator = "";
    for (size_t i = 0; i < METHOD_COUNT; i++)
        if ((allowed & methods[i].method) != 0) {
            buf_append_text(b, separator);
            buf_append_text(b, methods[i].name);
            separator = ", ";
        }
}

static enum err refuse(struct error *error, const char *code, const char *sentence) {
    enum err e = error_set(error, ERR_BAD_INPUT, "%s", sentence);
    size_t n = strlen(code);
    if (error != NULL && n < sizeof error->code)
        memcpy(error->code, code, n + 1);
    return e;
}

/* Buckets */

static bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

/* Four numbers and three dots. */
static bool looks_like_ipv4(struct span s) {
    size_t parts = 0;
    struct span part;
    while (span_cut(&s, '.', &part)) {
        uint64_t n;
        parts++;
        if (part.n > 3 || !span_to_u64(part, &n))
            return false;
    }
    return parts == 4;
}

static bool has_reserved_affix(struct span s) {
    static const char *const fronts[] = {"xn--", "sthree-", "amzn-s3-demo-"};
    static const char *const ends[] = {"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"};
    for (size_t i = 0; i < sizeof fronts / sizeof *fronts; i++)
        if (span_starts(s, span_of(fronts[i])))
            return true;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (span_ends(s, span_of(ends[i])))
            return true;
    return false;
}

enum err router_check_bucket(struct span bucket, struct error *error) {
    static const char code[] = "InvalidBucketName";
    if (bucket.n < 3 || bucket.n > ROUTER_BUCKET_MAX_BYTES)
        return refuse(error, code, "The name of a bucket has 3 to 63 characters.");
    for (size_t i = 0; i < bucket.n; i++) {
        char c = bucket.p[i];
        if (!is_alphanumeric(c) && c != '-' && c != '.')
            return refuse(error, code, "The name of a bucket has only a-z, 0-9, hyphens and dots.");
        if (c == '.' && i > 0 && bucket.p[i - 1] == '.')
            return refuse(error, code, "The name of a bucket has no two dots in a row.");
    }
    if (!is_alphanumeric(bucket.p[0]) || !is_alphanumeric(bucket.p[bucket.n - 1]))
        return refuse(error, code, "The name of a bucket begins and ends with a letter or digit.");
    if (looks_like_ipv4(bucket))
        return refuse(error, code, "The name of a bucket is not an IP address.");
    if (has_reserved_affix(bucket))
        return refuse(error, code, "This name of a bucket is reserved by S3.");
    return ERR_OK;
}

/* Keys */

enum err router_check_key(struct span key, struct error *error) {
    static const char code[] = "InvalidKey";
    struct span segment;
    if (key.n == 0)
        return refuse(error, code, "The key is empty.");
    if (key.n > ROUTER_KEY_MAX_BYTES)
        return refuse(error, code, "The key is longer than 1024 bytes.");
    if (!span_is_utf8(key))
        return refuse(error, code, "The key is not UTF-8.");
    for (size_t i = 0; i < key.n; i++)
        if ((unsigned char)key.p[i] < ' ' || key.p[i] == 0x7F)
            return refuse(error, code, "The key has a control character.");
    while (span_cut(&key, '/', &segment))
        if (span_eq(segment, SPAN(".")) || span_eq(segment, SPAN("..")))
            return refuse(error, code, "The key has a segment . or ..");
    return ERR_OK;
}

/* Targets */

static enum err parse_object(struct span bucket, struct span key, struct router_target *ret,
                             struct error *error) {
    struct buf name;
    buf_init(&name, ROUTER_BUCKET_MAX_BYTES + 1);
    enum err e = url_decode(&name, bucket);
    if (e == ERR_BAD_INPUT)
        refuse(error, "InvalidURI", "The path has a % that is not followed by two hex digits.");
    else if (e == ERR_OK || e == ERR_LIMIT)
        e = router_check_bucket(e == ERR_OK ? buf_span(&name) : bucket, error);
    if (e == ERR_OK)
        memcpy(ret->bucket, name.p, name.n + 1);
    else if (e == ERR_NO_MEMORY)
        error_set(error, e, "There is no memory for a request.");
    buf_done(&name);
    if (e != ERR_OK || ret->route == ROUTE_BUCKET)
        return e;
    e = url_decode(&ret->key, key);
    if (e == ERR_BAD_INPUT)
        return refuse(error, "InvalidURI",
                      "The path has a % that is not followed by two hex digits.");
    if (e == ERR_LIMIT)
        return refuse(error, "InvalidKey", "The key is longer than 1024 bytes.");
    if (e != ERR_OK)
        return error_set(error, e, "There is no memory for a request.");
    return router_check_key(buf_span(&ret->key), error);
}

static enum err parse_file(struct span rest, struct router_target *ret, struct error *error) {
    if (rest.n == 0) {
        ret->route = ROUTE_FILES;
        return ERR_OK;
    }
    size_t slash = span_find(rest, '/');
    struct span key = span_from(rest, slash + 1);
    ret->route = key.n == 0 ? ROUTE_BUCKET : ROUTE_OBJECT;
    return parse_object((struct span){rest.p, slash}, key, ret, error);
}

enum err router_parse(struct span target, struct router_target *ret, struct error *error) {
    static const struct {
        const char *path;
        enum route route;
    } fixed[] = {
        {"/", ROUTE_ROOT},
        {"/healthz", ROUTE_HEALTHZ},
        {"/readyz", ROUTE_READYZ},
        {"/file", ROUTE_FILES},
    };
    memset(ret, 0, sizeof *ret);
    buf_init(&ret->key, ROUTER_KEY_MAX_BYTES);
    size_t question = span_find(target, '?');
    ret->path = (struct span){target.p, question};
    ret->query = span_from(target, question + 1);
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (span_eq(ret->path, span_of(fixed[i].path)))
            ret->route = fixed[i].route;
    if (span_starts(ret->path, SPAN("/file/")))
        return parse_file(span_from(ret->path, 6), ret, error);
    return ERR_OK;
}

void router_target_done(struct router_target *t) { buf_done(&t->key); }

/* Queries */

static bool is_named(struct span pair, const char *name) {
    return span_eq((struct span){pair.p, span_find(pair, '=')}, span_of(name));
}

bool router_query_has(struct span query, const char *name) {
    struct span pair;
    while (span_cut(&query, '&', &pair))
        if (is_named(pair, name))
            return true;
    return false;
}

enum err router_query(struct span query, const char *name, struct buf *value) {
    struct span pair;
    bool found = false;
    while (span_cut(&query, '&', &pair)) {
        if (!is_named(pair, name))
            continue;
        if (found)
            return ERR_BAD_INPUT;
        found = true;
        enum err e = url_decode_form(value, span_from(pair, span_find(pair, '=') + 1));
        if (e != ERR_OK)
            return e;
    }
    return found ? ERR_OK : ERR_NOT_FOUND;
}

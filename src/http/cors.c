#include "fileservice/http/cors.h"

#include "fileservice/base/banned.h"

#define CORS_HEADERS_MAX_BYTES 4096 /* of what a preflight asks for; ours */
#define CORS_ORIGIN_MAX_BYTES 512

static bool is_printable(struct span s) {
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || (unsigned char)s.p[i] >= 0x7F)
            return false;
    return s.n > 0;
}

static bool is_listed(const struct cors_policy *policy, struct span origin) {
    for (size_t i = 0; i < policy->count; i++)
        if (span_eq_nocase(origin, span_of(policy->origins[i])))
            return true;
    return false;
}

static enum err add_copy(cors_add_header *add, void *context, const char *name, struct span value,
                         size_t max) {
    struct buf copy;
    buf_init(&copy, max);
    buf_append(&copy, value);
    enum err e = buf_error(&copy);
    if (e == ERR_OK)
        add(context, name, buf_text(&copy));
    buf_done(&copy);
    return e == ERR_LIMIT ? ERR_OK : e;
}

enum err cors_answer(const struct cors_policy *policy, struct span origin, bool preflight,
                     struct span requested_headers, cors_add_header *add, void *context) {
    enum err e = ERR_OK;
    if (!policy->any) {
        add(context, "Vary", "Origin");
        if (!is_printable(origin) || !is_listed(policy, origin))
            return ERR_OK;
        e = add_copy(add, context, "Access-Control-Allow-Origin", origin, CORS_ORIGIN_MAX_BYTES);
    } else {
        add(context, "Access-Control-Allow-Origin", "*");
    }
    add(context, "Access-Control-Expose-Headers",
        "ETag, Location, X-Request-Id, Content-Range, Accept-Ranges, Content-Disposition, "
        "Retry-After");
    if (!preflight || e != ERR_OK)
        return e;
    add(context, "Access-Control-Allow-Methods", "DELETE, GET, HEAD, POST, PUT");
    add(context, "Access-Control-Max-Age", "3600");
    if (!is_printable(requested_headers))
        return ERR_OK;
    return add_copy(add, context, "Access-Control-Allow-Headers", requested_headers,
                    CORS_HEADERS_MAX_BYTES);
}

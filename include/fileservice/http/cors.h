/* Cross-origin rules (Fetch standard, "HTTP extensions"). Pure. */
#ifndef FILESERVICE_HTTP_CORS_H
#define FILESERVICE_HTTP_CORS_H

#include "fileservice/base/buf.h"

/* Who may read our answers; borrows from the settings. */
struct cors_policy {
    bool any;                   /* '*' */
    const char *const *origins; /* exact origins, lower-case scheme and host */
    size_t count;
};

/* Called once for each header to add; name and value are NUL-terminated and borrowed. */
typedef void cors_add_header(void *context, const char *name, const char *value);

/* Adds the headers of an answer to a request with this Origin ("" when none). `requested_headers` is
 * Access-Control-Request-Headers of a preflight; `preflight` adds methods, headers and max age.
 * Adds `Vary: Origin` whenever the policy is a list. Values that hold CR, LF or other control bytes
 * are never echoed. ERR_NO_MEMORY when a header could not be built. */
enum err cors_answer(const struct cors_policy *policy, struct span origin, bool preflight,
                     struct span requested_headers, cors_add_header *add, void *context)
    __attribute__((warn_unused_result));

#endif

#include "fileservice/base/trace.h"

#include <string.h>

#include "fileservice/base/banned.h"

#define VERSION_BYTES 2
#define FLAGS_BYTES 2

static bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

/* Takes exactly `n` lower-case hex digits off the front. */
static bool take_hex(struct span *s, size_t n, struct span *ret) {
    if (s->n < n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_hex(s->p[i]))
            return false;
    *ret = (struct span){s->p, n};
    *s = span_from(*s, n);
    return true;
}

static bool take_dash(struct span *s) {
    if (s->n == 0 || s->p[0] != '-')
        return false;
    *s = span_from(*s, 1);
    return true;
}

static bool is_zero(struct span digits) {
    for (size_t i = 0; i < digits.n; i++)
        if (digits.p[i] != '0')
            return false;
    return true;
}

bool trace_read_parent(struct span header, struct trace *trace) {
    struct span version;
    struct span id;
    struct span parent;
    struct span flags;
    if (!take_hex(&header, VERSION_BYTES, &version) || !take_dash(&header) ||
        !take_hex(&header, TRACE_ID_BYTES, &id) || !take_dash(&header) ||
        !take_hex(&header, TRACE_PARENT_ID_BYTES, &parent) || !take_dash(&header) ||
        !take_hex(&header, FLAGS_BYTES, &flags))
        return false;
    bool more = header.n > 0;
    if (span_eq(version, SPAN("ff")) || (more && (is_zero(version) || header.p[0] != '-')) ||
        is_zero(id) || is_zero(parent))
        return false;
    memcpy(trace->trace_id, id.p, id.n);
    trace->trace_id[id.n] = '\0';
    memcpy(trace->parent_id, parent.p, parent.n);
    trace->parent_id[parent.n] = '\0';
    return true;
}

bool trace_is_amzn(struct span header) {
    for (size_t i = 0; i < header.n; i++) {
        char c = header.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            (c == '\0' || strchr(" =;:_.,/+-|?", c) == NULL))
            return false;
    }
    return header.n > 0 && header.n <= TRACE_AMZN_MAX_BYTES;
}

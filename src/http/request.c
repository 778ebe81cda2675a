#include "request.h"

#include "fileservice/base/hex.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/random.h>

#include "fileservice/base/banned.h"

#define REQUEST_ID_RANDOM_BYTES 16

/* The headers that count only once, found in one walk. */
struct framing {
    unsigned hosts;
    unsigned lengths;
    unsigned encodings;
    unsigned parents;
    struct span length;
    struct span encoding;
    struct span parent; /* traceparent */
};

static enum MHD_Result count_header(void *context, enum MHD_ValueKind kind, const char *name,
                                    size_t name_n, const char *value, size_t value_n) {
    (void)kind;
    struct framing *f = context;
    struct span n = {name, name_n};
    struct span v = {value, value_n};
    if (span_eq_nocase(n, SPAN("Host"))) {
        f->hosts++;
    } else if (span_eq_nocase(n, SPAN("Content-Length"))) {
        f->lengths++;
        f->length = span_trim(v);
    } else if (span_eq_nocase(n, SPAN("Transfer-Encoding"))) {
        f->encodings++;
        f->encoding = span_trim(v);
    } else if (span_eq_nocase(n, SPAN("traceparent"))) {
        f->parents++;
        f->parent = span_trim(v);
    }
    return MHD_YES;
}

enum err request_check(struct MHD_Connection *mhd, bool *chunked, bool *length_known,
                       uint64_t *length, struct trace *trace, struct error *error) {
    struct framing f = {.hosts = 0};
    MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, count_header, &f);
    *chunked = f.encodings > 0;
    *length_known = f.lengths > 0 && f.encodings == 0;
    *length = 0;
    if (f.parents == 1)
        (void)trace_read_parent(f.parent, trace);
    if (f.hosts > 1)
        return error_set(error, ERR_BAD_INPUT, "There is more than one Host line.");
    if (f.lengths > 1 || (f.lengths > 0 && f.encodings > 0))
        return error_set(error, ERR_BAD_INPUT, "The length of the body is said twice.");
    if (f.encodings > 1 || (f.encodings == 1 && !span_eq_nocase(f.encoding, SPAN("chunked"))))
        return error_set(error, ERR_BAD_INPUT, "Transfer-Encoding can only be chunked.");
    if (f.lengths == 1 && !span_to_u64(f.length, length))
        return error_set(error, ERR_BAD_INPUT, "Content-Length is not a number.");
    return ERR_OK;
}

struct span request_origin_form(struct span target) {
    struct span rest;
    if (span_starts(target, SPAN("http://")))
        rest = span_from(target, 7);
    else if (span_starts(target, SPAN("https://")))
        rest = span_from(target, 8);
    else
        return target;
    size_t slash = span_find(rest, '/');
    return slash == rest.n ? SPAN("/") : span_from(rest, slash);
}

static bool is_id_byte(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

/* Random bytes for one id. Each worker gets them from the kernel for many ids at once. */
static const unsigned char *next_random(void) {
    static _Thread_local unsigned char
        pool[16 * REQUEST_ID_RANDOM_BYTES]; /* 256: never cut short */
    static _Thread_local size_t used = sizeof pool;
    if (used == sizeof pool) {
        ssize_t got = getrandom(pool, sizeof pool, 0);
        (void)got;
        used = 0;
    }
    used += REQUEST_ID_RANDOM_BYTES;
    return pool + used - REQUEST_ID_RANDOM_BYTES;
}

void request_id(struct span given, char out[TRACE_REQUEST_ID_MAX_BYTES + 1]) {
    size_t n = 0;
    while (n < given.n && n <= TRACE_REQUEST_ID_MAX_BYTES && is_id_byte(given.p[n]))
        n++;
    if (n > 0 && n == given.n && n <= TRACE_REQUEST_ID_MAX_BYTES) {
        memcpy(out, given.p, n);
        out[n] = '\0';
        return;
    }
    hex_encode(next_random(), REQUEST_ID_RANDOM_BYTES, out);
}

struct span request_amzn_trace(struct MHD_Connection *mhd) {
    const char *value = NULL;
    size_t n = 0;
    if (MHD_lookup_connection_value_n(mhd, MHD_HEADER_KIND, "X-Amzn-Trace-Id", 15, &value, &n) ==
            MHD_YES &&
        trace_is_amzn((struct span){value, n}))
        return (struct span){value, n};
    return SPAN("");
}

struct span request_method_name(enum router_method method) {
    switch (method) {
    case ROUTER_GET:
        return SPAN("GET");
    case ROUTER_HEAD:
        return SPAN("HEAD");
    case ROUTER_POST:
        return SPAN("POST");
    case ROUTER_PUT:
        return SPAN("PUT");
    case ROUTER_DELETE:
        return SPAN("DELETE");
    case ROUTER_OPTIONS:
        return SPAN("OPTIONS");
    case ROUTER_OTHER:
        break;
    }
    return SPAN("OTHER");
}

/* An address as 16 bytes, IPv4 as ::ffff:a.b.c.d. */
static bool parse_address(struct span text, unsigned char out[16]) {
    static const unsigned char mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    char z[INET6_ADDRSTRLEN];
    if (text.n == 0 || text.n >= sizeof z)
        return false;
    memcpy(z, text.p, text.n);
    z[text.n] = '\0';
    memcpy(out, mapped, sizeof mapped);
    return inet_pton(AF_INET, z, out + 12) == 1 || inet_pton(AF_INET6, z, out) == 1;
}

static bool is_inside(const unsigned char address[16], const struct config_cidr *cidr) {
    unsigned whole = cidr->prefix_bits / 8;
    unsigned bits = cidr->prefix_bits % 8;
    if (memcmp(address, cidr->address, whole) != 0)
        return false;
    unsigned char mask = (unsigned char)(0xFF00u >> bits);
    return bits == 0 || ((address[whole] ^ cidr->address[whole]) & mask) == 0;
}

static bool is_trusted(struct span text, const struct config *config) {
    unsigned char address[16];
    if (!parse_address(text, address))
        return false;
    for (size_t i = 0; i < config->trusted_proxy_count; i++)
        if (is_inside(address, &config->trusted_proxies[i]))
            return true;
    return false;
}

struct span request_remote(struct MHD_Connection *mhd, const struct connection *connection,
                           const struct config *config) {
    struct span remote = span_of(connection->remote);
    const char *value = NULL;
    size_t n = 0;
    if (config->trusted_proxy_count == 0 ||
        MHD_lookup_connection_value_n(mhd, MHD_HEADER_KIND, "X-Forwarded-For", 15, &value, &n) !=
            MHD_YES)
        return remote;
    struct span list = {value, n};
    while (list.n > 0 && is_trusted(remote, config)) {
        size_t at = list.n;
        while (at > 0 && list.p[at - 1] != ',')
            at--;
        struct span entry = span_trim(span_from(list, at));
        unsigned char address[16];
        if (!parse_address(entry, address))
            break; /* what is not an address cannot be believed, nor what is left of it */
        remote = entry;
        list.n = at > 0 ? at - 1 : 0;
    }
    return remote;
}

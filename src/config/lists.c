#include "settings.h"

#include "fileservice/base/secret.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

#define CIDR_V4_BITS 96            /* before the IPv4 address in ::ffff:a.b.c.d */
#define ORIGIN_MAX_BYTES 320       /* scheme, "://", the longest host, a port */
#define ORIGIN_SCHEME_MAX_BYTES 32 /* ours; the longest in use, safari-web-extension, has 20 */
#define ORIGIN_RULE "must be * alone, or origins like https://example.com[:port], without a path"

static const unsigned char mapped[CIDR_V4_BITS / 8] = {[10] = 0xFF, [11] = 0xFF};

/* Does something with one item; ERR_BAD_INPUT for one that is not allowed. */
typedef enum err take_item(void *context, struct span item);

/* Calls `take` for each item of `value`; the sentence names the item that was refused. */
static enum err for_each(struct span value, const char *rule, take_item *take, void *context,
                         struct error *error) {
    size_t count = 0;
    struct span line;
    struct span item;
    while (span_cut(&value, '\n', &line)) {
        while (span_cut(&line, ',', &item)) {
            item = span_trim(item);
            if (item.n == 0)
                continue;
            if (++count > SETTING_ITEMS_MAX)
                return error_set(error, ERR_BAD_INPUT, "must have at most %d items",
                                 SETTING_ITEMS_MAX);
            enum err e = take(context, item);
            if (e == ERR_BAD_INPUT)
                return error_set(error, e, "item %zu %s", count, rule);
            if (e != ERR_OK)
                return e;
        }
    }
    if (count == 0)
        return error_set(error, ERR_BAD_INPUT, "is set but has no item; unset it or name one");
    return ERR_OK;
}

/* Texts */

static enum err append(struct config_list *list, struct span item) {
    char **items = realloc(list->items, (list->count + 1) * sizeof *items);
    if (items == NULL)
        return ERR_NO_MEMORY;
    list->items = items;
    char *copy = malloc(item.n + 1);
    if (copy == NULL)
        return ERR_NO_MEMORY;
    memcpy(copy, item.p, item.n);
    copy[item.n] = '\0';
    items[list->count++] = copy;
    return ERR_OK;
}

struct texts {
    struct config_list *list;
    bool (*is_good)(struct span s);
};

static enum err take_text(void *context, struct span item) {
    const struct texts *t = context;
    return t->is_good(item) ? append(t->list, item) : ERR_BAD_INPUT;
}

enum err lists_read(struct span value, bool (*is_good)(struct span), const char *rule,
                    struct config_list *list, struct error *error) {
    struct texts t = {list, is_good};
    return for_each(value, rule, take_text, &t, error);
}

void lists_print(const struct config_list *list, struct buf *out) {
    for (size_t i = 0; i < list->count; i++)
        buf_append_format(out, "%s%s", i == 0 ? "" : ",", list->items[i]);
}

void lists_done(struct config_list *list) {
    for (size_t i = 0; i < list->count; i++)
        secret_free(list->items[i]);
    free(list->items);
    *list = (struct config_list){NULL, 0};
}

/* Origins */

static bool is_scheme(struct span s) {
    if (s.n == 0 || s.n > ORIGIN_SCHEME_MAX_BYTES || s.p[0] < 'a' || s.p[0] > 'z')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && !(s.p[i] >= '0' && s.p[i] <= '9') &&
            s.p[i] != '+' && s.p[i] != '-' && s.p[i] != '.')
            return false;
    return true;
}

/* Host and port obey one rule whatever the scheme (an extension's origin has one of its own); only
 * http and https have a port that browsers leave out. */
static enum err normalise(struct span lower, struct buf *out) {
    struct span scheme = {lower.p, span_find(lower, ':')};
    struct span rest = span_from(lower, scheme.n);
    struct url_endpoint endpoint;
    bool web = span_eq(scheme, SPAN("http")) || span_eq(scheme, SPAN("https"));
    if (!is_scheme(scheme) || !span_starts(rest, SPAN("://")) || span_ends(rest, SPAN("/")))
        return ERR_BAD_INPUT;
    buf_append_text(out, web ? "" : "http");
    buf_append(out, web ? lower : rest);
    enum err e = buf_error(out);
    if (e == ERR_OK)
        e = url_parse_endpoint(buf_span(out), &endpoint);
    buf_clear(out);
    if (e == ERR_OK && web)
        url_append_origin(out, &endpoint);
    else
        buf_append(out, lower);
    return e == ERR_OK ? buf_error(out) : e;
}

static enum err take_origin(void *context, struct span item) {
    struct buf lower;
    struct buf origin;
    if (item.n > ORIGIN_MAX_BYTES)
        return ERR_BAD_INPUT;
    buf_init(&lower, ORIGIN_MAX_BYTES);
    buf_init(&origin, ORIGIN_MAX_BYTES + 4); /* "http" may stand in for the scheme */
    for (size_t i = 0; i < item.n; i++) {
        char c = item.p[i];
        buf_append_byte(&lower, c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c);
    }
    enum err e = buf_error(&lower);
    if (e == ERR_OK)
        e = normalise(buf_span(&lower), &origin);
    if (e == ERR_OK)
        e = append(context, buf_span(&origin));
    buf_done(&lower);
    buf_done(&origin);
    return e;
}

enum err lists_read_origins(struct span value, bool *any, struct config_list *list,
                            struct error *error) {
    *any = span_eq(span_trim(value), SPAN("*"));
    return *any ? ERR_OK : for_each(value, ORIGIN_RULE, take_origin, list, error);
}

/* CIDRs */

static bool parse_cidr(struct span item, struct config_cidr *cidr) {
    char address[INET6_ADDRSTRLEN];
    size_t n = span_find(item, '/');
    if (n == 0 || n >= sizeof address || memchr(item.p, '\0', n) != NULL)
        return false;
    memcpy(address, item.p, n);
    address[n] = '\0';
    memcpy(cidr->address, mapped, sizeof mapped);
    bool v4 = inet_pton(AF_INET, address, cidr->address + sizeof mapped) == 1;
    if (!v4 && inet_pton(AF_INET6, address, cidr->address) != 1)
        return false;
    uint64_t bits = v4 ? 32 : 128;
    if (n < item.n && (!span_to_u64(span_from(item, n + 1), &bits) || bits > (v4 ? 32 : 128)))
        return false;
    cidr->prefix_bits = (unsigned)bits + (v4 ? CIDR_V4_BITS : 0);
    return true;
}

static void clear_host_bits(struct config_cidr *cidr) {
    for (unsigned i = 0; i < sizeof cidr->address; i++) {
        unsigned kept = cidr->prefix_bits <= i * 8 ? 0 : cidr->prefix_bits - i * 8;
        if (kept < 8)
            cidr->address[i] &= (unsigned char)(0xFF00u >> kept);
    }
}

struct cidrs {
    struct config_cidr **items;
    size_t *count;
};

static enum err take_cidr(void *context, struct span item) {
    const struct cidrs *l = context;
    struct config_cidr cidr;
    if (!parse_cidr(item, &cidr))
        return ERR_BAD_INPUT;
    clear_host_bits(&cidr);
    struct config_cidr *items = realloc(*l->items, (*l->count + 1) * sizeof *items);
    if (items == NULL)
        return ERR_NO_MEMORY;
    items[(*l->count)++] = cidr;
    *l->items = items;
    return ERR_OK;
}

enum err lists_read_cidrs(struct span value, struct config_cidr **items, size_t *count,
                          struct error *error) {
    struct cidrs l = {items, count};
    return for_each(value, "must be an address or a CIDR like 10.0.0.0/8 or 2001:db8::/32",
                    take_cidr, &l, error);
}

void lists_print_cidrs(const struct config_cidr *items, size_t count, struct buf *out) {
    for (size_t i = 0; i < count; i++) {
        char text[INET6_ADDRSTRLEN] = "";
        const struct config_cidr *c = &items[i];
        bool v4 = c->prefix_bits >= CIDR_V4_BITS && memcmp(c->address, mapped, sizeof mapped) == 0;
        (void)inet_ntop(v4 ? AF_INET : AF_INET6, c->address + (v4 ? sizeof mapped : 0), text,
                        sizeof text);
        buf_append_format(out, "%s%s/%u", i == 0 ? "" : ",", text,
                          c->prefix_bits - (v4 ? CIDR_V4_BITS : 0));
    }
}

#include "settings.h"

#include "fileservice/base/secret.h"

#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

static void *field_of(const struct setting *s, struct config *c) { return (char *)c + s->offset; }

static const void *field_in(const struct setting *s, const struct config *c) {
    return (const char *)c + s->offset;
}

/* Numbers, enums and bools: fields of 1, 2, 4 or 8 bytes. */

static void store(const struct setting *s, struct config *c, uint64_t value) {
    void *field = field_of(s, c);
    switch (s->size) {
    case 1:
        *(uint8_t *)field = (uint8_t)value;
        break;
    case 2:
        *(uint16_t *)field = (uint16_t)value;
        break;
    case 4:
        *(uint32_t *)field = (uint32_t)value;
        break;
    default:
        *(uint64_t *)field = value;
    }
}

static uint64_t load(const struct setting *s, const struct config *c) {
    const void *field = field_in(s, c);
    switch (s->size) {
    case 1:
        return *(const uint8_t *)field;
    case 2:
        return *(const uint16_t *)field;
    case 4:
        return *(const uint32_t *)field;
    default:
        return *(const uint64_t *)field;
    }
}

static enum err read_number(const struct setting *s, struct span value, struct config *c,
                            struct error *error) {
    uint64_t number = 0;
    if (!span_to_u64(value, &number) || number < s->min || number > s->max)
        return error_set(error, ERR_BAD_INPUT, "must be a whole number from %llu to %llu",
                         (unsigned long long)s->min, (unsigned long long)s->max);
    store(s, c, number);
    return ERR_OK;
}

static enum err read_word(const struct setting *s, struct span value, struct config *c,
                          struct error *error) {
    struct buf all;
    buf_init(&all, SETTING_DEFAULT_MAX_BYTES);
    for (const struct setting_word *w = s->words; w->word != NULL; w++) {
        if (span_eq_nocase(value, span_of(w->word))) {
            store(s, c, w->value);
            buf_done(&all);
            return ERR_OK;
        }
        buf_append_format(&all, "%s%s", all.n == 0 ? "" : ", ", w->word);
    }
    enum err e = error_set(error, ERR_BAD_INPUT, "must be one of %s", buf_text(&all));
    if (buf_error(&all) != ERR_OK)
        e = ERR_NO_MEMORY;
    buf_done(&all);
    return e;
}

static void print_word(const struct setting *s, const struct config *c, struct buf *out) {
    const struct setting_word *w = s->words;
    uint64_t value = load(s, c);
    while (w->word != NULL && w->value != value)
        w++;
    buf_append_text(out, w->word);
}

static enum err read_text(const struct setting *s, struct span value, struct config *c,
                          struct error *error) {
    if (!s->is_good(value))
        return error_set(error, ERR_BAD_INPUT, "%s", s->rule);
    char *copy = malloc(value.n + 1);
    if (copy == NULL)
        return ERR_NO_MEMORY;
    memcpy(copy, value.p, value.n);
    copy[value.n] = '\0';
    *(char **)field_of(s, c) = copy;
    return ERR_OK;
}

static enum err read_endpoint(const struct setting *s, struct span value, struct config *c,
                              struct error *error) {
    if (url_parse_endpoint(value, field_of(s, c)) != ERR_OK)
        return error_set(error, ERR_BAD_INPUT,
                         "must be http://host[:port] or https://host[:port], without user, path or "
                         "query");
    return ERR_OK;
}

enum err setting_read(const struct setting *s, struct span value, struct config *c,
                      struct error *error) {
    switch (s->kind) {
    case SETTING_TEXT:
        return read_text(s, value, c, error);
    case SETTING_NUMBER:
        return read_number(s, value, c, error);
    case SETTING_WORD:
        return read_word(s, value, c, error);
    case SETTING_ENDPOINT:
        return read_endpoint(s, value, c, error);
    case SETTING_LIST:
        return lists_read(value, s->is_good, s->rule, field_of(s, c), error);
    case SETTING_ORIGINS:
        return lists_read_origins(value, &c->cors_any, &c->cors_origins, error);
    case SETTING_CIDRS:
        return lists_read_cidrs(value, &c->trusted_proxies, &c->trusted_proxy_count, error);
    }
    return error_set(error, ERR_INTERNAL, "is of no kind");
}

static bool is_set(const struct setting *s, const struct config *c) {
    if (s->kind == SETTING_LIST)
        return ((const struct config_list *)field_in(s, c))->count > 0;
    return *(char *const *)field_in(s, c) != NULL;
}

void setting_print(const struct setting *s, const struct config *c, struct buf *out) {
    if (s->secret) {
        buf_append_text(out, is_set(s, c) ? "<hidden>" : "");
        return;
    }
    switch (s->kind) {
    case SETTING_TEXT:
        buf_append_text(out, *(char *const *)field_in(s, c));
        break;
    case SETTING_NUMBER:
        buf_append_u64(out, load(s, c));
        break;
    case SETTING_WORD:
        print_word(s, c, out);
        break;
    case SETTING_ENDPOINT:
        url_append_origin(out, field_in(s, c));
        break;
    case SETTING_LIST:
        lists_print(field_in(s, c), out);
        break;
    case SETTING_ORIGINS:
        buf_append_text(out, c->cors_any ? "*" : "");
        lists_print(&c->cors_origins, out);
        break;
    case SETTING_CIDRS:
        lists_print_cidrs(c->trusted_proxies, c->trusted_proxy_count, out);
        break;
    }
}

void setting_done(const struct setting *s, struct config *c) {
    switch (s->kind) {
    case SETTING_TEXT:
        secret_free(*(char **)field_of(s, c));
        break;
    case SETTING_LIST:
    case SETTING_ORIGINS:
        lists_done(field_of(s, c));
        break;
    case SETTING_CIDRS:
        free(c->trusted_proxies);
        c->trusted_proxy_count = 0;
        break;
    case SETTING_NUMBER:
    case SETTING_WORD:
    case SETTING_ENDPOINT:
        break;
    }
    memset(field_of(s, c), 0, s->size);
}

#include "settings.h"

#include <string.h>

#include "fileservice/base/banned.h"

#define MIB UINT64_C(1048576)

/* One reading of the settings. */
struct reading {
    const struct config_source *source;
    struct config config; /* so far */
    struct buf *faults;
    bool faulty;
    bool no_memory;
};

static void take_result(struct reading *r, const char *name, enum err e,
                        const struct error *error) {
    r->no_memory = r->no_memory || e == ERR_NO_MEMORY;
    if (e == ERR_OK || e == ERR_NO_MEMORY)
        return;
    r->faulty = true;
    buf_append_format(r->faults, "%s: %s\n", name, error->message);
}

/* The value of a setting and the name that gave it; an empty span when unset. */
static struct span lookup(const struct reading *r, const struct setting *s, const char **name) {
    *name = s->name;
    struct span value = span_of(r->source->get(r->source->context, s->name));
    if (value.n > 0 || s->other_name == NULL)
        return value;
    struct span other = span_of(r->source->get(r->source->context, s->other_name));
    if (other.n > 0)
        *name = s->other_name;
    return other;
}

static bool is_set(const struct reading *r, const char *setting) {
    const char *name = NULL;
    return lookup(r, settings_find(setting), &name).n > 0;
}

static enum err read_default(const struct reading *r, const struct setting *s, struct config *c,
                             struct error *error) {
    struct buf text;
    if (s->required)
        return error_set(error, ERR_BAD_INPUT, "is required and %s", s->rule);
    buf_init(&text, SETTING_DEFAULT_MAX_BYTES);
    buf_append_text(&text, s->initial);
    if (s->derive != NULL)
        s->derive(c, r->source->cpus, &text);
    enum err e = buf_error(&text);
    if (e == ERR_OK && (s->initial != NULL || text.n > 0))
        e = setting_read(s, buf_span(&text), c, error);
    buf_done(&text);
    return e;
}

static void read_setting(struct reading *r, const struct setting *s) {
    const char *name = NULL;
    struct error error = {0};
    struct span value = lookup(r, s, &name);
    enum err e = ERR_OK;
    if (value.n == 0)
        e = read_default(r, s, &r->config, &error);
    else if (value.n > SETTING_VALUE_MAX_BYTES)
        e = error_set(&error, ERR_BAD_INPUT, "must have at most %d bytes", SETTING_VALUE_MAX_BYTES);
    else
        e = setting_read(s, value, &r->config, &error);
    take_result(r, name, e, &error);
}

/* What no single row can say. A number is 0 where its own row already has a fault. */

static enum err explain_file(enum err e, struct error *error) {
    if (e == ERR_NOT_FOUND)
        return error_set(error, e, "there is no such file");
    if (e == ERR_LIMIT)
        return error_set(error, e, "the file must have at most %d bytes", SETTING_VALUE_MAX_BYTES);
    return error_set(error, e, "the file cannot be read");
}

/* Adds the keys of the file to those of the variable. */
static void read_keys_file(struct reading *r) {
    struct error error = {0};
    struct buf text;
    const struct setting *keys = settings_find("API_KEYS");
    if (r->config.api_keys_file == NULL)
        return;
    buf_init(&text, SETTING_VALUE_MAX_BYTES);
    enum err e = r->source->read_file(r->source->context, r->config.api_keys_file, &text);
    if (e != ERR_OK)
        e = explain_file(e, &error);
    else
        e = setting_read(keys, buf_span(&text), &r->config, &error);
    buf_done_secret(&text);
    take_result(r, "API_KEYS_FILE", e, &error);
}

static void check_key_pair(struct reading *r, const char *name, const char *other) {
    struct error error = {0};
    if (is_set(r, name) || !is_set(r, other))
        return;
    enum err e = error_set(&error, ERR_BAD_INPUT, "must be set because %s is set", other);
    take_result(r, name, e, &error);
}

static void check_part(struct reading *r) {
    struct error error = {0};
    uint64_t part = r->config.upload_part_bytes;
    uint64_t memory = r->config.upload_memory_bytes;
    if (part == 0 || memory == 0 || part <= memory / 4)
        return;
    enum err e =
        error_set(&error, ERR_BAD_INPUT, "must be at most %llu, a quarter of UPLOAD_MEMORY_BYTES",
                  (unsigned long long)(memory / 4));
    take_result(r, "UPLOAD_PART_BYTES", e, &error);
}

/* The largest upload, which one of unknown length counts as, is cut into CONFIG_PARTS_MAX parts of
 * whole MiB; such a part must find room. Then the parts of every upload do: shorter ones have smaller
 * parts, and a longer one is refused before its first byte. */
static void check_largest_upload(struct reading *r) {
    struct error error = {0};
    uint64_t max = r->config.upload_max_bytes;
    uint64_t memory = r->config.upload_memory_bytes;
    uint64_t least = max / CONFIG_PARTS_MAX + (max % CONFIG_PARTS_MAX != 0);
    uint64_t part = (least + MIB - 1) / MIB * MIB;
    uint64_t most = memory / 4 / MIB * MIB * CONFIG_PARTS_MAX;
    uint64_t needed = part * 4;
    if (max == 0 || memory == 0 || part <= memory / 4)
        return;
    enum err e = error_set(
        &error, ERR_BAD_INPUT,
        "an upload of that size in %d parts needs parts of %llu bytes, more than a quarter of "
        "UPLOAD_MEMORY_BYTES; must be at most %llu, or UPLOAD_MEMORY_BYTES at least %llu",
        CONFIG_PARTS_MAX, (unsigned long long)part, (unsigned long long)most,
        (unsigned long long)needed);
    take_result(r, "UPLOAD_MAX_BYTES", e, &error);
}

static void check_shutdown(struct reading *r) {
    struct error error = {0};
    uint32_t timeout = r->config.shutdown_timeout_s;
    if (timeout == 0 || r->config.shutdown_delay_s <= timeout)
        return;
    enum err e = error_set(&error, ERR_BAD_INPUT,
                           "must be at most SHUTDOWN_TIMEOUT_SECONDS, which is %u", timeout);
    take_result(r, "SHUTDOWN_DELAY_SECONDS", e, &error);
}

static void check_together(struct reading *r) {
    read_keys_file(r);
    check_key_pair(r, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY");
    check_key_pair(r, "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID");
    check_part(r);
    check_largest_upload(r);
    check_shutdown(r);
    r->config.s3_endpoint_custom = is_set(r, "AWS_S3_ENDPOINT");
    r->config.s3_public_endpoint_custom = is_set(r, "AWS_S3_PUBLIC_ENDPOINT");
}

enum err config_read(const struct config_source *source, struct config *ret, struct buf *faults) {
    struct reading r = {.source = source, .faults = faults};
    for (size_t i = 0; i < settings_count; i++)
        read_setting(&r, &settings[i]);
    check_together(&r);
    r.no_memory = r.no_memory || buf_error(faults) == ERR_NO_MEMORY;
    if (!r.no_memory && !r.faulty) {
        *ret = r.config;
        return ERR_OK;
    }
    config_done(&r.config);
    return r.no_memory ? ERR_NO_MEMORY : ERR_BAD_INPUT;
}

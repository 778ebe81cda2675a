/* Static keys of a profile in ~/.aws/credentials or ~/.aws/config.
 * Source: AWS SDK reference, "Shared config and credentials files". */
#include "provider.h"

#include "fileservice/base/file.h"

#include <string.h>

#include "fileservice/base/banned.h"

#define PROFILE_FILE_MAX_BYTES 1048576
#define PROFILE_PATH_MAX_BYTES 4096

/* The keys of one profile, borrowed from the file's text. */
struct keys {
    struct span id;
    struct span secret;
    struct span token;
};

static const char *profile_name(const struct credentials_options *options) {
    const char *name = provider_get(options, "AWS_PROFILE");
    return name != NULL ? name : "default";
}

/* "[name]" and "[profile name]" both; in the credentials file only the first is written, in the
 * config file the second, but for default. */
static bool is_section(struct span line, const char *name) {
    line.n -= 1;
    line = span_trim(span_from(line, 1));
    if (span_starts(line, SPAN("profile ")))
        line = span_trim(span_from(line, 8));
    return span_eq(line, span_of(name));
}

static void read_line(struct span line, struct keys *keys) {
    size_t at = span_find(line, '=');
    struct span name = span_trim((struct span){line.p, at});
    struct span value = span_trim(span_from(line, at + 1));
    if (at == line.n)
        return;
    if (span_eq_nocase(name, SPAN("aws_access_key_id")))
        keys->id = value;
    else if (span_eq_nocase(name, SPAN("aws_secret_access_key")))
        keys->secret = value;
    else if (span_eq_nocase(name, SPAN("aws_session_token")))
        keys->token = value;
}

static struct keys read_keys(struct span text, const char *profile) {
    struct keys keys = {.id = {NULL, 0}};
    struct span line;
    bool inside = false;
    while (span_cut(&text, '\n', &line)) {
        bool indented = line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t');
        line = span_trim(line);
        if (line.n == 0 || line.p[0] == '#' || line.p[0] == ';')
            continue;
        if (line.n > 2 && line.p[0] == '[' && line.p[line.n - 1] == ']')
            inside = is_section(line, profile);
        else if (inside && !indented) /* an indented line belongs to a nested setting */
            read_line(line, &keys);
    }
    return keys;
}

static void append_path(const struct credentials_options *options, const char *variable,
                        const char *file, struct buf *path) {
    const char *given = provider_get(options, variable);
    const char *home = provider_get(options, "HOME");
    if (given != NULL)
        buf_append_text(path, given);
    else if (home != NULL)
        buf_append_format(path, "%s/.aws/%s", home, file);
}

/* Appends the file's text and finds the keys in it; a file that is not there has none. */
static enum err search(const struct credentials_options *options, const char *variable,
                       const char *file, struct buf *text, struct keys *keys, struct error *error) {
    struct buf path;
    buf_init(&path, PROFILE_PATH_MAX_BYTES);
    append_path(options, variable, file, &path);
    enum err e = buf_error(&path);
    if (e == ERR_OK)
        e = path.n == 0 ? ERR_NOT_FOUND : file_read(buf_text(&path), text);
    if (e == ERR_OK)
        *keys = read_keys(buf_span(text), profile_name(options));
    if (e == ERR_NOT_FOUND && provider_get(options, variable) == NULL)
        e = ERR_OK;
    else if (e != ERR_OK)
        error_set(error, ERR_CREDENTIALS, "%s cannot be read", buf_text(&path));
    buf_done(&path);
    return e == ERR_OK ? ERR_OK : ERR_CREDENTIALS;
}

/* Both files; the credentials file wins. `text` keeps what `keys` points at. */
static enum err read_files(const struct credentials_options *options, struct buf *text,
                           struct keys *keys, struct error *error) {
    memset(keys, 0, sizeof *keys);
    enum err e = search(options, "AWS_SHARED_CREDENTIALS_FILE", "credentials", text, keys, error);
    if (e != ERR_OK || keys->id.n > 0 || keys->secret.n > 0)
        return e;
    buf_clear(text);
    return search(options, "AWS_CONFIG_FILE", "config", text, keys, error);
}

/* Gives the profile's keys in `*ret`, or NULL there when it has none and nobody asked for it. */
static enum err load(const struct credentials_options *options, struct credentials **ret,
                     struct error *error) {
    struct buf text;
    struct keys keys;
    *ret = NULL;
    buf_init(&text, PROFILE_FILE_MAX_BYTES);
    enum err e = read_files(options, &text, &keys, error);
    if (e == ERR_OK && (keys.id.n > 0) != (keys.secret.n > 0)) {
        e = error_set(error, ERR_CREDENTIALS, "the profile %s has one key of two",
                      profile_name(options));
    } else if (e == ERR_OK && keys.id.n > 0) {
        *ret = credentials_new(keys.id, keys.secret, keys.token, CREDENTIALS_NEVER);
        if (*ret == NULL)
            e = error_set(error, ERR_NO_MEMORY, "no memory for credentials");
    } else if (e == ERR_OK && provider_get(options, "AWS_PROFILE") != NULL) {
        e = error_set(error, ERR_CREDENTIALS,
                      "the profile %s (AWS_PROFILE) has no aws_access_key_id; roles, SSO and "
                      "processes of profiles are not read",
                      profile_name(options));
    }
    buf_done_secret(&text);
    return e;
}

static enum err find(const struct credentials_options *options, bool *found, struct error *error) {
    struct credentials *c;
    enum err e = load(options, &c, error);
    *found = e != ERR_OK || c != NULL;
    credentials_unref(c);
    return e;
}

static enum err fetch(const struct credentials_options *options, struct fetcher *fetcher,
                      struct credentials **ret, struct error *error) {
    struct credentials *c;
    (void)fetcher;
    enum err e = load(options, &c, error);
    if (e == ERR_OK && c == NULL)
        e = error_set(error, ERR_CREDENTIALS, "the profile %s is gone", profile_name(options));
    if (e == ERR_OK)
        *ret = c;
    return e;
}

const struct provider provider_profile = {"profile", find, fetch};

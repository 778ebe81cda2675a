#include "provider.h"

#include "fileservice/base/clock.h"

#include <jansson.h>
#include <string.h>

#include "fileservice/base/banned.h"

const char *provider_get(const struct credentials_options *options, const char *name) {
    const char *value = options->get(options->context, name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

enum err provider_fetch(struct fetcher *fetcher, const struct provider_request *request,
                        int *status, struct buf *answer, struct error *error) {
    struct transport_request r = {
        .method = request->method,
        .url = request->url,
        .headers = request->headers,
        .header_count = request->header_count,
        .body = &request->body,
        .body_count = request->has_body ? 1 : 0,
        .has_body = request->has_body,
        .connect_ms = request->timeout_ms,
        .silence_ms = request->timeout_ms,
    };
    return fetcher_run(fetcher, &r, request->timeout_ms, status, answer, error);
}

static struct span member(const json_t *object, const char *name) {
    const json_t *value = json_object_get(object, name);
    return (struct span){json_string_value(value), json_string_length(value)};
}

/* Text (RFC 3339) from endpoints, seconds since 1970 from STS. */
static bool read_expiration(const json_t *object, int64_t *ret) {
    const json_t *value = json_object_get(object, "Expiration");
    if (value == NULL) {
        *ret = CREDENTIALS_NEVER;
        return true;
    }
    if (json_is_number(value)) {
        double s = json_number_value(value);
        if (!(s >= 0 && s < 1e12))
            return false;
        *ret = (int64_t)(s * 1000);
        return true;
    }
    return json_is_string(value) && clock_parse_rfc3339(member(object, "Expiration"), ret);
}

enum err provider_read_object(const char *who, const void *object, struct credentials **ret,
                              struct error *error) {
    struct span id = member(object, "AccessKeyId");
    struct span secret = member(object, "SecretAccessKey");
    struct span token = member(object, "Token");
    int64_t expires_ms;
    if (token.n == 0)
        token = member(object, "SessionToken");
    if (id.n == 0 || secret.n == 0 || !read_expiration(object, &expires_ms))
        return error_set(error, ERR_CREDENTIALS, "%s gave no credentials", who);
    if (id.n > CREDENTIALS_FIELD_MAX_BYTES || secret.n > CREDENTIALS_FIELD_MAX_BYTES ||
        token.n > CREDENTIALS_FIELD_MAX_BYTES)
        return error_set(error, ERR_CREDENTIALS, "%s gave credentials that are too long", who);
    struct credentials *c = credentials_new(id, secret, token, expires_ms);
    if (c == NULL)
        return error_set(error, ERR_NO_MEMORY, "no memory for credentials");
    *ret = c;
    return ERR_OK;
}

enum err provider_read_json(const char *who, struct span text, struct credentials **ret,
                            struct error *error) {
    json_t *object = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    if (object == NULL)
        return error_set(error, ERR_CREDENTIALS, "%s gave an answer that is not JSON", who);
    enum err e = provider_read_object(who, object, ret, error);
    json_decref(object);
    return e;
}

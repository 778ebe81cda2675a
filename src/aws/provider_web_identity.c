/* A token of an identity provider, exchanged at STS for credentials of a role.
 * Source: STS API reference, AssumeRoleWithWebIdentity. */
#include "provider.h"

#include "fileservice/base/file.h"
#include "fileservice/base/url.h"

#include <jansson.h>
#include <string.h>

#include "fileservice/base/banned.h"

#define WEB_IDENTITY_TIMEOUT_MS 5000
#define WEB_IDENTITY_SESSION "fileservice"
#define WEB_IDENTITY_WHO "STS"

static enum err find(const struct credentials_options *options, bool *found, struct error *error) {
    const char *file = provider_get(options, "AWS_WEB_IDENTITY_TOKEN_FILE");
    *found = file != NULL;
    if (file != NULL && provider_get(options, "AWS_ROLE_ARN") == NULL)
        return error_set(error, ERR_CREDENTIALS,
                         "AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not");
    return ERR_OK;
}

static enum err make_url(const struct credentials_options *options, struct buf *url) {
    const char *endpoint = provider_get(options, "AWS_ENDPOINT_URL_STS");
    if (endpoint != NULL)
        buf_append_text(url, endpoint);
    else
        buf_append_format(url, "https://sts.%s.amazonaws.com%s", options->region,
                          strncmp(options->region, "cn-", 3) == 0 ? ".cn" : "");
    if (!span_ends(buf_span(url), SPAN("/")))
        buf_append_byte(url, '/');
    return buf_error(url);
}

static void append_field(struct buf *form, const char *name, struct span value) {
    buf_append_text(form, name);
    url_encode(form, value, false);
}

static enum err make_form(const struct credentials_options *options, struct buf *form,
                          struct error *error) {
    const char *session = provider_get(options, "AWS_ROLE_SESSION_NAME");
    struct buf token;
    buf_init(&token, PROVIDER_ANSWER_MAX_BYTES);
    enum err e = file_read(provider_get(options, "AWS_WEB_IDENTITY_TOKEN_FILE"), &token);
    buf_append_text(form, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15");
    append_field(form, "&RoleArn=", span_of(provider_get(options, "AWS_ROLE_ARN")));
    append_field(form,
                 "&RoleSessionName=", span_of(session != NULL ? session : WEB_IDENTITY_SESSION));
    append_field(form, "&WebIdentityToken=", span_trim(buf_span(&token)));
    if (e != ERR_OK)
        e = error_set(error, ERR_CREDENTIALS, "AWS_WEB_IDENTITY_TOKEN_FILE cannot be read");
    else if (buf_error(form) != ERR_OK)
        e = error_set(error, buf_error(form), "the web identity token is too long");
    buf_done_secret(&token);
    return e;
}

static enum err read_answer(int status, struct span text, struct credentials **ret,
                            struct error *error) {
    json_t *root = json_loadb(text.p, text.n, 0, NULL);
    const json_t *o = json_object_get(root, "AssumeRoleWithWebIdentityResponse");
    o = json_object_get(o, "AssumeRoleWithWebIdentityResult");
    o = json_object_get(o, "Credentials");
    const char *code = json_string_value(json_object_get(json_object_get(root, "Error"), "Code"));
    enum err e;
    if (status == 200)
        e = provider_read_object(WEB_IDENTITY_WHO, o, ret, error);
    else
        e = error_set(error, ERR_CREDENTIALS, WEB_IDENTITY_WHO " answered with status %d %s",
                      status, code != NULL ? code : "");
    json_decref(root);
    return e;
}

static enum err fetch(const struct credentials_options *options, struct fetcher *fetcher,
                      struct credentials **ret, struct error *error) {
    struct buf url;
    struct buf form;
    struct buf answer;
    int status = 0;
    buf_init(&url, PROVIDER_URL_MAX_BYTES);
    buf_init(&form, (size_t)4 * PROVIDER_ANSWER_MAX_BYTES);
    buf_init(&answer, PROVIDER_ANSWER_MAX_BYTES);
    enum err e = make_url(options, &url);
    if (e != ERR_OK)
        error_set(error, e, "the URL of STS is too long");
    if (e == ERR_OK)
        e = make_form(options, &form, error);
    if (e == ERR_OK) {
        const char *headers[] = {"Accept: application/json",
                                 "Content-Type: application/x-www-form-urlencoded"};
        struct provider_request request = {
            .method = "POST",
            .url = buf_text(&url),
            .headers = headers,
            .header_count = 2,
            .body = buf_span(&form),
            .has_body = true,
            .timeout_ms = WEB_IDENTITY_TIMEOUT_MS,
        };
        e = provider_fetch(fetcher, &request, &status, &answer, error);
    }
    if (e == ERR_OK)
        e = read_answer(status, buf_span(&answer), ret, error);
    buf_done(&url);
    buf_done_secret(&form);
    buf_done_secret(&answer);
    return e;
}

const struct provider provider_web_identity = {"web identity", find, fetch};

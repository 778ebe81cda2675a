/* Credentials of an ECS task or of EKS Pod Identity.
 * Source: AWS SDK reference, "Container credential provider". */
#include "provider.h"

#include "fileservice/base/file.h"
#include "fileservice/base/url.h"

#include <string.h>

#include "fileservice/base/banned.h"

#define CONTAINER_HOST "http://169.254.170.2"
#define CONTAINER_TIMEOUT_MS 2000
#define CONTAINER_WHO "the container's credentials endpoint"

/* Over plain http only to addresses that do not leave the machine or its hypervisor: the request
 * carries a token. */
static bool may_be_plain(const char *host) {
    static const char *const hosts[] = {"localhost", "[::1]", "169.254.170.2", "169.254.170.23",
                                        "[fd00:ec2::23]"};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        if (strcmp(host, hosts[i]) == 0)
            return true;
    /* 127.0.0.0/8, and no name that only begins like it */
    return strncmp(host, "127.", 4) == 0 && host[strspn(host, "0123456789.")] == '\0';
}

static bool is_allowed(struct span url) {
    struct url_endpoint e;
    size_t scheme = span_starts(url, SPAN("https://")) ? 8 : 7;
    struct span host = {url.p, scheme + span_find(span_from(url, scheme), '/')};
    if (url.n < scheme || url_parse_endpoint(host, &e) != ERR_OK)
        return false;
    for (size_t i = 0; i < url.n; i++)
        if ((unsigned char)url.p[i] <= ' ' || (unsigned char)url.p[i] >= 0x7F)
            return false;
    return e.tls || may_be_plain(e.host);
}

static enum err make_url(const struct credentials_options *options, struct buf *url,
                         struct error *error) {
    const char *relative = provider_get(options, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = provider_get(options, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (relative != NULL && relative[0] != '/')
        return error_set(error, ERR_CREDENTIALS,
                         "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI must begin with /");
    if (relative != NULL)
        buf_append_text(url, CONTAINER_HOST);
    buf_append_text(url, relative != NULL ? relative : full);
    if (buf_error(url) != ERR_OK)
        return error_set(error, buf_error(url), "the URL of %s is too long", CONTAINER_WHO);
    if (!is_allowed(buf_span(url)))
        return error_set(
            error, ERR_CREDENTIALS,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or http to this machine");
    return ERR_OK;
}

/* "Authorization: …", read anew each time: the file is rotated. Empty when there is none. */
static enum err make_authorization(const struct credentials_options *options, struct buf *header,
                                   struct error *error) {
    const char *path = provider_get(options, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *token = provider_get(options, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
    if (path == NULL && token == NULL)
        return ERR_OK;
    buf_append_text(header, "Authorization: ");
    size_t before = header->n;
    if (path == NULL)
        buf_append_text(header, token);
    else if (file_read(path, header) != ERR_OK)
        return error_set(error, ERR_CREDENTIALS,
                         "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE cannot be read");
    if (buf_error(header) == ERR_OK && span_ends(buf_span(header), SPAN("\n")))
        header->p[--header->n] = '\0';
    struct span value = span_from(buf_span(header), before);
    if (buf_error(header) != ERR_OK || value.n == 0 || span_find(value, '\n') < value.n ||
        span_find(value, '\r') < value.n || span_find(value, '\0') < value.n)
        return error_set(error, ERR_CREDENTIALS,
                         "the container's authorization token is not one line");
    return ERR_OK;
}

static enum err find(const struct credentials_options *options, bool *found, struct error *error) {
    struct buf url;
    *found = provider_get(options, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != NULL ||
             provider_get(options, "AWS_CONTAINER_CREDENTIALS_FULL_URI") != NULL;
    if (!*found)
        return ERR_OK;
    buf_init(&url, PROVIDER_URL_MAX_BYTES);
    enum err e = make_url(options, &url, error);
    buf_done(&url);
    return e;
}

static enum err fetch(const struct credentials_options *options, struct fetcher *fetcher,
                      struct credentials **ret, struct error *error) {
    struct buf url;
    struct buf authorization;
    struct buf answer;
    int status = 0;
    buf_init(&url, PROVIDER_URL_MAX_BYTES);
    buf_init(&authorization, PROVIDER_ANSWER_MAX_BYTES);
    buf_init(&answer, PROVIDER_ANSWER_MAX_BYTES);
    enum err e = make_url(options, &url, error);
    if (e == ERR_OK)
        e = make_authorization(options, &authorization, error);
    if (e == ERR_OK) {
        const char *headers[] = {"Accept: application/json", buf_text(&authorization)};
        struct provider_request request = {
            .method = "GET",
            .url = buf_text(&url),
            .headers = headers,
            .header_count = authorization.n > 0 ? 2 : 1,
            .timeout_ms = CONTAINER_TIMEOUT_MS,
        };
        e = provider_fetch(fetcher, &request, &status, &answer, error);
    }
    if (e == ERR_OK && status != 200)
        e = error_set(error, ERR_CREDENTIALS, CONTAINER_WHO " answered with status %d", status);
    if (e == ERR_OK)
        e = provider_read_json(CONTAINER_WHO, buf_span(&answer), ret, error);
    buf_done(&url);
    buf_done_secret(&authorization);
    buf_done_secret(&answer);
    return e;
}

const struct provider provider_container = {"container", find, fetch};

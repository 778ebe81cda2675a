/* Credentials of an EC2 instance's role, by version 2 of its metadata service.
 * Source: EC2 user guide, "Use the Instance Metadata Service"; AWS SDK reference, "IMDS". */
#include "provider.h"

#include <string.h>

#include "fileservice/base/banned.h"

#define IMDS_HOST "http://169.254.169.254"
#define IMDS_HOST_IPV6 "http://[fd00:ec2::254]"
#define IMDS_TIMEOUT_MS 1000
#define IMDS_ROLES "/latest/meta-data/iam/security-credentials/"
#define IMDS_WHO "instance metadata"
#define IMDS_TOKEN_MAX_BYTES 1024

static enum err find(const struct credentials_options *options, bool *found, struct error *error) {
    const char *disabled = provider_get(options, "AWS_EC2_METADATA_DISABLED");
    (void)error;
    *found = disabled == NULL || !span_eq_nocase(span_of(disabled), SPAN("true"));
    return ERR_OK;
}

static const char *host_of(const struct credentials_options *options) {
    const char *endpoint = provider_get(options, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
    const char *mode = provider_get(options, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    if (endpoint != NULL)
        return endpoint;
    return mode != NULL && span_eq_nocase(span_of(mode), SPAN("IPv6")) ? IMDS_HOST_IPV6 : IMDS_HOST;
}

/* One call below the service's host; the answer must have status 200. */
static enum err ask(const struct credentials_options *options, struct fetcher *fetcher,
                    const char *method, const char *header, const char *path, const char *tail,
                    struct buf *answer, struct error *error) {
    struct buf url;
    int status = 0;
    struct span host = span_of(host_of(options));
    if (span_ends(host, SPAN("/")))
        host.n--;
    buf_init(&url, PROVIDER_URL_MAX_BYTES);
    buf_append(&url, host);
    buf_append_text(&url, path);
    buf_append_text(&url, tail);
    enum err e = buf_error(&url);
    if (e != ERR_OK)
        error_set(error, e, "the URL of %s is too long", IMDS_WHO);
    struct provider_request request = {
        .method = method,
        .url = buf_text(&url),
        .headers = &header,
        .header_count = 1,
        .has_body = strcmp(method, "PUT") == 0,
        .timeout_ms = IMDS_TIMEOUT_MS,
    };
    if (e == ERR_OK)
        e = provider_fetch(fetcher, &request, &status, answer, error);
    if (e == ERR_OK && status != 200)
        e = error_set(error, ERR_CREDENTIALS, IMDS_WHO " answered with status %d", status);
    buf_done(&url);
    return e;
}

static bool is_line(struct span s) {
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7F)
            return false;
    return s.n > 0;
}

static enum err get_session(const struct credentials_options *options, struct fetcher *fetcher,
                            struct buf *header, struct error *error) {
    struct buf token;
    buf_init(&token, IMDS_TOKEN_MAX_BYTES);
    enum err e = ask(options, fetcher, "PUT", "x-aws-ec2-metadata-token-ttl-seconds: 21600",
                     "/latest/api/token", "", &token, error);
    if (e == ERR_OK && !is_line(buf_span(&token)))
        e = error_set(error, ERR_CREDENTIALS, IMDS_WHO " gave no session token");
    buf_append_text(header, "x-aws-ec2-metadata-token: ");
    buf_append(header, buf_span(&token));
    buf_done_secret(&token);
    return e;
}

static enum err fetch(const struct credentials_options *options, struct fetcher *fetcher,
                      struct credentials **ret, struct error *error) {
    struct buf header;
    struct buf role;
    struct buf answer;
    buf_init(&header, IMDS_TOKEN_MAX_BYTES + 64);
    buf_init(&role, 256);
    buf_init(&answer, PROVIDER_ANSWER_MAX_BYTES);
    enum err e = get_session(options, fetcher, &header, error);
    if (e == ERR_OK)
        e = ask(options, fetcher, "GET", buf_text(&header), IMDS_ROLES, "", &role, error);
    if (e == ERR_OK) {
        struct span name = span_trim(buf_span(&role));
        role.n = name.n; /* a role's name holds no blanks in front */
        role.p[role.n] = '\0';
        if (!is_line(buf_span(&role)))
            e = error_set(error, ERR_CREDENTIALS, "this instance has no role");
    }
    if (e == ERR_OK)
        e = ask(options, fetcher, "GET", buf_text(&header), IMDS_ROLES, buf_text(&role), &answer,
                error);
    if (e == ERR_OK)
        e = provider_read_json(IMDS_WHO, buf_span(&answer), ret, error);
    buf_done_secret(&header);
    buf_done(&role);
    buf_done_secret(&answer);
    return e;
}

const struct provider provider_imds = {"instance metadata", find, fetch};

/* What a source of credentials is to the chain: one file each, src/aws/provider_<name>.c. */
#ifndef FILESERVICE_AWS_PROVIDER_H
#define FILESERVICE_AWS_PROVIDER_H

#include "fileservice/aws/credentials.h"
#include "fileservice/net/fetch.h"

#define PROVIDER_ANSWER_MAX_BYTES 65536 /* an answer, a token or a profile file; ours */
#define PROVIDER_URL_MAX_BYTES 4096

struct provider {
    const char *name;
    /* Whether the environment configures it. ERR_CREDENTIALS when it does, wrongly. */
    enum err (*find)(const struct credentials_options *options, bool *found, struct error *error);
    /* Gets a set; may wait. ERR_CREDENTIALS and the errors of the fetcher. */
    enum err (*fetch)(const struct credentials_options *options, struct fetcher *fetcher,
                      struct credentials **ret, struct error *error);
};

extern const struct provider provider_web_identity;
extern const struct provider provider_profile;
extern const struct provider provider_container;
extern const struct provider provider_imds;

/* An environment variable; NULL when unset or empty. */
const char *provider_get(const struct credentials_options *options, const char *name);

/* One GET, PUT or POST of a provider: small, plain, never through a proxy, redirects not followed. */
struct provider_request {
    const char *method;
    const char *url;
    const char *const *headers;
    size_t header_count;
    struct span body;
    bool has_body;
    uint32_t timeout_ms;
};

enum err provider_fetch(struct fetcher *fetcher, const struct provider_request *request,
                        int *status, struct buf *answer, struct error *error);

/* Reads {AccessKeyId, SecretAccessKey, Token or SessionToken, Expiration}, as the container and
 * instance endpoints and STS write it. `who` is for the sentence of an error. */
enum err provider_read_json(const char *who, struct span text, struct credentials **ret,
                            struct error *error);
/* The same for the members of an object that was read already: `object` is a json_t. */
enum err provider_read_object(const char *who, const void *object, struct credentials **ret,
                              struct error *error);

#endif

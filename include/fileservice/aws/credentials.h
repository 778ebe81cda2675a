/* Credentials: the chain, and one snapshot that all threads share.
 *
 * Order: settings (static keys of the environment), web identity, profile files, container, instance
 * metadata. The first provider that is configured decides; if it then fails, that is an error and
 * not a reason to ask the next. Temporary credentials are renewed by a thread of their own, never by
 * a worker: 15 minutes before they end, or at half of a shorter life; after a failure again soon.
 * Source: AWS SDK reference, "Standardized credential providers".
 */
#ifndef FILESERVICE_AWS_CREDENTIALS_H
#define FILESERVICE_AWS_CREDENTIALS_H

#include "fileservice/aws/sigv4.h"

#define CREDENTIALS_FIELD_MAX_BYTES 8192 /* session tokens have no documented limit; ours */
#define CREDENTIALS_NEVER INT64_MAX

/* One immutable set, shared by reference counting. Key, secret, token and expiry always belong
 * together. Any thread. */
struct credentials {
    char *access_key_id;
    char *secret_access_key; /* secret */
    char *session_token;     /* secret; NULL when there is none */
    int64_t expires_wall_ms; /* CREDENTIALS_NEVER for static ones */
};

/* Takes copies. NULL when there is no memory. The caller owns one reference. */
struct credentials *credentials_new(struct span access_key_id, struct span secret_access_key,
                                    struct span session_token, int64_t expires_wall_ms);
struct credentials *credentials_ref(struct credentials *c);
void credentials_unref(struct credentials *c); /* the last one wipes and frees; NULL is fine */
struct sigv4_credentials credentials_for_signing(const struct credentials *c);

/* What the chain is told. Borrowed for the life of the source. `get` reads an environment variable
 * (the SDKs' own names); a test passes its own. */
struct credentials_options {
    const char *access_key_id; /* static keys of the settings, or NULL */
    const char *secret_access_key;
    const char *session_token;
    const char *region;
    const char *(*get)(void *context, const char *name);
    /* Told of a renewal that failed, on the refresher's thread; may be NULL. */
    void (*on_failure)(void *context, const struct error *error);
    void *context;
};

struct credentials_source;

/* Finds the provider and, unless its keys are static, starts the refresher thread. ERR_CREDENTIALS
 * when what is configured is broken (one key of two, a bad URI). On a machine where nothing is
 * configured, instance metadata is asked. */
enum err credentials_source_start(const struct credentials_options *options,
                                  struct credentials_source **ret, struct error *error)
    __attribute__((warn_unused_result));
/* Stops and joins the thread. NULL is fine. */
void credentials_source_stop(struct credentials_source *s);

/* The current set, one reference for the caller; or ERR_CREDENTIALS with the reason of the last
 * failure when there is none yet or it has expired. Never waits. Any thread. */
enum err credentials_get(struct credentials_source *s, struct credentials **ret,
                         struct error *error) __attribute__((warn_unused_result));

/* Says that AWS refused the current set as expired: the refresher fetches at once. Any thread. */
void credentials_refresh_soon(struct credentials_source *s);

#endif

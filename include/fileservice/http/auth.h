/* API keys: who may use the service. */
#ifndef FILESERVICE_HTTP_AUTH_H
#define FILESERVICE_HTTP_AUTH_H

#include "fileservice/base/buf.h"

struct auth;

/* Keeps only SHA-256 digests of the keys. `count` 0 means open. NULL when there is no memory. */
struct auth *auth_new(const char *const *keys, size_t count);
void auth_free(struct auth *a);

/* Whether an Authorization header value ("" when absent) lets its sender in. Takes the same time for
 * every wrong key. Any thread. */
bool auth_allows(const struct auth *a, struct span authorization);

#endif

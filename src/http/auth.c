#include "fileservice/http/auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "fileservice/base/banned.h"

#define AUTH_DIGEST_BYTES 32

struct auth {
    size_t count;
    unsigned char digests[][AUTH_DIGEST_BYTES];
};

static bool digest(struct span key, unsigned char out[AUTH_DIGEST_BYTES]) {
    return EVP_Digest(key.p, key.n, out, NULL, EVP_sha256(), NULL) == 1;
}

struct auth *auth_new(const char *const *keys, size_t count) {
    struct auth *a = calloc(1, sizeof *a + count * AUTH_DIGEST_BYTES);
    if (a == NULL)
        return NULL;
    a->count = count;
    for (size_t i = 0; i < count; i++) {
        if (!digest(span_of(keys[i]), a->digests[i])) {
            free(a);
            return NULL;
        }
    }
    return a;
}

void auth_free(struct auth *a) { free(a); }

bool auth_allows(const struct auth *a, struct span authorization) {
    if (a->count == 0)
        return true;
    struct span scheme = {authorization.p, authorization.n < 7 ? authorization.n : 7};
    unsigned char given[AUTH_DIGEST_BYTES];
    if (!span_eq_nocase(scheme, SPAN("Bearer ")) ||
        !digest(span_trim(span_from(authorization, 7)), given))
        return false;
    bool allowed = false;
    for (size_t i = 0; i < a->count; i++)
        allowed |= CRYPTO_memcmp(given, a->digests[i], AUTH_DIGEST_BYTES) == 0;
    return allowed;
}

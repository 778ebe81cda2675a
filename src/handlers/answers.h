/* What several handlers say alike. Private to the room. */
#ifndef FILESERVICE_SRC_HANDLERS_ANSWERS_H
#define FILESERVICE_SRC_HANDLERS_ANSWERS_H

#include "fileservice/handlers/handlers.h"
#include "fileservice/s3/object.h"

struct handlers_app *answers_app(const struct exchange *x);

/* Fails the exchange with a code of ours and a sentence. */
void answers_fail(struct exchange *x, enum err err, const char *code, const char *sentence);

/* Reads `?expires=`: the default when absent; ERR_BAD_INPUT outside 1 to 604800. */
enum err answers_expires(const struct exchange *x, uint32_t *ret, struct error *error)
    __attribute__((warn_unused_result));

/* Whether the settings let clients use this bucket; with the prefix it must still be a name. */
enum err answers_bucket_allowed(const struct config *config, struct span bucket,
                                struct error *error) __attribute__((warn_unused_result));

/* An object as `data` holds it. Empty strings are left out. */
struct answers_object {
    struct span bucket; /* empty: left out */
    struct span key;
    const struct s3_object *object;
};

/* Answers 200 or 201 with the object and a URL to fetch it; on failure the failure. */
void answers_object(struct exchange *x, unsigned status, const char *message,
                    const struct answers_object *o, uint32_t expires_s);

/* Starts a JSON answer: `{"message":…`; the caller appends the rest. */
void answers_begin(struct reply *r, unsigned status, const char *message);

#endif

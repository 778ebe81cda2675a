/* Errors as values.
 *
 * Every function that can fail returns `enum err` and, where a person or a client will read about
 * it, fills a `struct error`. The code says what kind of failure it is (and so which HTTP status it
 * becomes, see http/reply.h); the struct adds what the other side said. Rooms below handlers never
 * log a failure, they return it.
 */
#ifndef FILESERVICE_BASE_ERR_H
#define FILESERVICE_BASE_ERR_H

enum err {
    ERR_OK = 0,
    ERR_NO_MEMORY,    /* an allocation failed */
    ERR_LIMIT,        /* a ceiling of ours was reached (buffer, header, body) */
    ERR_BAD_INPUT,    /* what was given cannot be understood or is not allowed */
    ERR_NOT_FOUND,    /* the object or bucket is missing */
    ERR_DENIED,       /* the other side understood us and refused */
    ERR_PRECONDITION, /* If-None-Match and its kin did not hold */
    ERR_CONFLICT,     /* another operation is in the way */
    ERR_TOO_LARGE,    /* more bytes than allowed */
    ERR_BUSY,         /* overload: of our memory, or S3 said slow down */
    ERR_UNREACHABLE,  /* no connection: refused, DNS, TLS, broken off */
    ERR_TIMEOUT,      /* the other side was silent for too long */
    ERR_UPSTREAM,     /* the other side answered with a failure of its own, or nonsense */
    ERR_CREDENTIALS,  /* ours are missing, expired or rejected */
    ERR_CANCELLED,    /* we gave up on purpose */
    ERR_SYSTEM,       /* a system call failed */
    ERR_INTERNAL,     /* cannot happen; a bug if it does */
};

#define ERROR_CODE_MAX_BYTES 64        /* S3's longest documented code has 43 */
#define ERROR_REQUEST_ID_MAX_BYTES 128 /* x-amz-request-id: 16 on S3, 36 elsewhere */
#define ERROR_MESSAGE_MAX_BYTES 512

/* One failure. A value: copied by assignment, owns nothing. */
struct error {
    enum err err;
    int status;                      /* HTTP status of the other side, 0 if none */
    char code[ERROR_CODE_MAX_BYTES]; /* the other side's code ("NoSuchKey"), "" if none */
    char request_id[ERROR_REQUEST_ID_MAX_BYTES]; /* the other side's request id, "" if none */
    char message[ERROR_MESSAGE_MAX_BYTES];       /* one sentence for a person; never a secret */
};

/* Clears `e` and sets its kind and sentence (printf-like, cut at the ceiling). `e` may be NULL.
 * Returns `err`, so that a function can end with `return error_set(...)`. */
enum err error_set(struct error *e, enum err err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The kind as a word ("unreachable"), for log lines. Static storage. */
const char *err_name(enum err err);

#endif

/* Paths to routes. Pure: no handler is known here. */
#ifndef FILESERVICE_HTTP_ROUTER_H
#define FILESERVICE_HTTP_ROUTER_H

#include "fileservice/base/buf.h"

#define ROUTER_BUCKET_MAX_BYTES 63 /* S3 user guide, "Bucket naming rules" */
#define ROUTER_KEY_MAX_BYTES 1024  /* UTF-8 bytes; S3 user guide, "Object keys" */

enum route {
    ROUTE_NONE,    /* no such path */
    ROUTE_ROOT,    /* / */
    ROUTE_HEALTHZ, /* /healthz */
    ROUTE_READYZ,  /* /readyz */
    ROUTE_FILES,   /* /file and /file/ */
    ROUTE_BUCKET,  /* /file/<bucket> and /file/<bucket>/ */
    ROUTE_OBJECT,  /* /file/<bucket>/<key> */
};

enum router_method {
    ROUTER_GET = 1,
    ROUTER_HEAD = 2,
    ROUTER_POST = 4,
    ROUTER_PUT = 8,
    ROUTER_DELETE = 16,
    ROUTER_OPTIONS = 32,
    ROUTER_OTHER = 0,
};

/* A request target, taken apart. Owns its two texts. */
struct router_target {
    enum route route;
    char bucket[ROUTER_BUCKET_MAX_BYTES + 1];
    struct buf key;    /* decoded once; may hold any byte that UTF-8 allows */
    struct span path;  /* borrowed from the target: before '?' */
    struct span query; /* borrowed from the target: after '?', still encoded */
};

enum router_method router_method(struct span method);

/* Methods of a route, as a set of enum router_method, without OPTIONS. */
unsigned router_methods(enum route route);
/* Appends "GET, HEAD, …" in the order DELETE, GET, HEAD, OPTIONS, POST, PUT, OPTIONS included. */
void router_append_allow(struct buf *b, enum route route);

/* Reads a raw request target (origin form). ERR_BAD_INPUT with code "InvalidBucketName",
 * "InvalidKey" or "InvalidURI" and a sentence when a bucket or key breaks the rules or the
 * percent-encoding is broken; an unknown path is no error (ROUTE_NONE). `ret` must be passed to
 * router_target_done(), also after an error. */
enum err router_parse(struct span target, struct router_target *ret, struct error *error)
    __attribute__((warn_unused_result));
void router_target_done(struct router_target *t);

/* The rules, also for names that come in form fields. The sentence says which rule was broken. */
enum err router_check_bucket(struct span bucket, struct error *error)
    __attribute__((warn_unused_result));
enum err router_check_key(struct span key, struct error *error) __attribute__((warn_unused_result));

/* Whether a query has a parameter of this name, with or without a value. */
bool router_query_has(struct span query, const char *name);

/* Finds a query parameter by name, decoded into `value` ('+' is a blank here, as forms and browsers
 * write it). ERR_NOT_FOUND when absent, ERR_BAD_INPUT when given twice or badly encoded. */
enum err router_query(struct span query, const char *name, struct buf *value)
    __attribute__((warn_unused_result));

#endif

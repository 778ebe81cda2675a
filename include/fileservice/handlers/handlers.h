/* What a user can do, one file each: the table that the router's routes lead to.
 */
#ifndef FILESERVICE_HANDLERS_HANDLERS_H
#define FILESERVICE_HANDLERS_HANDLERS_H

#include "fileservice/config/config.h"
#include "fileservice/http/exchange.h"
#include "fileservice/s3/client.h"

#include <stdatomic.h>

/* What handlers of one worker work with. exchange_app() of every exchange. */
struct handlers_app {
    const struct config *config;
    struct s3_client s3;
    struct handlers_readiness *readiness; /* shared by all workers */
    size_t remove_many_bytes;             /* bodies of POST ?delete that this worker holds */
};

/* The readiness of the process: the last answer of S3, asked at most once in 5 s. Any thread. */
struct handlers_readiness {
    atomic_bool draining;
    atomic_bool asking;
    atomic_uint_least64_t asked_ms; /* monotonic; 0: never */
    atomic_bool s3_answers;
};

/* All routes. Static storage. */
extern const struct exchange_handler handlers_table[];
extern const size_t handlers_table_count;

#endif

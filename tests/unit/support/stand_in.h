/* A scripted HTTP server on a free loopback port, in a thread of the test: one request a connection. */
#ifndef FILESERVICE_TESTS_UNIT_SUPPORT_STAND_IN_H
#define FILESERVICE_TESTS_UNIT_SUPPORT_STAND_IN_H

#include "fileservice/base/buf.h"

#include <stdint.h>

#define STAND_IN_REQUEST_MAX_BYTES 2097152

/* A request as it came. Borrowed for the call. */
struct stand_in_request {
    struct span method;
    struct span target; /* as sent */
    struct span head;   /* header lines */
    struct span body;
};

/* Appends the raw answer, head and body; none closes the connection without a word. Runs on the
 * server's thread. */
typedef void stand_in_answer(void *context, const struct stand_in_request *request,
                             struct buf *answer);

struct stand_in;

struct stand_in *stand_in_start(stand_in_answer *answer, void *context); /* NULL: no socket */
uint16_t stand_in_port(const struct stand_in *s);
void stand_in_stop(struct stand_in *s); /* joins the thread */

/* Appends an answer with a status and a body. */
void stand_in_say(struct buf *answer, int status, const char *body);
/* Value of a request's header, empty when absent. */
struct span stand_in_header(const struct stand_in_request *r, const char *name);

#endif

/* The admin door: /metrics for Prometheus, on a port of its own.
 *
 * A thread of its own answers, so that it also does while workers are busy or stuck. It knows one path
 * and the methods GET and HEAD; errors are those of the main door. There is no API key: the port is for
 * the inside of a network (ADMIN_HOST is the loopback address by default).
 */
#ifndef FILESERVICE_HTTP_ADMIN_H
#define FILESERVICE_HTTP_ADMIN_H

#include "fileservice/base/buf.h"

#define ADMIN_CONNECTIONS_MAX 16 /* a few scrapers; others wait in the backlog */
#define ADMIN_IDLE_TIMEOUT_SECONDS 10
#define ADMIN_PAGE_MAX_BYTES 2097152 /* many times what all labels come to */

struct admin;

/* Borrowed until admin_stop(). */
struct admin_options {
    /* Appends the page, of METRICS_CONTENT_TYPE. Called on the door's thread, for one request at a time. */
    enum err (*render)(void *context, struct buf *page);
    void *context;
};

/* Answers on a listening, non-blocking socket, which is the door's from now on: closed by admin_stop(); left
 * open after a failure, which ends the program. */
enum err admin_start(const struct admin_options *options, int listen_fd, struct admin **ret,
                     struct error *error) __attribute__((warn_unused_result));
/* Ends running answers and joins the thread: nothing is rendered any more. NULL is fine. */
void admin_stop(struct admin *a);

#endif

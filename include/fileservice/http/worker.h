/* A worker: a thread with one event loop, one HTTP daemon and one HTTP client. A request never leaves
 * it. main accepts connections and hands each to the worker that has fewest.
 */
#ifndef FILESERVICE_HTTP_WORKER_H
#define FILESERVICE_HTTP_WORKER_H

#include "fileservice/config/config.h"
#include "fileservice/http/auth.h"
#include "fileservice/http/exchange.h"
#include "fileservice/http/http_metrics.h"
#include "fileservice/net/loop.h"

struct worker;

/* Shared by all workers, borrowed for their life. */
struct worker_options {
    const struct config *config;
    const struct auth *auth;
    const struct exchange_handler *handlers;
    size_t handler_count;
};

/* Makes a worker with its loop; nothing runs yet. */
enum err worker_new(const struct worker_options *options, struct worker **ret, struct error *error)
    __attribute__((warn_unused_result));
struct loop *worker_loop(struct worker *w);
/* What exchange_app() returns: the S3 client of this worker's loop. Before worker_start(). */
void worker_set_app(struct worker *w, void *app);
enum err worker_start(struct worker *w, struct error *error) __attribute__((warn_unused_result));

/* Hands over an accepted, non-blocking socket. Any thread. On ERR_NO_MEMORY it is closed. */
enum err worker_adopt(struct worker *w, int fd, const char *remote)
    __attribute__((warn_unused_result));
unsigned worker_connections(const struct worker *w); /* any thread */
/* What it has counted; read by any thread, until worker_free(). */
const struct http_metrics *worker_metrics(const struct worker *w);

/* The steps of an orderly end, all for any thread. From now on every answer says Connection: close;
 * then connections without a request are closed; then all others, whose uploads are aborted. */
void worker_drain(struct worker *w);
void worker_close_idle(struct worker *w);
void worker_break(struct worker *w);
/* Stops the loop, which ends what still runs, and joins the thread. */
void worker_stop(struct worker *w);
void worker_free(struct worker *w); /* after worker_stop, and after the app's own end */

#endif

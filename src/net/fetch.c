#include "fileservice/net/fetch.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "fileservice/base/banned.h"

#define FETCH_IDLE_CONNECTIONS 1

struct fetcher {
    struct loop *loop;
    struct transport *transport;
    atomic_bool stopped; /* any thread */

    /* the fetch under way */
    struct transfer *transfer;
    struct loop_timer deadline;
    struct buf *body;
    struct error *error;
    int *status;
    enum err outcome;
};

static void fetch_done(void *context, enum err err, const struct transport_response *r) {
    struct fetcher *f = context;
    f->transfer = NULL;
    f->outcome = err;
    if (err == ERR_OK) {
        *f->status = r->status;
        buf_append(f->body, r->body);
        f->outcome = buf_error(f->body);
    }
    if (f->outcome != ERR_OK)
        error_set(f->error, f->outcome, "%s", err != ERR_OK ? r->reason : "the answer is too long");
    loop_stop(f->loop);
}

static void deadline_fired(struct loop_timer *timer) {
    struct fetcher *f = CONTAINER_OF(timer, struct fetcher, deadline);
    f->outcome = error_set(f->error, ERR_TIMEOUT, "no answer in time");
    loop_stop(f->loop);
}

enum err fetcher_new(struct fetcher **ret, struct error *error) {
    struct fetcher *f = calloc(1, sizeof *f);
    if (f == NULL)
        return error_set(error, ERR_NO_MEMORY, "no memory for an HTTP client");
    f->deadline.fire = deadline_fired;
    enum err e = loop_new(&f->loop, error);
    if (e == ERR_OK)
        e = transport_new(f->loop, FETCH_IDLE_CONNECTIONS, &f->transport, error);
    if (e != ERR_OK) {
        fetcher_free(f);
        return e;
    }
    *ret = f;
    return ERR_OK;
}

void fetcher_free(struct fetcher *f) {
    if (f == NULL)
        return;
    transport_free(f->transport);
    loop_free(f->loop);
    free(f);
}

enum err fetcher_run(struct fetcher *f, const struct transport_request *request,
                     uint32_t deadline_ms, int *status, struct buf *body, struct error *error) {
    f->body = body;
    f->error = error;
    f->status = status;
    f->outcome = error_set(error, ERR_CANCELLED, "stopped");
    if (atomic_load(&f->stopped))
        return ERR_CANCELLED;
    enum err e = loop_timer_start(f->loop, &f->deadline, deadline_ms);
    if (e == ERR_OK)
        e = transport_start(f->transport, request, fetch_done, f, &f->transfer);
    if (e == ERR_OK) {
        loop_run(f->loop);
        e = f->outcome;
    } else {
        error_set(error, e, "the request cannot be started");
    }
    loop_timer_stop(f->loop, &f->deadline);
    if (f->transfer != NULL)
        transport_cancel(f->transfer);
    f->transfer = NULL;
    return e;
}

void fetcher_stop(struct fetcher *f) {
    atomic_store(&f->stopped, true);
    loop_stop(f->loop);
}

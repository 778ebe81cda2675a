/* A client's connection: who it is, whether it is still there, whether it is too slow. Private to the
 * room. owner: the worker's thread */
#ifndef FILESERVICE_SRC_HTTP_CONNECTION_H
#define FILESERVICE_SRC_HTTP_CONNECTION_H

#include "fileservice/config/config.h"
#include "fileservice/http/auth.h"
#include "fileservice/http/cors.h"
#include "fileservice/http/exchange.h"
#include "fileservice/http/http_metrics.h"
#include "fileservice/net/loop.h"

#include <microhttpd.h>

#define CONNECTION_REMOTE_MAX_BYTES 64 /* an IPv6 address with a zone */

/* What every exchange of a worker needs to know; part of the worker. */
struct http_context {
    struct loop *loop;
    const struct config *config;
    const struct auth *auth;
    struct http_metrics *metrics;
    struct cors_policy cors;
    const struct exchange_handler *handlers;
    size_t handler_count;
    void *app;
    bool draining;
    bool mhd_due; /* MHD has something to do that its descriptor does not tell */
};

struct connection {
    struct http_context *http;
    struct MHD_Connection *mhd; /* NULL until MHD has taken it over */
    int fd;
    struct list node; /* of the worker's connections */
    char remote[CONNECTION_REMOTE_MAX_BYTES];

    struct loop_watch watch; /* the client's end of sending, and errors */
    struct loop_task look;   /* is it gone? asked after MHD has read what there is */
    struct loop_timer timer; /* the deadline of what the client does now */
    struct exchange *exchange;
    uint64_t window_moved; /* body bytes, in or out, when the rate was looked at last */
    bool half_closed;      /* the client will send no more */
    bool broken;           /* given up: MHD is told so at its next call */
};

struct connection *connection_new(struct http_context *http, int fd, const char *remote);
void connection_free(struct connection *c);

/* MHD has taken it over: watches it and waits for a request head. */
void connection_opened(struct connection *c, struct MHD_Connection *mhd);
void connection_exchange_began(struct connection *c, struct exchange *x);
/* The head is there; what follows is the body, if any. */
void connection_head_done(struct connection *c);
/* An answer is streamed: its reader must be fast enough, too. */
void connection_stream_began(struct connection *c);
void connection_exchange_ended(struct connection *c);

/* Bytes that have come and MHD has not read yet. */
size_t connection_queued(const struct connection *c);

/* Ends the connection: its socket is shut, MHD notices, on_close follows. */
void connection_break(struct connection *c);

#endif

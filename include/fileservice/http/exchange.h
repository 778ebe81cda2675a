/* One request and its answer, as handlers see it.
 *
 * An exchange goes through on_head once, on_body for each piece, on_body_end once, and on_close once,
 * always; in between, once, the handler calls exchange_reply(), from any of them or later from a
 * callback of the same loop. A handler sees no type of the HTTP library. Everything on the worker's
 * thread.
 *
 *     HEAD ──► BODY ──► WAIT ──► REPLY or STREAM ──► (on_close)
 *       │        └────► DRAIN ──────────────────────►    an answer while the body still comes
 *       └──────────────────────► REPLY
 */
#ifndef FILESERVICE_HTTP_EXCHANGE_H
#define FILESERVICE_HTTP_EXCHANGE_H

#include "fileservice/base/trace.h"
#include "fileservice/http/reply.h"
#include "fileservice/http/router.h"

struct exchange;

/* What a handler does at each point. NULL members do nothing. */
struct exchange_handler {
    enum route route;
    unsigned methods; /* set of enum router_method; HEAD comes to the handler of GET */
    bool open;        /* needs no API key */
    /* Only for requests with this query parameter: such a row comes before the one for all others. */
    const char *parameter;

    /* The request line and headers are there and checked. May reply. No S3 call is started here. */
    void (*on_head)(struct exchange *x);
    /* Some bytes of the body. Returns how many it took; fewer than data.n means: no more until
     * exchange_continue(). May reply, then what it returns does not matter. */
    size_t (*on_body)(struct exchange *x, struct span data);
    /* The whole body was there. Must lead to a reply. Also called when there is no body. */
    void (*on_body_end)(struct exchange *x);
    /* exchange_write() can take bytes again. From a task. */
    void (*on_room)(struct exchange *x);
    /* The exchange ends: free what exchange_set_state() keeps and cancel what is under way. */
    void (*on_close)(struct exchange *x);
};

/* What it was asked. Borrowed from the exchange, valid until on_close returned. */
enum router_method exchange_method(const struct exchange *x);
const struct router_target *exchange_target(const struct exchange *x);
struct span exchange_header(const struct exchange *x, const char *name); /* empty when absent */
/* Calls `each` for every header line, in the order they came, until one returns false. */
void exchange_each_header(const struct exchange *x,
                          bool (*each)(void *context, struct span name, struct span value),
                          void *context);
bool exchange_length_known(const struct exchange *x);
uint64_t exchange_length(const struct exchange *x); /* Content-Length; 0 when not known */
const char *exchange_request_id(const struct exchange *x);
/* Its request id, and the trace it is a part of: for what is done for it. What outlives it copies it. */
const struct trace *exchange_trace(const struct exchange *x);
void *exchange_app(const struct exchange *x); /* what worker_new() was given */

void exchange_set_state(struct exchange *x, void *state);
void *exchange_state(const struct exchange *x);

/* Answers; takes everything out of `*reply`. The first answer counts, later ones are thrown away. */
void exchange_reply(struct exchange *x, struct reply *reply);
/* The same for a failure. */
void exchange_fail(struct exchange *x, const struct error *error);

/* Answers with a body of exactly `length` bytes that is given piece by piece; the reply's own body is
 * empty. Only after on_body_end, and as the first answer. False when it cannot be begun: a failure was
 * answered, and no byte is wanted. To a HEAD no byte is sent, but its length is. */
bool exchange_stream(struct exchange *x, struct reply *reply, uint64_t length)
    __attribute__((warn_unused_result));
/* Gives bytes of it: takes all, or none of them; then on_room follows. Ready for a caller inside the
 * HTTP client: nothing of it is called. */
bool exchange_write(struct exchange *x, struct span data);
/* The rest does not come: the connection is ended, so that what was sent cannot pass for the whole. */
void exchange_cut(struct exchange *x, const struct error *error);

/* Says that on_body can take more. */
void exchange_continue(struct exchange *x);

/* S3's request id, for the log line of the request. */
void exchange_note_s3_request_id(struct exchange *x, const char *id);

#endif

/* HTTP requests out, over one curl multi handle on a loop. HTTP/1.1, connections kept and reused,
 * no redirects, paths sent as they are. The only file that knows curl is src/net/transport.c.
 * Everything on the loop's thread.
 */
#ifndef FILESERVICE_NET_TRANSPORT_H
#define FILESERVICE_NET_TRANSPORT_H

#include "fileservice/base/buf.h"
#include "fileservice/net/loop.h"

#define TRANSPORT_HEADERS_MAX 64 /* AWS_CALL_HEADERS_MAX, and what signing adds */
#define TRANSPORT_RESPONSE_HEAD_MAX_BYTES 65536
#define TRANSPORT_RESPONSE_BODY_MAX_BYTES 1048576 /* what S3 answers to our calls has a few KiB */

struct transport;
struct transfer;

/* Takes the body of a success (2xx) as it comes, in place of having it gathered. Both are called from
 * inside the HTTP client: they store and post, and call nothing of this header. */
struct transport_sink {
    /* The head, before the body. False ends the transfer with ERR_CANCELLED. */
    bool (*on_head)(void *context, int status, struct span head);
    /* Takes all of `data`, or none of it: then nothing is read until transport_resume(). */
    bool (*on_data)(void *context, struct span data);
    void *context;
};

/* A request. Everything borrowed until `done` was called or cancel returned. */
struct transport_request {
    const char *method;
    const char *url;            /* absolute, encoded */
    const char *const *headers; /* "Name: value"; Host and Content-Length excepted */
    size_t header_count;
    const struct span *body; /* pieces, sent one after the other; Content-Length is their sum */
    size_t body_count;
    bool has_body;                     /* PUT and POST: true, also when the sum is 0 */
    uint32_t connect_ms;               /* until connected */
    uint32_t silence_ms;               /* the longest time without a byte in either direction */
    const struct transport_sink *sink; /* NULL: the body is gathered; copied */
    size_t response_max_bytes;         /* of the body; 0: TRANSPORT_RESPONSE_BODY_MAX_BYTES */
};

/* What came back. Borrowed for the call of `done`. */
struct transport_response {
    int status;       /* 0 when there is no whole response */
    struct span head; /* header lines, "Name: value\r\n" each, of the last response */
    struct span body;
    const char *reason; /* when status is 0: what went wrong, for a person; no URL inside */
};

/* Called once, from the loop, never from inside transport_start(). `err` is ERR_OK whenever a whole
 * response came, whatever its status; else ERR_UNREACHABLE, ERR_TIMEOUT, ERR_LIMIT, ERR_NO_MEMORY, or
 * ERR_CANCELLED when the sink wanted no more. */
typedef void transport_done(void *context, enum err err, const struct transport_response *response);

/* curl_global_init and _cleanup; main, before and after all threads. */
enum err transport_global_init(void) __attribute__((warn_unused_result));
void transport_global_done(void);

/* `connections` is how many idle ones are kept for reuse. */
enum err transport_new(struct loop *loop, unsigned connections, struct transport **ret,
                       struct error *error) __attribute__((warn_unused_result));
/* No transfer may be under way. NULL is fine. */
void transport_free(struct transport *t);

/* Starts a transfer; it belongs to the transport and is gone after `done` or cancel. */
enum err transport_start(struct transport *t, const struct transport_request *request,
                         transport_done *done, void *context, struct transfer **ret)
    __attribute__((warn_unused_result));
/* The sink can take bytes again. From a task, not from inside the sink. */
void transport_resume(struct transfer *transfer);
/* Ends it; `done` is not called. Closes the connection if it was in use. */
void transport_cancel(struct transfer *transfer);

/* The value of a header in a head (name without regard to case), empty when absent. The last wins. */
struct span transport_header(struct span head, const char *name);

#endif

/* What MHD lets pass and we do not, and small readings of a request. Private to the room. */
#ifndef FILESERVICE_SRC_HTTP_REQUEST_H
#define FILESERVICE_SRC_HTTP_REQUEST_H

#include "connection.h"

/* Looks at the headers that say where a request ends and for whom it is: two Host lines, a second
 * Content-Length, Transfer-Encoding twice or other than chunked, both at once → ERR_BAD_INPUT.
 * Such requests are how one is smuggled past a proxy (RFC 9112 §11.2). In the same walk over the headers,
 * and also before an error, it takes over the trace that the client's `traceparent` names; of two such
 * lines none counts: nobody can say which is meant. */
enum err request_check(struct MHD_Connection *mhd, bool *chunked, bool *length_known,
                       uint64_t *length, struct trace *trace, struct error *error)
    __attribute__((warn_unused_result));

/* The path and query of a target in absolute form ("http://host/path"); others are returned as is. */
struct span request_origin_form(struct span target);

/* The client's own id when it is fit for a log line, else a new one. */
void request_id(struct span given, char out[TRACE_REQUEST_ID_MAX_BYTES + 1]);

/* What X-Amzn-Trace-Id says, when it is fit for a log line, else empty. Borrowed from the request. */
struct span request_amzn_trace(struct MHD_Connection *mhd);

struct span request_method_name(enum router_method method);

/* The client's address: the peer's, or what trusted proxies say in X-Forwarded-For, read from right
 * to left. Borrowed from the connection or the request. */
struct span request_remote(struct MHD_Connection *mhd, const struct connection *connection,
                           const struct config *config);

#endif

/* For whom a piece of work is done, so that all its log lines can be found together: the request, and
 * the trace of other programs that the request is a part of. Pure.
 */
#ifndef FILESERVICE_BASE_TRACE_H
#define FILESERVICE_BASE_TRACE_H

#include "fileservice/base/span.h"

#define TRACE_REQUEST_ID_MAX_BYTES 64
#define TRACE_ID_BYTES 32 /* lower-case hex digits; W3C Trace Context, "traceparent" */
#define TRACE_PARENT_ID_BYTES 16
#define TRACE_AMZN_MAX_BYTES 256 /* Root and Self have 75; the rest is room for fields of others */

/* A value: copied by assignment, owns nothing. "" is what is not known; all of it in work that is done
 * for nobody. */
struct trace {
    char request_id[TRACE_REQUEST_ID_MAX_BYTES + 1];
    char trace_id[TRACE_ID_BYTES + 1];
    char parent_id[TRACE_PARENT_ID_BYTES + 1]; /* the caller's span, not one of ours */
};

/* Reads a `traceparent` header (W3C Trace Context, level 1 and 2) and sets trace_id and parent_id:
 *
 *     00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
 *
 * A version above 00 may have more after a '-', which is not looked at; ff is none. False, with
 * `*trace` untouched, when it is not well-formed or an id is all zeros: then it is as if none came. */
bool trace_read_parent(struct span header, struct trace *trace);

/* Whether an `X-Amzn-Trace-Id` header is fit for a log line. Load balancers send Root and Self, X-Ray
 * Root, Parent, Sampled and Lineage, and applications add fields of their own ("Root=1-67891233-…;
 * Sampled=?;Lineage=a87bd80c:1|68fd508a:5"): names and values of letters, digits, blanks and
 * = ; : _ . , / + - | ? — at most TRACE_AMZN_MAX_BYTES. */
bool trace_is_amzn(struct span header);

#endif

/* What a worker counts of its requests: how many, how long, how many bytes.
 *
 * owner: the worker's thread, which alone counts; any thread writes the page. All labels come from the
 * tables here: a client can choose which of them it hits, never a new one.
 */
#ifndef FILESERVICE_HTTP_HTTP_METRICS_H
#define FILESERVICE_HTTP_HTTP_METRICS_H

#include "fileservice/base/metrics.h"
#include "fileservice/http/router.h"

#define HTTP_METRICS_STATUS_UNKNOWN 0 /* what the HTTP library answered by itself, or nothing */

struct http_metrics;

struct http_metrics *http_metrics_new(void); /* NULL when there is no memory */
void http_metrics_free(struct http_metrics *m);

/* A request has ended; 499: the client was gone before it. Other statuses than those that this program
 * answers count as "other". */
void http_metrics_request(struct http_metrics *m, enum route route, enum router_method method,
                          unsigned status, uint64_t duration_us);
/* Bytes of bodies, as they come and go. */
void http_metrics_received(struct http_metrics *m, uint64_t bytes);
void http_metrics_sent(struct http_metrics *m, uint64_t bytes);

/* Appends the families fileservice_http_*, added up over all tables. What did not occur is left out. */
void http_metrics_write(const struct http_metrics *const *tables, size_t count, struct buf *page);

#endif

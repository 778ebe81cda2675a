/* HTTP requests that are waited for, for threads that have no loop of their own: the credentials
 * refresher. One fetch at a time.
 */
#ifndef FILESERVICE_NET_FETCH_H
#define FILESERVICE_NET_FETCH_H

#include "fileservice/net/transport.h"

struct fetcher;

enum err fetcher_new(struct fetcher **ret, struct error *error) __attribute__((warn_unused_result));
void fetcher_free(struct fetcher *f); /* NULL is fine */

/* Sends the request and waits for the whole response, `deadline_ms` at most. Sets *status and appends
 * the response's body. ERR_CANCELLED after fetcher_stop(); else the errors of transport_done. */
enum err fetcher_run(struct fetcher *f, const struct transport_request *request,
                     uint32_t deadline_ms, int *status, struct buf *body, struct error *error)
    __attribute__((warn_unused_result));

/* Ends the fetch under way and all that come later. Any thread. */
void fetcher_stop(struct fetcher *f);

#endif

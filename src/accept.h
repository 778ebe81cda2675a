/* The listening socket: one for the process, accepted by main, handed to the workers. */
#ifndef FILESERVICE_SRC_ACCEPT_H
#define FILESERVICE_SRC_ACCEPT_H

#include "fileservice/base/metrics.h"
#include "fileservice/http/worker.h"

#define ACCEPT_FOREVER 0xFFFFFFFFu

/* Binds and listens. ERR_SYSTEM with a sentence that names the address and the reason; `setting` is where
 * the port comes from. */
enum err accept_listen(const char *host, uint16_t port, const char *setting, int *ret_fd,
                       struct error *error) __attribute__((warn_unused_result));

/* What is accepted, for whom. owner: main */
struct acceptor {
    int listen_fd;
    int signal_fd;
    struct worker **workers;
    unsigned worker_count;
    unsigned max;                       /* connections */
    struct metrics_counter turned_away; /* any thread reads */
};

/* Accepts until a signal comes (false) or `timeout_ms` is over (true). Above `max` connections a
 * client gets 503 and is closed. */
bool accept_run(struct acceptor *a, uint32_t timeout_ms);

#endif

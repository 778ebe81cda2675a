#include "accept.h"

#include "fileservice/base/clock.h"
#include "fileservice/base/log.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fileservice/base/banned.h"

#define ACCEPT_BACKLOG 4096
#define ACCEPT_BURST 64          /* connections before signals are looked at again */
#define ACCEPT_PAUSE_MS 50       /* when descriptors have run out: no spinning */
#define ACCEPT_COMPLAIN_MS 10000 /* between two log lines about that */

static int bind_one(const struct addrinfo *a) {
    int one = 1;
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, ACCEPT_BACKLOG) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

enum err accept_listen(const char *host, uint16_t port, const char *setting, int *ret_fd,
                       struct error *error) {
    char service[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    (void)snprintf(service, sizeof service, "%u", (unsigned)port);
    int code = getaddrinfo(host, service, &hints, &found);
    if (code != 0)
        return error_set(error, ERR_SYSTEM, "%s: %s", host, gai_strerror(code));
    int fd = -1;
    for (struct addrinfo *a = found; a != NULL && fd < 0; a = a->ai_next)
        fd = bind_one(a);
    int saved = errno;
    freeaddrinfo(found);
    if (fd < 0 && saved == EADDRINUSE)
        return error_set(error, ERR_SYSTEM,
                         "port %u on %s is taken by another program; set %s to a free one", port,
                         host, setting);
    if (fd < 0)
        return error_set(error, ERR_SYSTEM, "cannot listen on %s:%u: %s", host, port,
                         strerrordesc_np(saved));
    *ret_fd = fd;
    return ERR_OK;
}

static struct worker *least_busy(struct worker **workers, unsigned count, unsigned *total) {
    struct worker *best = workers[0];
    unsigned fewest = worker_connections(best);
    *total = fewest;
    for (unsigned i = 1; i < count; i++) {
        unsigned n = worker_connections(workers[i]);
        *total += n;
        if (n < fewest) {
            best = workers[i];
            fewest = n;
        }
    }
    return best;
}

/* Over the limit: an answer that fits every socket buffer, and no state for it. */
static void turn_away(int fd) {
    static const char answer[] =
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
        "Retry-After: 2\r\nConnection: close\r\nContent-Length: 74\r\n\r\n"
        "{\"message\":\"Too many connections.\",\"code\":\"SlowDown\",\"request_id\":\"none\"}\n";
    ssize_t n = send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)n; /* who does not even take this is gone */
    close(fd);
}

static void hand_over(struct acceptor *a, int fd, const struct sockaddr_storage *address,
                      socklen_t n) {
    char remote[NI_MAXHOST] = "unknown";
    int one = 1;
    unsigned total = 0;
    struct worker *w = least_busy(a->workers, a->worker_count, &total);
    if (total >= a->max) {
        metrics_add(&a->turned_away, 1);
        turn_away(fd);
        return;
    }
    (void)getnameinfo((const struct sockaddr *)address, n, remote, sizeof remote, NULL, 0,
                      NI_NUMERICHOST);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (worker_adopt(w, fd, remote) != ERR_OK)
        log_message(LOG_ERROR, "no memory for a connection");
}

/* Takes what waits. False when descriptors have run out. */
static bool accept_burst(struct acceptor *a) {
    for (unsigned i = 0; i < ACCEPT_BURST; i++) {
        struct sockaddr_storage address;
        socklen_t n = sizeof address;
        int fd =
            accept4(a->listen_fd, (struct sockaddr *)&address, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            hand_over(a, fd, &address, n);
        else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            return false;
        else if (errno == EAGAIN)
            return true;
    }
    return true;
}

bool accept_run(struct acceptor *a, uint32_t timeout_ms) {
    uint64_t end = clock_monotonic_ms() + timeout_ms;
    uint64_t complained = 0;
    bool pause = false;
    for (;;) {
        uint64_t now = clock_monotonic_ms();
        if (timeout_ms != ACCEPT_FOREVER && now >= end) {
            /* Who has connected already must not be reset by the end of the listening socket. */
            (void)accept_burst(a);
            return true;
        }
        int wait = pause ? ACCEPT_PAUSE_MS : -1;
        if (timeout_ms != ACCEPT_FOREVER && (wait < 0 || end - now < (uint64_t)wait))
            wait = (int)(end - now);
        struct pollfd fds[] = {{.fd = a->signal_fd, .events = POLLIN},
                               {.fd = pause ? -1 : a->listen_fd, .events = POLLIN}};
        pause = false;
        if (poll(fds, 2, wait) < 0)
            continue;
        struct signalfd_siginfo info;
        if (fds[0].revents != 0 && read(a->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
            return false;
        if (fds[1].revents == 0)
            continue;
        pause = !accept_burst(a);
        if (pause && now - complained > ACCEPT_COMPLAIN_MS) {
            complained = now;
            log_message(LOG_WARN, "connections wait: no file descriptors are left");
        }
    }
}

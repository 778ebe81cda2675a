#include "connection.h"

#include "exchange_mhd.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "fileservice/base/banned.h"

#define CONNECTION_CUT_HEAD_SECONDS 1 /* to read what has come; more will not */

static void arm(struct connection *c, uint64_t seconds) {
    if (loop_timer_start(c->http->loop, &c->timer, seconds * 1000) != ERR_OK)
        connection_break(c); /* without a deadline nobody may stay */
}

/* A head is awaited, or the rest of one. */
static void arm_for_head(struct connection *c, uint64_t seconds) {
    arm(c, c->half_closed ? CONNECTION_CUT_HEAD_SECONDS : seconds);
}

size_t connection_queued(const struct connection *c) {
    int queued = 0;
    return ioctl(c->fd, FIONREAD, &queued) == 0 && queued > 0 ? (size_t)queued : 0;
}

/* Whether what a half-closed client sent is less than it promised. */
static bool body_is_cut(const struct connection *c) {
    const struct exchange *x = c->exchange;
    if (x == NULL || !exchange_awaits_body(x))
        return false;
    size_t queued = connection_queued(c);
    if (exchange_is_chunked(x))
        return queued == 0 && exchange_unread(x) == 0;
    return exchange_received(x) + exchange_unread(x) + queued < exchange_length(x);
}

static void look(struct connection *c) {
    if (c->half_closed && body_is_cut(c))
        exchange_body_was_cut(c->exchange);
}

static void look_run(struct loop_task *task) { look(CONTAINER_OF(task, struct connection, look)); }

static void watch_ready(struct loop_watch *watch, uint32_t events) {
    struct connection *c = CONTAINER_OF(watch, struct connection, watch);
    if (events & (EPOLLERR | EPOLLHUP)) {
        connection_break(c);
        return;
    }
    c->half_closed = true;
    if (c->exchange == NULL || exchange_is_in_head(c->exchange))
        arm_for_head(c, 0);
    else
        look(c); /* at once: MHD, whose turn comes later in this step, would close without a word */
}

/* Bytes of a body that have come from the client, or have arrived there: what only fills the kernel's
 * buffers, which are large, is no progress of a reader. */
static uint64_t moved(const struct connection *c) {
    int waiting = 0;
    if (!exchange_streams(c->exchange))
        return exchange_received(c->exchange);
    uint64_t sent = exchange_streamed(c->exchange);
    if (ioctl(c->fd, SIOCOUTQ, &waiting) != 0 || waiting < 0 || (uint64_t)waiting > sent)
        return sent;
    return sent - (uint64_t)waiting;
}

/* A body slower than the least rate, over an idle timeout. Time in which we held the client back
 * does not count. */
static bool body_is_too_slow(struct connection *c) {
    const struct config *config = c->http->config;
    uint64_t window_ms = (uint64_t)config->client_idle_timeout_s * 1000;
    uint64_t held_ms = exchange_take_held_ms(c->exchange);
    uint64_t open_ms = held_ms < window_ms ? window_ms - held_ms : 0;
    uint64_t now = moved(c);
    uint64_t got = now > c->window_moved ? now - c->window_moved : 0;
    c->window_moved = now;
    return got < (uint64_t)config->client_min_bytes_per_s * open_ms / 1000;
}

static void timer_fired(struct loop_timer *timer) {
    struct connection *c = CONTAINER_OF(timer, struct connection, timer);
    bool body =
        c->exchange != NULL && (exchange_awaits_body(c->exchange) || exchange_streams(c->exchange));
    if (body && !body_is_too_slow(c))
        arm(c, c->http->config->client_idle_timeout_s);
    else
        connection_break(c);
}

struct connection *connection_new(struct http_context *http, int fd, const char *remote) {
    struct connection *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->http = http;
    c->fd = fd;
    size_t n = strlen(remote);
    memcpy(c->remote, remote, n < sizeof c->remote ? n : sizeof c->remote - 1);
    c->watch = (struct loop_watch){.fd = fd, .ready = watch_ready};
    c->timer.fire = timer_fired;
    loop_task_init(&c->look, look_run);
    list_init(&c->node);
    return c;
}

void connection_free(struct connection *c) {
    loop_watch_closing(c->http->loop, &c->watch);
    loop_timer_stop(c->http->loop, &c->timer);
    loop_cancel(c->http->loop, &c->look);
    list_remove(&c->node);
    free(c);
}

void connection_opened(struct connection *c, struct MHD_Connection *mhd) {
    c->mhd = mhd;
    /* Edge-triggered and without EPOLLIN: bytes are MHD's business, and a half-close that is not yet
     * the end would otherwise be told again in every step. */
    if (loop_watch_set(c->http->loop, &c->watch, EPOLLRDHUP | EPOLLET) != ERR_OK)
        connection_break(c);
    arm_for_head(c, c->http->config->client_header_timeout_s);
}

void connection_exchange_began(struct connection *c, struct exchange *x) { c->exchange = x; }

void connection_head_done(struct connection *c) {
    c->window_moved = 0;
    if (exchange_awaits_body(c->exchange))
        arm(c, c->http->config->client_idle_timeout_s);
    else
        loop_timer_stop(c->http->loop, &c->timer);
    if (c->half_closed)
        loop_post(c->http->loop, &c->look);
}

/* MHD's own limit counts writes to the kernel, which takes megabytes at once from a fast S3 and then
 * none for long: a slow reader that moves would be cut. */
void connection_stream_began(struct connection *c) {
    c->window_moved = 0;
    MHD_set_connection_option(c->mhd, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
    arm(c, c->http->config->client_idle_timeout_s);
}

void connection_exchange_ended(struct connection *c) {
    if (exchange_streams(c->exchange))
        MHD_set_connection_option(c->mhd, MHD_CONNECTION_OPTION_TIMEOUT,
                                  (unsigned)c->http->config->client_idle_timeout_s);
    c->exchange = NULL;
    /* MHD ends what is idle; this is for a head that then trickles in. */
    arm_for_head(c, (uint64_t)c->http->config->client_idle_timeout_s +
                        c->http->config->client_header_timeout_s);
}

void connection_break(struct connection *c) {
    if (c->broken)
        return;
    c->broken = true;
    loop_timer_stop(c->http->loop, &c->timer);
    shutdown(c->fd, SHUT_RDWR);
    if (c->exchange != NULL)
        exchange_release(c->exchange);
}

#include "fileservice/http/worker.h"

#include "connection.h"
#include "exchange_mhd.h"
#include "mhd_log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fileservice/base/banned.h"

/* Pieces of up to 16 KiB; also the bound of a head. MHD clears all of it after every request: with
 * twice as much, 6 of 100 instructions of a small request were that. */
#define WORKER_CONNECTION_MEMORY_BYTES 32768

struct worker {
    struct http_context http;
    struct MHD_Daemon *daemon;
    struct loop_watch daemon_watch; /* MHD's own epoll */
    struct loop_driver driver;
    pthread_t thread;
    bool started;
    bool stopping;           /* the loop ends with the last connection */
    struct list connections; /* taken over by MHD */
    atomic_uint count;       /* any thread */
    struct loop_task drain;  /* this and the next four: posted by main */
    struct loop_task close_idle;
    struct loop_task break_all;
    struct loop_task stop;
    struct loop_task adopt;
    struct loop_timer give_up; /* connections that do not end when told */

    pthread_mutex_t adopted_mutex;
    struct list adopted; /* any thread, under adopted_mutex */
    struct list waiting; /* given to MHD, which has not called back yet */
};

/* MHD's part of the loop */

static void daemon_ready(struct loop_watch *watch, uint32_t events) {
    (void)events;
    CONTAINER_OF(watch, struct worker, daemon_watch)->http.mhd_due = true;
}

static void driver_step(struct loop_driver *driver) {
    struct worker *w = CONTAINER_OF(driver, struct worker, driver);
    MHD_UNSIGNED_LONG_LONG ms;
    if (!w->http.mhd_due && (MHD_get_timeout(w->daemon, &ms) != MHD_YES || ms > 0))
        return;
    w->http.mhd_due = false;
    MHD_run(w->daemon);
    if (w->stopping && list_is_empty(&w->connections))
        loop_stop(w->http.loop);
}

static int driver_timeout_ms(struct loop_driver *driver) {
    struct worker *w = CONTAINER_OF(driver, struct worker, driver);
    MHD_UNSIGNED_LONG_LONG ms;
    if (w->http.mhd_due)
        return 0;
    if (MHD_get_timeout(w->daemon, &ms) != MHD_YES)
        return -1;
    return ms > 60000 ? 60000 : (int)ms;
}

/* Connections */

static struct connection *take_waiting(struct worker *w, int fd) {
    for (struct list *n = w->waiting.next; n != &w->waiting; n = n->next) {
        struct connection *c = CONTAINER_OF(n, struct connection, node);
        if (c->fd == fd) {
            list_remove(&c->node);
            return c;
        }
    }
    return NULL;
}

static void on_connection(void *context, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode code) {
    struct worker *w = context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct connection *c = info == NULL ? NULL : take_waiting(w, info->connect_fd);
        *socket_context = c;
        if (c == NULL)
            return;
        list_append(&w->connections, &c->node);
        connection_opened(c, mhd);
        return;
    }
    if (*socket_context == NULL)
        return;
    connection_free(*socket_context);
    *socket_context = NULL;
    atomic_fetch_sub(&w->count, 1);
}

static struct connection *next_adopted(struct worker *w) {
    struct connection *c = NULL;
    pthread_mutex_lock(&w->adopted_mutex);
    if (!list_is_empty(&w->adopted)) {
        c = CONTAINER_OF(w->adopted.next, struct connection, node);
        list_remove(&c->node);
    }
    pthread_mutex_unlock(&w->adopted_mutex);
    return c;
}

static void adopt_run(struct loop_task *task) {
    struct worker *w = CONTAINER_OF(task, struct worker, adopt);
    struct connection *c;
    while ((c = next_adopted(w)) != NULL) {
        struct sockaddr_storage address;
        socklen_t n = sizeof address;
        int fd = c->fd;
        list_append(&w->waiting, &c->node);
        bool known = getpeername(fd, (struct sockaddr *)&address, &n) == 0;
        if (known && MHD_add_connection(w->daemon, fd, (struct sockaddr *)&address, n) == MHD_YES)
            continue;
        if (!known)
            close(fd); /* MHD closes it itself when it refuses */
        c = take_waiting(w, fd);
        if (c != NULL) {
            connection_free(c);
            atomic_fetch_sub(&w->count, 1);
        }
    }
    w->http.mhd_due = true;
}

enum err worker_adopt(struct worker *w, int fd, const char *remote) {
    struct connection *c = connection_new(&w->http, fd, remote);
    if (c == NULL) {
        close(fd);
        return ERR_NO_MEMORY;
    }
    atomic_fetch_add(&w->count, 1);
    pthread_mutex_lock(&w->adopted_mutex);
    list_append(&w->adopted, &c->node);
    pthread_mutex_unlock(&w->adopted_mutex);
    loop_post_remote(w->http.loop, &w->adopt);
    return ERR_OK;
}

unsigned worker_connections(const struct worker *w) { return atomic_load(&w->count); }
const struct http_metrics *worker_metrics(const struct worker *w) { return w->http.metrics; }

/* Ending */

static void drain_run(struct loop_task *task) {
    CONTAINER_OF(task, struct worker, drain)->http.draining = true;
}

static void give_up_fired(struct loop_timer *timer) {
    loop_stop(CONTAINER_OF(timer, struct worker, give_up)->http.loop);
}

/* Answers say Connection: close by now, so a connection without a request will bring none. */
static void close_idle_run(struct loop_task *task) {
    struct worker *w = CONTAINER_OF(task, struct worker, close_idle);
    for (struct list *n = w->connections.next; n != &w->connections; n = n->next) {
        struct connection *c = CONTAINER_OF(n, struct connection, node);
        /* A request that has come and was not read yet is served like the others. */
        if (c->exchange == NULL && connection_queued(c) == 0)
            connection_break(c);
    }
    w->http.mhd_due = true;
}

static void break_all(struct worker *w) {
    for (struct list *n = w->connections.next; n != &w->connections; n = n->next)
        connection_break(CONTAINER_OF(n, struct connection, node));
    w->http.mhd_due = true;
}

static void break_all_run(struct loop_task *task) {
    break_all(CONTAINER_OF(task, struct worker, break_all));
}

static void stop_run(struct loop_task *task) {
    struct worker *w = CONTAINER_OF(task, struct worker, stop);
    w->stopping = true;
    break_all(w);
    if (loop_timer_start(w->http.loop, &w->give_up, 1000) != ERR_OK)
        loop_stop(w->http.loop);
}

void worker_drain(struct worker *w) { loop_post_remote(w->http.loop, &w->drain); }
void worker_close_idle(struct worker *w) { loop_post_remote(w->http.loop, &w->close_idle); }
void worker_break(struct worker *w) { loop_post_remote(w->http.loop, &w->break_all); }

void worker_stop(struct worker *w) {
    if (!w->started)
        return;
    loop_post_remote(w->http.loop, &w->stop);
    pthread_join(w->thread, NULL);
    w->started = false;
}

/* Beginning */

static enum err start_daemon(struct worker *w, struct error *error) {
    w->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG, 0,
        NULL, NULL, exchange_on_access, &w->http, MHD_OPTION_EXTERNAL_LOGGER, mhd_log, "http",
        MHD_OPTION_CLIENT_DISCIPLINE_LVL, 3, MHD_OPTION_URI_LOG_CALLBACK, exchange_on_target,
        &w->http, MHD_OPTION_NOTIFY_COMPLETED, exchange_on_completed, &w->http,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, w, MHD_OPTION_CONNECTION_LIMIT,
        w->http.config->max_connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)WORKER_CONNECTION_MEMORY_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)w->http.config->client_idle_timeout_s, MHD_OPTION_END);
    if (w->daemon == NULL)
        return error_set(error, ERR_SYSTEM, "the HTTP server does not start");
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(w->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    w->daemon_watch = (struct loop_watch){.fd = info->epoll_fd, .ready = daemon_ready};
    return loop_watch_set(w->http.loop, &w->daemon_watch, EPOLLIN);
}

enum err worker_new(const struct worker_options *options, struct worker **ret,
                    struct error *error) {
    struct worker *w = calloc(1, sizeof *w);
    if (w == NULL)
        return error_set(error, ERR_NO_MEMORY, "no memory for a worker");
    w->http.config = options->config;
    w->http.auth = options->auth;
    w->http.handlers = options->handlers;
    w->http.handler_count = options->handler_count;
    w->http.cors = (struct cors_policy){
        .any = options->config->cors_any,
        .origins = (const char *const *)options->config->cors_origins.items,
        .count = options->config->cors_origins.count,
    };
    w->driver = (struct loop_driver){.step = driver_step, .timeout_ms = driver_timeout_ms};
    w->give_up.fire = give_up_fired;
    list_init(&w->connections);
    list_init(&w->adopted);
    list_init(&w->waiting);
    loop_task_init(&w->drain, drain_run);
    loop_task_init(&w->close_idle, close_idle_run);
    loop_task_init(&w->break_all, break_all_run);
    loop_task_init(&w->stop, stop_run);
    loop_task_init(&w->adopt, adopt_run);
    pthread_mutex_init(&w->adopted_mutex, NULL);
    w->http.metrics = http_metrics_new();
    enum err e = w->http.metrics != NULL
                     ? loop_new(&w->http.loop, error)
                     : error_set(error, ERR_NO_MEMORY, "no memory for a worker");
    if (e == ERR_OK)
        e = start_daemon(w, error);
    if (e != ERR_OK) {
        worker_free(w);
        return e;
    }
    loop_driver_add(w->http.loop, &w->driver);
    *ret = w;
    return ERR_OK;
}

struct loop *worker_loop(struct worker *w) {
    return w->http.loop;
}

void worker_set_app(struct worker *w, void *app) { w->http.app = app; }

static void *run(void *context) {
    struct worker *w = context;
    loop_run(w->http.loop);
    return NULL;
}

enum err worker_start(struct worker *w, struct error *error) {
    if (pthread_create(&w->thread, NULL, run, w) != 0)
        return error_set(error, ERR_SYSTEM, "a worker thread does not start");
    w->started = true;
    return ERR_OK;
}

void worker_free(struct worker *w) {
    if (w == NULL)
        return;
    if (w->daemon != NULL)
        MHD_stop_daemon(w->daemon);
    loop_free(w->http.loop);
    http_metrics_free(w->http.metrics);
    pthread_mutex_destroy(&w->adopted_mutex);
    free(w);
}

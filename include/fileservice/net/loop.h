/* An event loop: file descriptors, timers, tasks. One thread runs it.
 *
 * One step is: wait on epoll → descriptors that are ready → timers that are due → tasks. Callbacks
 * never act on other objects at once, they post a task: so nothing is re-entered and nothing is
 * freed under a caller's feet. The structs of watches, timers and tasks live inside their owners;
 * the loop allocates nothing for them.
 */
#ifndef FILESERVICE_NET_LOOP_H
#define FILESERVICE_NET_LOOP_H

#include "fileservice/base/err.h"
#include "fileservice/base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;

/* A descriptor that is waited on. `events` is the loop's. owner: the loop's thread */
struct loop_watch {
    int fd;
    uint32_t events;
    void (*ready)(struct loop_watch *watch, uint32_t events);
};

/* A point in time. `slot` is the loop's. owner: the loop's thread */
struct loop_timer {
    void (*fire)(struct loop_timer *timer);
    uint64_t due_ms; /* monotonic */
    size_t slot;     /* 0: not started */
};

/* Something to run once, soon. Posting a task that waits already does nothing. `posted` and `node`
 * are the loop's. */
struct loop_task {
    void (*run)(struct loop_task *task);
    struct list node;
    bool posted;
};

/* A library that keeps its own list of things to do (MHD): it is run once in every step. */
struct loop_driver {
    void (*step)(struct loop_driver *driver);
    /* Milliseconds until step() must run again, -1 for no limit. */
    int (*timeout_ms)(struct loop_driver *driver);
    struct list node; /* the loop's */
};

enum err loop_new(struct loop **ret, struct error *error) __attribute__((warn_unused_result));
void loop_free(struct loop *l); /* after loop_run returned; NULL is fine */

/* Runs steps until loop_stop(). */
void loop_run(struct loop *l);
/* Makes loop_run return after the current step. Any thread, also a signal handler's. */
void loop_stop(struct loop *l);

/* Changes the events of a watch (EPOLL*, level-triggered unless EPOLLET is in it; 0 ends it at once).
 * Other changes reach the kernel once a step; if it refuses one, `ready` gets EPOLLERR. Once ended,
 * `ready` is not called again, not even for events of the current step; the descriptor may be closed
 * at once. One watch for a descriptor. ERR_NO_MEMORY when the table cannot grow; ending never fails. */
enum err loop_watch_set(struct loop *l, struct loop_watch *watch, uint32_t events)
    __attribute__((warn_unused_result));

/* Ends a watch for now, without a system call: the kernel is told only if something comes meanwhile.
 * For connections that are kept: waited on again with the same events, they cost nothing. Before the
 * descriptor is closed, loop_watch_closing() must be called. */
void loop_watch_rest(struct loop *l, struct loop_watch *watch);

/* Ends a watch whose descriptor is closed next, which makes the kernel forget it. */
void loop_watch_closing(struct loop *l, struct loop_watch *watch);

/* Starts or moves a timer; it fires delay_ms after this call or later, never before. ERR_NO_MEMORY
 * when the heap cannot grow. */
enum err loop_timer_start(struct loop *l, struct loop_timer *timer, uint64_t delay_ms)
    __attribute__((warn_unused_result));
void loop_timer_stop(struct loop *l, struct loop_timer *timer);

void loop_task_init(struct loop_task *task, void (*run)(struct loop_task *task));
void loop_post(struct loop *l, struct loop_task *task); /* the loop's thread */
/* Takes a posted task back; does nothing when it does not wait. The loop's thread. A task that other
 * threads post must not be cancelled while they may still post it. */
void loop_cancel(struct loop *l, struct loop_task *task);
void loop_post_remote(struct loop *l, struct loop_task *task); /* any thread; wakes the loop */

void loop_driver_add(struct loop *l, struct loop_driver *driver);
void loop_driver_remove(struct loop *l, struct loop_driver *driver);

/* Time of the current step, monotonic; cheap. */
uint64_t loop_now_ms(const struct loop *l);

#endif

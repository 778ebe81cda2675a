#include "fileservice/net/loop.h"

#include "fileservice/base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fileservice/base/banned.h"

#define LOOP_EVENTS_PER_STEP 256
#define LOOP_WAIT_MAX_MS 60000

/* What is known of one descriptor. Descriptors are small numbers, so a table is the quickest map. */
struct descriptor {
    struct loop_watch *watch; /* NULL: not waited on */
    uint32_t installed;       /* what the kernel was told last; 0: it does not know it */
    bool changed;             /* stands in `changes` */
};

struct loop {
    int epoll_fd;
    struct loop_watch wake; /* an eventfd */
    atomic_bool stopping;
    uint64_t now_ms;

    struct descriptor *descriptors;
    size_t descriptor_count;
    int *changes; /* descriptors whose events changed in this step; room for all of them */
    size_t change_count;

    struct loop_timer **heap; /* heap[1] is due first; slot 0 is unused */
    size_t heap_count;
    size_t heap_capacity;

    struct list tasks;
    struct list drivers;

    pthread_mutex_t remote_mutex;
    struct list remote_tasks; /* any thread, under remote_mutex */
};

static void wake_ready(struct loop_watch *watch, uint32_t events) {
    (void)events;
    uint64_t count;
    ssize_t n = read(watch->fd, &count, sizeof count);
    (void)n; /* level-triggered: an interrupted read comes again */
}

enum err loop_new(struct loop **ret, struct error *error) {
    struct loop *l = calloc(1, sizeof *l);
    if (l == NULL)
        return error_set(error, ERR_NO_MEMORY, "no memory for an event loop");
    list_init(&l->tasks);
    list_init(&l->drivers);
    list_init(&l->remote_tasks);
    pthread_mutex_init(&l->remote_mutex, NULL);
    l->now_ms = clock_monotonic_ms();
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->wake =
        (struct loop_watch){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .ready = wake_ready};
    if (l->epoll_fd < 0 || l->wake.fd < 0 || loop_watch_set(l, &l->wake, EPOLLIN) != ERR_OK) {
        loop_free(l);
        return error_set(error, ERR_SYSTEM, "cannot create an event loop");
    }
    *ret = l;
    return ERR_OK;
}

void loop_free(struct loop *l) {
    if (l == NULL)
        return;
    if (l->epoll_fd >= 0)
        close(l->epoll_fd);
    if (l->wake.fd >= 0)
        close(l->wake.fd);
    pthread_mutex_destroy(&l->remote_mutex);
    free(l->descriptors);
    free(l->changes);
    free(l->heap);
    free(l);
}

uint64_t loop_now_ms(const struct loop *l) { return l->now_ms; }

static void wake(struct loop *l) {
    uint64_t one = 1;
    ssize_t n = write(l->wake.fd, &one, sizeof one);
    (void)n; /* it fails only when the counter is full: then the loop wakes anyway */
}

void loop_stop(struct loop *l) {
    atomic_store(&l->stopping, true);
    wake(l);
}

/* Descriptors */

static enum err grow_descriptors(struct loop *l, size_t need) {
    size_t count = l->descriptor_count < 64 ? 64 : l->descriptor_count;
    while (count < need)
        count *= 2;
    int *changes = realloc(l->changes, count * sizeof *changes);
    if (changes == NULL)
        return ERR_NO_MEMORY;
    l->changes = changes;
    struct descriptor *table = realloc(l->descriptors, count * sizeof *table);
    if (table == NULL)
        return ERR_NO_MEMORY;
    memset(table + l->descriptor_count, 0, (count - l->descriptor_count) * sizeof *table);
    l->descriptors = table;
    l->descriptor_count = count;
    return ERR_OK;
}

static void uninstall(struct loop *l, int fd) {
    struct descriptor *d = &l->descriptors[fd];
    struct epoll_event event = {.events = 0};
    if (d->installed != 0)
        epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, &event);
    d->installed = 0;
}

/* The watch's row, or NULL when it does not wait. */
static struct descriptor *find_row(struct loop *l, const struct loop_watch *watch) {
    size_t fd = (size_t)watch->fd;
    return fd < l->descriptor_count && l->descriptors[fd].watch == watch ? &l->descriptors[fd]
                                                                         : NULL;
}

void loop_watch_rest(struct loop *l, struct loop_watch *watch) {
    struct descriptor *d = find_row(l, watch);
    if (d != NULL)
        d->watch = NULL;
    watch->events = 0;
}

void loop_watch_closing(struct loop *l, struct loop_watch *watch) {
    loop_watch_rest(l, watch);
    if ((size_t)watch->fd < l->descriptor_count)
        l->descriptors[watch->fd].installed = 0;
}

enum err loop_watch_set(struct loop *l, struct loop_watch *watch, uint32_t events) {
    size_t fd = (size_t)watch->fd;
    if (events == 0) {
        if (find_row(l, watch) != NULL)
            uninstall(l, watch->fd);
        loop_watch_rest(l, watch);
        return ERR_OK;
    }
    if (fd >= l->descriptor_count && grow_descriptors(l, fd + 1) != ERR_OK)
        return ERR_NO_MEMORY;
    struct descriptor *d = &l->descriptors[fd];
    watch->events = events;
    d->watch = watch;
    if (!d->changed && d->installed != events) {
        d->changed = true;
        l->changes[l->change_count++] = watch->fd;
    }
    return ERR_OK;
}

/* Tells the kernel what is wanted; false when it refuses. */
static bool install(struct loop *l, int fd) {
    struct descriptor *d = &l->descriptors[fd];
    struct epoll_event event = {.events = d->watch->events, .data.fd = fd};
    int how = d->installed == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    d->installed = epoll_ctl(l->epoll_fd, how, fd, &event) == 0 ? event.events : 0;
    return d->installed != 0;
}

static void apply_changes(struct loop *l) {
    for (size_t i = 0; i < l->change_count; i++) {
        int fd = l->changes[i];
        struct descriptor *d = &l->descriptors[fd];
        d->changed = false;
        if (d->watch == NULL || d->watch->events == d->installed || install(l, fd))
            continue;
        struct loop_watch *watch = d->watch;
        /* Out of order, but outside every callback: nothing is re-entered. */
        watch->ready(watch, EPOLLERR);
    }
    l->change_count = 0;
}

/* Timers: a binary heap by due time */

static void heap_put(struct loop *l, size_t slot, struct loop_timer *timer) {
    l->heap[slot] = timer;
    timer->slot = slot;
}

static void heap_up(struct loop *l, size_t slot, struct loop_timer *timer) {
    for (; slot > 1 && l->heap[slot / 2]->due_ms > timer->due_ms; slot /= 2)
        heap_put(l, slot, l->heap[slot / 2]);
    heap_put(l, slot, timer);
}

static void heap_down(struct loop *l, size_t slot, struct loop_timer *timer) {
    for (;;) {
        size_t child = slot * 2;
        if (child > l->heap_count)
            break;
        if (child < l->heap_count && l->heap[child + 1]->due_ms < l->heap[child]->due_ms)
            child++;
        if (l->heap[child]->due_ms >= timer->due_ms)
            break;
        heap_put(l, slot, l->heap[child]);
        slot = child;
    }
    heap_put(l, slot, timer);
}

enum err loop_timer_start(struct loop *l, struct loop_timer *timer, uint64_t delay_ms) {
    loop_timer_stop(l, timer);
    if (l->heap_count + 1 >= l->heap_capacity) {
        size_t capacity = l->heap_capacity < 64 ? 64 : l->heap_capacity * 2;
        struct loop_timer **heap = realloc(l->heap, capacity * sizeof(struct loop_timer *));
        if (heap == NULL)
            return ERR_NO_MEMORY;
        l->heap = heap;
        l->heap_capacity = capacity;
    }
    /* Not from the time of the step: what ran in it before would make the timer early. */
    uint64_t now = clock_monotonic_ms();
    timer->due_ms = now > UINT64_MAX - delay_ms ? UINT64_MAX : now + delay_ms;
    l->heap_count++;
    heap_up(l, l->heap_count, timer);
    return ERR_OK;
}

void loop_timer_stop(struct loop *l, struct loop_timer *timer) {
    size_t slot = timer->slot;
    if (slot == 0)
        return;
    timer->slot = 0;
    struct loop_timer *last = l->heap[l->heap_count--];
    if (last == timer)
        return;
    if (slot > 1 && l->heap[slot / 2]->due_ms > last->due_ms)
        heap_up(l, slot, last);
    else
        heap_down(l, slot, last);
}

static void fire_timers(struct loop *l) {
    while (l->heap_count > 0 && l->heap[1]->due_ms <= l->now_ms) {
        struct loop_timer *timer = l->heap[1];
        loop_timer_stop(l, timer);
        timer->fire(timer);
    }
}

/* Tasks */

void loop_task_init(struct loop_task *task, void (*run)(struct loop_task *task)) {
    task->run = run;
    task->posted = false;
    list_init(&task->node);
}

void loop_post(struct loop *l, struct loop_task *task) {
    if (task->posted)
        return;
    task->posted = true;
    list_append(&l->tasks, &task->node);
}

void loop_cancel(struct loop *l, struct loop_task *task) {
    pthread_mutex_lock(&l->remote_mutex);
    list_remove(&task->node);
    task->posted = false;
    pthread_mutex_unlock(&l->remote_mutex);
}

void loop_post_remote(struct loop *l, struct loop_task *task) {
    pthread_mutex_lock(&l->remote_mutex);
    bool first = !task->posted;
    if (first) {
        task->posted = true;
        list_append(&l->remote_tasks, &task->node);
    }
    pthread_mutex_unlock(&l->remote_mutex);
    if (first)
        wake(l);
}

/* Takes the first task off a list; `posted` is cleared before it runs, so it may post itself anew. */
static bool run_first(struct list *tasks) {
    if (list_is_empty(tasks))
        return false;
    struct loop_task *task = CONTAINER_OF(tasks->next, struct loop_task, node);
    list_remove(&task->node);
    task->posted = false;
    task->run(task);
    return true;
}

static bool run_first_remote(struct loop *l) {
    pthread_mutex_lock(&l->remote_mutex);
    struct loop_task *task = NULL;
    if (!list_is_empty(&l->remote_tasks)) {
        task = CONTAINER_OF(l->remote_tasks.next, struct loop_task, node);
        list_remove(&task->node);
        task->posted = false;
    }
    pthread_mutex_unlock(&l->remote_mutex);
    if (task != NULL)
        task->run(task);
    return task != NULL;
}

/* Tasks that tasks post run in the same step, but only so many: descriptors must get their turn. */
static void run_tasks(struct loop *l) {
    for (size_t n = 0; n < 4096 && run_first(&l->tasks); n++) {
    }
}

void loop_driver_add(struct loop *l, struct loop_driver *driver) {
    list_append(&l->drivers, &driver->node);
}

void loop_driver_remove(struct loop *l, struct loop_driver *driver) {
    (void)l;
    list_remove(&driver->node);
}

static int wait_ms(struct loop *l) {
    uint64_t wait = LOOP_WAIT_MAX_MS;
    if (!list_is_empty(&l->tasks))
        return 0;
    if (l->heap_count > 0) {
        uint64_t now = clock_monotonic_ms();
        uint64_t due = l->heap[1]->due_ms;
        wait = due <= now ? 0 : due - now < wait ? due - now : wait;
    }
    for (struct list *n = l->drivers.next; n != &l->drivers; n = n->next) {
        struct loop_driver *driver = CONTAINER_OF(n, struct loop_driver, node);
        int ms = driver->timeout_ms(driver);
        if (ms >= 0 && (uint64_t)ms < wait)
            wait = (uint64_t)ms;
    }
    return (int)wait;
}

static void dispatch(struct loop *l, const struct epoll_event *events, int count) {
    for (int i = 0; i < count; i++) {
        struct loop_watch *watch = l->descriptors[events[i].data.fd].watch;
        if (watch != NULL)
            watch->ready(watch, events[i].events);
        else
            uninstall(l, events[i].data.fd); /* at rest, and yet something comes */
    }
}

void loop_run(struct loop *l) {
    struct epoll_event events[LOOP_EVENTS_PER_STEP];
    while (!atomic_load(&l->stopping)) {
        apply_changes(l);
        int count = epoll_wait(l->epoll_fd, events, LOOP_EVENTS_PER_STEP, wait_ms(l));
        l->now_ms = clock_monotonic_ms();
        dispatch(l, events, count);
        for (struct list *n = l->drivers.next, *next = n->next; n != &l->drivers;
             n = next, next = n->next) {
            struct loop_driver *driver = CONTAINER_OF(n, struct loop_driver, node);
            driver->step(driver);
        }
        fire_timers(l);
        while (run_first_remote(l)) {
        }
        run_tasks(l);
    }
    atomic_store(&l->stopping, false);
}

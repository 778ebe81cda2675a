/* The event loop: descriptors, timers, tasks. */
#include "fileservice/net/loop.h"
#include "fileservice/base/clock.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct loop *loop;
static char order[64]; /* what ran, a letter each */
static size_t order_n;

static void note(char c) {
    assert_true(order_n < sizeof order - 1);
    order[order_n++] = c;
    order[order_n] = '\0';
}

static int set_up(void **state) {
    struct error error;
    (void)state;
    order_n = 0;
    order[0] = '\0';
    return loop_new(&loop, &error) == ERR_OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    loop_free(loop);
    return 0;
}

/* Timers */

struct letter_timer {
    struct loop_timer timer;
    char letter;
    bool last;
};

static void letter_fired(struct loop_timer *timer) {
    struct letter_timer *t = CONTAINER_OF(timer, struct letter_timer, timer);
    note(t->letter);
    if (t->last)
        loop_stop(loop);
}

static void timers_fire_in_the_order_of_their_time_moved_and_stopped_ones_too(void **state) {
    struct letter_timer t[6];
    (void)state;
    memset(t, 0, sizeof t);
    for (size_t i = 0; i < 6; i++) {
        t[i].timer.fire = letter_fired;
        t[i].letter = (char)('a' + i);
    }
    t[5].last = true;
    assert_int_equal(loop_timer_start(loop, &t[2].timer, 30), ERR_OK);
    assert_int_equal(loop_timer_start(loop, &t[0].timer, 10), ERR_OK);
    assert_int_equal(loop_timer_start(loop, &t[3].timer, 1), ERR_OK);
    assert_int_equal(loop_timer_start(loop, &t[1].timer, 20), ERR_OK);
    assert_int_equal(loop_timer_start(loop, &t[4].timer, 5), ERR_OK);
    assert_int_equal(loop_timer_start(loop, &t[5].timer, 60), ERR_OK);
    assert_int_equal(loop_timer_start(loop, &t[3].timer, 40), ERR_OK); /* moved */
    loop_timer_stop(loop, &t[4].timer);
    loop_timer_stop(loop, &t[4].timer);
    loop_run(loop);
    assert_string_equal(order, "abcdf");
}

struct due_timer {
    struct loop_timer timer;
    uint64_t due_ms;
};

static uint64_t last_due_ms;
static size_t fired;

static void due_fired(struct loop_timer *timer) {
    struct due_timer *t = CONTAINER_OF(timer, struct due_timer, timer);
    assert_true(t->due_ms >= last_due_ms);
    last_due_ms = t->due_ms;
    fired++;
}

static void a_thousand_random_timers_fire_in_order(void **state) {
    enum { COUNT = 1000 };
    static struct due_timer timers[COUNT];
    struct letter_timer end = {{letter_fired, 0, 0}, 'e', true};
    uint32_t seed = 7;
    (void)state;
    last_due_ms = 0;
    fired = 0;
    for (size_t i = 0; i < COUNT; i++) {
        seed = seed * 1664525u + 1013904223u;
        uint64_t delay_ms = (seed >> 8) % 50;
        timers[i].timer.fire = due_fired;
        assert_int_equal(loop_timer_start(loop, &timers[i].timer, delay_ms), ERR_OK);
        timers[i].due_ms = timers[i].timer.due_ms;
    }
    for (size_t i = 0; i < COUNT; i += 3)
        loop_timer_stop(loop, &timers[i].timer);
    assert_int_equal(loop_timer_start(loop, &end.timer, 100), ERR_OK);
    loop_run(loop);
    assert_int_equal(fired, COUNT - (COUNT + 2) / 3);
}

static void a_timer_is_never_early(void **state) {
    struct letter_timer t = {{letter_fired, 0, 0}, 'x', true};
    struct timespec work = {.tv_nsec = 30 * 1000 * 1000}; /* a step that takes long */
    (void)state;
    nanosleep(&work, NULL);
    uint64_t begin = clock_monotonic_ms();
    assert_int_equal(loop_timer_start(loop, &t.timer, 50), ERR_OK);
    loop_run(loop);
    assert_true(clock_monotonic_ms() - begin >= 50);
}

/* Descriptors */

struct pipe_watch {
    struct loop_watch watch;
    struct loop_watch *other; /* removed by this one's callback */
    char letter;
    uint32_t events;
};

static void pipe_ready(struct loop_watch *watch, uint32_t events) {
    struct pipe_watch *p = CONTAINER_OF(watch, struct pipe_watch, watch);
    char byte;
    note(p->letter);
    p->events = events;
    if (events & EPOLLIN)
        assert_int_equal(read(watch->fd, &byte, 1), 1);
    if (p->other != NULL)
        assert_int_equal(loop_watch_set(loop, p->other, 0), ERR_OK);
    loop_stop(loop);
}

static void a_watch_hears_of_bytes_and_not_after_its_end(void **state) {
    int fds[2];
    (void)state;
    assert_int_equal(pipe(fds), 0);
    struct pipe_watch w = {{fds[0], 0, pipe_ready}, NULL, 'w', 0};
    assert_int_equal(loop_watch_set(loop, &w.watch, EPOLLIN), ERR_OK);
    assert_int_equal(write(fds[1], "12", 2), 2);
    loop_run(loop);
    assert_string_equal(order, "w");
    assert_int_equal(loop_watch_set(loop, &w.watch, 0), ERR_OK);
    struct letter_timer t = {{letter_fired, 0, 0}, 't', true};
    assert_int_equal(loop_timer_start(loop, &t.timer, 20), ERR_OK);
    loop_run(loop); /* the second byte is there, but nobody watches */
    assert_string_equal(order, "wt");
    close(fds[0]);
    close(fds[1]);
}

static void a_watch_removed_in_the_same_step_is_not_called(void **state) {
    int a[2];
    int b[2];
    (void)state;
    assert_int_equal(pipe(a), 0);
    assert_int_equal(pipe(b), 0);
    struct pipe_watch first = {{a[0], 0, pipe_ready}, NULL, 'x', 0};
    struct pipe_watch second = {{b[0], 0, pipe_ready}, &first.watch, 'x', 0};
    first.other = &second.watch; /* whichever comes first ends the other */
    assert_int_equal(loop_watch_set(loop, &first.watch, EPOLLIN), ERR_OK);
    assert_int_equal(loop_watch_set(loop, &second.watch, EPOLLIN), ERR_OK);
    assert_int_equal(write(a[1], "1", 1), 1);
    assert_int_equal(write(b[1], "1", 1), 1);
    loop_run(loop);
    assert_string_equal(order, "x");
    close(a[0]);
    close(a[1]);
    close(b[0]);
    close(b[1]);
}

static void a_number_that_was_closed_and_opened_again_is_watched_anew(void **state) {
    int fds[2];
    (void)state;
    assert_int_equal(pipe(fds), 0);
    struct pipe_watch w = {{fds[0], 0, pipe_ready}, NULL, 'w', 0};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(loop_watch_set(loop, &w.watch, EPOLLIN), ERR_OK);
        assert_int_equal(write(fds[1], "1", 1), 1);
        loop_run(loop);
        assert_int_equal(loop_watch_set(loop, &w.watch, 0), ERR_OK);
        int number = fds[0];
        close(fds[0]);
        close(fds[1]);
        assert_int_equal(pipe(fds), 0);
        assert_int_equal(fds[0], number); /* the lowest free one */
    }
    assert_string_equal(order, "www");
    close(fds[0]);
    close(fds[1]);
}

static void a_watch_at_rest_hears_nothing_and_hears_again_later(void **state) {
    int fds[2];
    struct letter_timer end = {{letter_fired, 0, 0}, '-', true};
    (void)state;
    assert_int_equal(pipe(fds), 0);
    struct pipe_watch w = {{fds[0], 0, pipe_ready}, NULL, 'w', 0};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(loop_watch_set(loop, &w.watch, EPOLLIN), ERR_OK);
        assert_int_equal(write(fds[1], "1", 1), 1);
        loop_run(loop);
        loop_watch_rest(loop, &w.watch);
        if (i == 0) /* the second time nothing comes while it is at rest */
            assert_int_equal(write(fds[1], "2", 1), 1);
        assert_int_equal(loop_timer_start(loop, &end.timer, 5), ERR_OK);
        loop_run(loop);
        if (i == 0) {
            assert_int_equal(loop_watch_set(loop, &w.watch, EPOLLIN), ERR_OK);
            loop_run(loop);
        }
    }
    assert_string_equal(order, "w-ww-");
    loop_watch_closing(loop, &w.watch);
    close(fds[0]);
    close(fds[1]);
}

static void a_number_that_was_closed_at_rest_is_watched_anew(void **state) {
    int fds[2];
    (void)state;
    assert_int_equal(pipe(fds), 0);
    struct pipe_watch w = {{fds[0], 0, pipe_ready}, NULL, 'w', 0};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(loop_watch_set(loop, &w.watch, EPOLLIN), ERR_OK);
        assert_int_equal(write(fds[1], "1", 1), 1);
        loop_run(loop);
        loop_watch_rest(loop, &w.watch);
        loop_watch_closing(loop, &w.watch);
        close(fds[0]);
        close(fds[1]);
        assert_int_equal(pipe(fds), 0);
    }
    assert_string_equal(order, "www");
    close(fds[0]);
    close(fds[1]);
}

static void a_descriptor_that_the_kernel_refuses_is_told(void **state) {
    FILE *file = tmpfile(); /* plain files cannot be polled */
    (void)state;
    assert_non_null(file);
    struct pipe_watch w = {{fileno(file), 0, pipe_ready}, NULL, 'e', 0};
    assert_int_equal(loop_watch_set(loop, &w.watch, EPOLLOUT), ERR_OK);
    loop_run(loop);
    assert_true((w.events & EPOLLERR) != 0);
    assert_int_equal(loop_watch_set(loop, &w.watch, 0), ERR_OK);
    (void)fclose(file);
}

/* Tasks */

struct letter_task {
    struct loop_task task;
    struct letter_task *next; /* posted by this one */
    char letter;
};

static void letter_run(struct loop_task *task) {
    struct letter_task *t = CONTAINER_OF(task, struct letter_task, task);
    note(t->letter);
    if (t->next != NULL)
        loop_post(loop, &t->next->task);
    else
        loop_stop(loop);
}

static void tasks_run_once_in_order_and_may_post_more(void **state) {
    struct letter_task t[4] = {{.letter = 'a'}, {.letter = 'b'}, {.letter = 'c'}, {.letter = 'd'}};
    (void)state;
    for (size_t i = 0; i < 4; i++)
        loop_task_init(&t[i].task, letter_run);
    t[0].next = &t[3];
    t[1].next = &t[3]; /* waits already: posting again does nothing */
    t[2].next = &t[3];
    loop_post(loop, &t[0].task);
    loop_post(loop, &t[0].task);
    loop_post(loop, &t[1].task);
    loop_post(loop, &t[2].task);
    loop_cancel(loop, &t[2].task);
    loop_cancel(loop, &t[2].task);
    loop_run(loop);
    assert_string_equal(order, "abd");
}

enum { POSTERS = 4, POSTS = 1000 };
static struct loop_task posted[POSTERS][POSTS];
static unsigned ran;

static void count_run(struct loop_task *task) {
    (void)task;
    if (++ran == POSTERS * POSTS)
        loop_stop(loop);
}

static void *post_all(void *argument) {
    struct loop_task *tasks = argument;
    for (size_t i = 0; i < POSTS; i++)
        loop_post_remote(loop, &tasks[i]);
    return NULL;
}

static void every_task_of_other_threads_runs(void **state) {
    pthread_t threads[POSTERS];
    (void)state;
    ran = 0;
    for (size_t i = 0; i < POSTERS; i++) {
        for (size_t k = 0; k < POSTS; k++)
            loop_task_init(&posted[i][k], count_run);
        assert_int_equal(pthread_create(&threads[i], NULL, post_all, posted[i]), 0);
    }
    loop_run(loop);
    for (size_t i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(ran, POSTERS * POSTS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            timers_fire_in_the_order_of_their_time_moved_and_stopped_ones_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_thousand_random_timers_fire_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_timer_is_never_early, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_watch_hears_of_bytes_and_not_after_its_end, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_watch_removed_in_the_same_step_is_not_called, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_watch_at_rest_hears_nothing_and_hears_again_later, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_number_that_was_closed_at_rest_is_watched_anew, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_number_that_was_closed_and_opened_again_is_watched_anew,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_descriptor_that_the_kernel_refuses_is_told, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(tasks_run_once_in_order_and_may_post_more, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(every_task_of_other_threads_runs, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

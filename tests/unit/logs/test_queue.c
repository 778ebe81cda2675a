/* The queue before CloudWatch: bounded, in order, every line counted exactly once. */
#include "queue.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static size_t put(struct queue *q, enum log_stream stream, int64_t wall_ms, const char *text) {
    struct log_line line = {wall_ms, LOG_INFO, stream, span_of(text)};
    return queue_put(q, &line);
}

static void expect_texts(const struct list *taken, const char *const *want, size_t count) {
    size_t i = 0;
    for (const struct list *n = taken->next; n != taken; n = n->next, i++) {
        const struct queue_line *l = CONTAINER_OF(n, struct queue_line, node);
        assert_true(i < count);
        assert_int_equal(l->n, strlen(want[i]));
        assert_memory_equal(l->text, want[i], l->n);
    }
    assert_int_equal(i, count);
}

static void expect_balance(struct queue *q, uint64_t produced) {
    struct logs_cloudwatch_counts c = queue_counts(q);
    assert_int_equal(c.produced, produced);
    assert_int_equal(c.delivered + c.dropped + c.rejected, produced);
}

static void lines_come_out_in_order_also_after_they_were_given_back(void **state) {
    (void)state;
    struct queue q;
    struct list taken;
    list_init(&taken);
    queue_init(&q, 100000);
    put(&q, LOG_STREAM_SERVICE, 1, "a");
    put(&q, LOG_STREAM_DEFAULT, 2, "other");
    put(&q, LOG_STREAM_SERVICE, 3, "b");
    put(&q, LOG_STREAM_SERVICE, 4, "c");
    queue_take(&q, LOG_STREAM_SERVICE, 2, &taken);
    expect_texts(&taken, (const char *[]){"a", "b"}, 2);
    queue_give_back(&q, LOG_STREAM_SERVICE, &taken);
    assert_true(list_is_empty(&taken));
    queue_take(&q, LOG_STREAM_SERVICE, 10, &taken);
    expect_texts(&taken, (const char *[]){"a", "b", "c"}, 3);
    queue_release(&q, &taken, 1, true);
    struct logs_cloudwatch_counts c = queue_counts(&q);
    assert_int_equal(c.rejected, 1);
    assert_int_equal(c.delivered, 2);
    queue_take(&q, LOG_STREAM_DEFAULT, 10, &taken);
    queue_release(&q, &taken, 0, true);
    expect_balance(&q, 4);
    assert_int_equal(q.bytes, 0);
    queue_done(&q);
}

static void the_oldest_waiting_line_of_either_stream_goes_first(void **state) {
    (void)state;
    struct queue q;
    struct list taken;
    list_init(&taken);
    queue_init(&q, 3 * (sizeof(struct queue_line) + 1));
    put(&q, LOG_STREAM_DEFAULT, 1, "1");
    put(&q, LOG_STREAM_SERVICE, 2, "2");
    put(&q, LOG_STREAM_DEFAULT, 3, "3");
    put(&q, LOG_STREAM_SERVICE, 4, "4"); /* 1 goes */
    put(&q, LOG_STREAM_SERVICE, 5, "5"); /* 2 goes */
    assert_int_equal(queue_take_unsaid(&q), 2);
    assert_int_equal(queue_take_unsaid(&q), 0);
    queue_take(&q, LOG_STREAM_DEFAULT, 10, &taken);
    expect_texts(&taken, (const char *[]){"3"}, 1);
    queue_release(&q, &taken, 0, true);
    queue_take(&q, LOG_STREAM_SERVICE, 10, &taken);
    expect_texts(&taken, (const char *[]){"4", "5"}, 2);
    queue_release(&q, &taken, 0, true);
    expect_balance(&q, 5);
    queue_done(&q);
}

static void a_line_larger_than_the_queue_is_dropped_alone(void **state) {
    (void)state;
    struct queue q;
    struct list taken;
    list_init(&taken);
    queue_init(&q, sizeof(struct queue_line) + 4);
    put(&q, LOG_STREAM_DEFAULT, 1, "fits");
    put(&q, LOG_STREAM_DEFAULT, 2, "it does not");
    assert_int_equal(queue_counts(&q).dropped, 1);
    queue_take(&q, LOG_STREAM_DEFAULT, 10, &taken);
    expect_texts(&taken, (const char *[]){"fits"}, 1);
    /* What is under way cannot be given up: the new line goes. */
    put(&q, LOG_STREAM_DEFAULT, 3, "late");
    assert_int_equal(queue_counts(&q).dropped, 2);
    queue_release(&q, &taken, 0, true);
    expect_balance(&q, 3);
    queue_done(&q);
}

static void what_waits_is_told_in_bytes_of_text(void **state) {
    (void)state;
    struct queue q;
    queue_init(&q, 100000);
    assert_int_equal(put(&q, LOG_STREAM_DEFAULT, 1, "four"), 4);
    assert_int_equal(put(&q, LOG_STREAM_DEFAULT, 1, "sixsix"), 10);
    assert_int_equal(put(&q, LOG_STREAM_SERVICE, 1, ""), 0);
    queue_done(&q);
}

enum { WRITERS = 4, LINES = 5000 };

static void *write_lines(void *argument) {
    struct queue *q = argument;
    for (int i = 0; i < LINES; i++)
        put(q, i % 2 == 0 ? LOG_STREAM_DEFAULT : LOG_STREAM_SERVICE, i, "a line of some length");
    return NULL;
}

static void every_line_of_many_threads_is_counted_once(void **state) {
    (void)state;
    struct queue q;
    struct list taken;
    pthread_t threads[WRITERS];
    list_init(&taken);
    queue_init(&q, 20000); /* less than there is to write: some must go */
    for (size_t i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &q), 0);
    for (size_t i = 0; i < 2000; i++) {
        enum log_stream stream = i % 2 == 0 ? LOG_STREAM_DEFAULT : LOG_STREAM_SERVICE;
        queue_take(&q, stream, i % 7, &taken);
        if (i % 5 == 0)
            queue_give_back(&q, stream, &taken);
        else
            queue_release(&q, &taken, i % 2, true);
    }
    for (size_t i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < LOG_STREAM_COUNT; i++) {
        queue_take(&q, (enum log_stream)i, SIZE_MAX, &taken);
        queue_release(&q, &taken, 0, true);
    }
    expect_balance(&q, WRITERS * LINES);
    assert_true(queue_counts(&q).dropped > 0);
    assert_int_equal(q.bytes, 0);
    queue_done(&q);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_out_in_order_also_after_they_were_given_back),
        cmocka_unit_test(the_oldest_waiting_line_of_either_stream_goes_first),
        cmocka_unit_test(a_line_larger_than_the_queue_is_dropped_alone),
        cmocka_unit_test(what_waits_is_told_in_bytes_of_text),
        cmocka_unit_test(every_line_of_many_threads_is_counted_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

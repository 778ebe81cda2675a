/* The queue before CloudWatch: bounded, in order, every line counted exactly once. */
#include "queue.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FULL_LINE = QUEUE_BLOCK_BYTES - 16 /* with its head it fills a block */ };
#define BLOCK_COST (sizeof(struct queue_block) + QUEUE_BLOCK_BYTES)

static char big[4 * QUEUE_BLOCK_BYTES];

static bool put(struct queue *q, enum log_stream stream, int64_t wall_ms, struct span text) {
    struct log_line line = {wall_ms, LOG_INFO, stream, text};
    return queue_put(q, &line);
}

/* A line that fills a block, told from others by its time. */
static void put_full(struct queue *q, enum log_stream stream, int64_t wall_ms) {
    put(q, stream, wall_ms, (struct span){big, FULL_LINE});
}

/* Takes all of a stream, as delivered. Gives the sum of times and, when asked, the texts. */
static size_t take_all(struct queue *q, enum log_stream stream, int64_t *times, char *texts) {
    static const size_t none[LOGS_REJECT_COUNT];
    struct list taken;
    size_t lines = 0;
    size_t bytes = 0;
    list_init(&taken);
    queue_take(q, stream, SIZE_MAX, &taken);
    for (struct queue_block *b; (b = queue_first(&taken)) != NULL;) {
        struct queue_line line;
        size_t at = 0;
        for (size_t i = 0; queue_read(b, &at, &line); i++) {
            if (times != NULL)
                times[lines] = line.wall_ms;
            if (texts != NULL) {
                memcpy(texts, line.text.p, line.text.n);
                texts += line.text.n;
            }
            lines++;
            bytes += line.text.n;
        }
        list_remove(&b->node);
        free(b);
    }
    if (texts != NULL)
        *texts = '\0';
    queue_count_sent(q, lines, bytes, none);
    return lines;
}

static void expect_balance(struct queue *q, uint64_t produced) {
    struct logs_cloudwatch_counts c = queue_counts(q);
    uint64_t sum = c.delivered + c.dropped;
    for (size_t i = 0; i < LOGS_REJECT_COUNT; i++)
        sum += c.rejected[i];
    assert_int_equal(c.produced, produced);
    assert_int_equal(sum, produced);
    assert_int_equal(c.queue_bytes, 0);
}

static void lines_of_a_stream_come_out_in_order(void **state) {
    (void)state;
    struct queue q;
    char texts[64];
    int64_t times[8];
    queue_init(&q, 10 * BLOCK_COST);
    put(&q, LOG_STREAM_SERVICE, 7, SPAN("a"));
    put(&q, LOG_STREAM_DEFAULT, 2, SPAN("other"));
    put(&q, LOG_STREAM_SERVICE, 3, SPAN("bc\0d"));
    put(&q, LOG_STREAM_SERVICE, 9, SPAN("e"));
    assert_int_equal(queue_counts(&q).queue_bytes, 11);
    assert_int_equal(queue_text_bytes(&q, LOG_STREAM_SERVICE), 6);
    assert_int_equal(take_all(&q, LOG_STREAM_SERVICE, times, texts), 3);
    assert_memory_equal(texts, "abc\0de", 6);
    assert_int_equal(times[0], 7);
    assert_int_equal(times[1], 3);
    assert_int_equal(times[2], 9);
    assert_int_equal(queue_text_bytes(&q, LOG_STREAM_SERVICE), 0);
    assert_int_equal(take_all(&q, LOG_STREAM_DEFAULT, NULL, texts), 1);
    assert_string_equal(texts, "other");
    expect_balance(&q, 4);
    queue_done(&q);
}

static void the_oldest_waiting_block_of_either_stream_goes_first(void **state) {
    (void)state;
    struct queue q;
    int64_t times[8];
    queue_init(&q, 3 * BLOCK_COST);
    put_full(&q, LOG_STREAM_DEFAULT, 1);
    put_full(&q, LOG_STREAM_SERVICE, 2);
    put_full(&q, LOG_STREAM_DEFAULT, 3);
    assert_int_equal(queue_counts(&q).dropped, 0);
    put_full(&q, LOG_STREAM_SERVICE, 4); /* 1 goes */
    put_full(&q, LOG_STREAM_SERVICE, 0); /* 2 goes: the clock does not matter */
    assert_int_equal(queue_counts(&q).dropped, 2);
    assert_int_equal(take_all(&q, LOG_STREAM_DEFAULT, times, NULL), 1);
    assert_int_equal(times[0], 3);
    assert_int_equal(take_all(&q, LOG_STREAM_SERVICE, times, NULL), 2);
    assert_int_equal(times[0], 4);
    assert_int_equal(times[1], 0);
    expect_balance(&q, 5);
    assert_int_equal(q.bytes, 0);
    queue_done(&q);
}

static void a_new_line_of_a_quiet_stream_does_not_go_with_its_old_ones(void **state) {
    (void)state;
    struct queue q;
    int64_t times[8];
    queue_init(&q, 4 * BLOCK_COST);
    put(&q, LOG_STREAM_DEFAULT, 1, SPAN("old"));
    put_full(&q, LOG_STREAM_SERVICE, 2);
    put(&q, LOG_STREAM_DEFAULT, 3, SPAN("there is room yet"));
    put_full(&q, LOG_STREAM_SERVICE, 4);
    put(&q, LOG_STREAM_DEFAULT, 5, SPAN("new"));
    put_full(&q, LOG_STREAM_SERVICE, 6); /* 1 and 3 go */
    assert_int_equal(queue_counts(&q).dropped, 2);
    assert_int_equal(take_all(&q, LOG_STREAM_DEFAULT, times, NULL), 1);
    assert_int_equal(times[0], 5);
    assert_int_equal(take_all(&q, LOG_STREAM_SERVICE, times, NULL), 3);
    expect_balance(&q, 6);
    queue_done(&q);
}

static void a_line_longer_than_a_block_has_one_of_its_own(void **state) {
    (void)state;
    struct queue q;
    queue_init(&q, 6 * BLOCK_COST);
    put(&q, LOG_STREAM_SERVICE, 1, SPAN("short"));
    put(&q, LOG_STREAM_SERVICE, 2, (struct span){big, sizeof big});
    put(&q, LOG_STREAM_SERVICE, 3, SPAN("short"));
    assert_int_equal(take_all(&q, LOG_STREAM_SERVICE, NULL, NULL), 3);
    expect_balance(&q, 3);
    queue_done(&q);
}

static void a_line_larger_than_the_queue_is_dropped_alone(void **state) {
    (void)state;
    struct queue q;
    queue_init(&q, 2 * BLOCK_COST);
    put(&q, LOG_STREAM_DEFAULT, 1, SPAN("fits"));
    put(&q, LOG_STREAM_DEFAULT, 2, (struct span){big, sizeof big});
    assert_int_equal(queue_counts(&q).dropped, 1);
    assert_int_equal(take_all(&q, LOG_STREAM_DEFAULT, NULL, NULL), 1);
    expect_balance(&q, 2);
    queue_done(&q);
}

static void a_taker_gets_whole_blocks_until_it_has_enough(void **state) {
    (void)state;
    struct queue q;
    struct list taken;
    list_init(&taken);
    queue_init(&q, 10 * BLOCK_COST);
    for (int64_t i = 0; i < 4; i++)
        put_full(&q, LOG_STREAM_SERVICE, i);
    queue_take(&q, LOG_STREAM_SERVICE, FULL_LINE + 1, &taken);
    size_t blocks = 0;
    for (struct list *i = taken.next; i != &taken; i = i->next)
        blocks++;
    queue_free_blocks(&taken);
    assert_int_equal(blocks, 2);
    assert_int_equal(queue_text_bytes(&q, LOG_STREAM_SERVICE), 2 * FULL_LINE);
    queue_done(&q);
}

static void one_line_of_many_says_that_there_is_enough(void **state) {
    (void)state;
    struct queue q;
    size_t told = 0;
    queue_init(&q, 100 * BLOCK_COST);
    for (size_t i = 0; i < 2 * LOGS_SEND_AFTER_BYTES; i += 1024)
        told += put(&q, LOG_STREAM_SERVICE, 1, (struct span){big, 1024});
    assert_int_equal(told, 1);
    assert_false(put(&q, LOG_STREAM_DEFAULT, 1, SPAN("x")));
    queue_done(&q);
}

static void a_closed_queue_counts_all_that_is_open_as_dropped(void **state) {
    static const size_t rejected[LOGS_REJECT_COUNT] = {
        [LOGS_REJECT_TOO_OLD] = 1, [LOGS_REJECT_INVALID] = 2};
    (void)state;
    struct queue q;
    struct list taken;
    list_init(&taken);
    queue_init(&q, 10 * BLOCK_COST);
    for (int64_t i = 0; i < 10; i++)
        put(&q, LOG_STREAM_SERVICE, i, SPAN("x"));
    queue_count_sent(&q, 5, 5, rejected); /* of those that a shipment took */
    put(&q, LOG_STREAM_DEFAULT, 11, SPAN("waits"));
    queue_close(&q);
    put(&q, LOG_STREAM_DEFAULT, 12, SPAN("late"));
    struct logs_cloudwatch_counts c = queue_counts(&q);
    assert_int_equal(c.delivered, 2);
    assert_int_equal(c.rejected[LOGS_REJECT_TOO_OLD], 1);
    assert_int_equal(c.rejected[LOGS_REJECT_INVALID], 2);
    assert_int_equal(c.dropped, 7);
    expect_balance(&q, 12);
    queue_done(&q);
}

enum { WRITERS = 4, LINES = 20000 };

static void *write_lines(void *argument) {
    struct queue *q = argument;
    for (int i = 0; i < LINES; i++)
        put(q, i % 2 == 0 ? LOG_STREAM_DEFAULT : LOG_STREAM_SERVICE, i,
            SPAN("a line of some length"));
    return NULL;
}

static void every_line_of_many_threads_is_counted_once(void **state) {
    (void)state;
    struct queue q;
    pthread_t threads[WRITERS];
    queue_init(&q, 4 * BLOCK_COST); /* less than there is to write: some must go */
    for (size_t i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &q), 0);
    for (size_t i = 0; i < 50; i++)
        take_all(&q, i % 2 == 0 ? LOG_STREAM_DEFAULT : LOG_STREAM_SERVICE, NULL, NULL);
    for (size_t i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < LOG_STREAM_COUNT; i++)
        take_all(&q, (enum log_stream)i, NULL, NULL);
    expect_balance(&q, WRITERS * LINES);
    assert_int_equal(q.bytes, 0);
    queue_done(&q);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_a_stream_come_out_in_order),
        cmocka_unit_test(the_oldest_waiting_block_of_either_stream_goes_first),
        cmocka_unit_test(a_new_line_of_a_quiet_stream_does_not_go_with_its_old_ones),
        cmocka_unit_test(a_line_longer_than_a_block_has_one_of_its_own),
        cmocka_unit_test(a_line_larger_than_the_queue_is_dropped_alone),
        cmocka_unit_test(a_taker_gets_whole_blocks_until_it_has_enough),
        cmocka_unit_test(one_line_of_many_says_that_there_is_enough),
        cmocka_unit_test(a_closed_queue_counts_all_that_is_open_as_dropped),
        cmocka_unit_test(every_line_of_many_threads_is_counted_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

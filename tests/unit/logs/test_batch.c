/* The batch builder: any sequence of lines gives legal batches that hold every line once. */
#include "fileservice/logs/batch.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BODY_MAX_BYTES 16777216

static char text[LOGS_BATCH_MAX_BYTES + 1];

static int fill_text(void **state) {
    (void)state;
    memset(text, 'x', sizeof text);
    return 0;
}

static struct logs_event event(int64_t wall_ms, size_t n) {
    return (struct logs_event){wall_ms, {text, n}};
}

static void a_batch_ends_before_the_event_that_is_one_too_many(void **state) {
    (void)state;
    struct logs_event *events = calloc(10001, sizeof *events);
    assert_non_null(events);
    for (size_t i = 0; i < 10001; i++)
        events[i] = event(5, 1);
    assert_int_equal(logs_batch_size(events, 9999), 9999);
    assert_int_equal(logs_batch_size(events, 10000), 10000);
    assert_int_equal(logs_batch_size(events, 10001), 10000);
    free(events);
}

static void a_batch_ends_before_the_byte_that_is_one_too_many(void **state) {
    (void)state;
    const size_t quarter = LOGS_BATCH_MAX_BYTES / 4 - LOGS_BATCH_EVENT_BYTES;
    struct logs_event events[4] = {event(1, quarter), event(1, quarter), event(1, quarter),
                                   event(1, quarter)};
    assert_int_equal(logs_batch_size(events, 4), 4); /* 1,048,576 to the byte */
    events[3].message.n++;
    assert_int_equal(logs_batch_size(events, 4), 3);
    events[3].message.n -= 2;
    assert_int_equal(logs_batch_size(events, 4), 4);
}

static void a_batch_spans_24_hours_at_most_in_both_directions(void **state) {
    (void)state;
    struct logs_event events[2] = {event(1000, 1), event(1000 + LOGS_BATCH_MAX_SPAN_MS, 1)};
    assert_int_equal(logs_batch_size(events, 2), 2);
    events[1].wall_ms++;
    assert_int_equal(logs_batch_size(events, 2), 1);
    struct logs_event back[2] = {event(1000 + LOGS_BATCH_MAX_SPAN_MS + 1, 1), event(1000, 1)};
    assert_int_equal(logs_batch_size(back, 2), 1);
}

static void one_event_is_always_a_batch(void **state) {
    (void)state;
    struct logs_event e = event(1, LOGS_BATCH_MAX_BYTES);
    assert_int_equal(logs_batch_size(&e, 1), 1);
    assert_int_equal(logs_batch_size(&e, 0), 0);
}

static void a_body_has_its_events_in_time_order_and_equal_times_as_given(void **state) {
    (void)state;
    struct logs_event events[] = {
        {30, SPAN("c")}, {10, SPAN("a1")}, {10, SPAN("a2")}, {20, SPAN("b \"quoted\"\n\xC3\xA9")}};
    const char *want[] = {"a1", "a2", "b \"quoted\"\n\xC3\xA9", "c"};
    struct buf body;
    buf_init(&body, BODY_MAX_BYTES);
    assert_int_equal(logs_batch_body("g\"1", "service", events, 4, &body), ERR_OK);
    json_t *root = json_loadb(body.p, body.n, 0, NULL);
    assert_non_null(root);
    assert_string_equal(json_string_value(json_object_get(root, "logGroupName")), "g\"1");
    assert_string_equal(json_string_value(json_object_get(root, "logStreamName")), "service");
    json_t *list = json_object_get(root, "logEvents");
    assert_int_equal(json_array_size(list), 4);
    json_int_t last = 0;
    for (size_t i = 0; i < 4; i++) {
        json_t *e = json_array_get(list, i);
        assert_string_equal(json_string_value(json_object_get(e, "message")), want[i]);
        json_int_t at = json_integer_value(json_object_get(e, "timestamp"));
        assert_true(at >= last);
        last = at;
    }
    json_decref(root);
    buf_done(&body);
}

static void a_long_message_is_cut_between_two_characters(void **state) {
    (void)state;
    struct buf long_message;
    struct buf out;
    for (size_t shift = 0; shift < 4; shift++) {
        buf_init(&long_message, BODY_MAX_BYTES);
        buf_init(&out, BODY_MAX_BYTES);
        for (size_t i = 0; i < shift; i++)
            buf_append_byte(&long_message, 'x');
        while (long_message.n <= LOGS_EVENT_MAX_BYTES)
            buf_append_text(&long_message, "\xF0\x9F\x98\x80");
        logs_batch_append_message(&out, buf_span(&long_message));
        assert_int_equal(buf_error(&out), ERR_OK);
        assert_true(out.n <= LOGS_EVENT_MAX_BYTES);
        assert_true(span_is_utf8(buf_span(&out)));
        const char *mark = strstr(buf_text(&out), "[truncated ");
        assert_non_null(mark);
        size_t kept = (size_t)(mark - buf_text(&out));
        assert_memory_equal(out.p, long_message.p, kept);
        assert_int_equal(strtoul(mark + 11, NULL, 10), long_message.n - kept);
        buf_done(&out);
        buf_done(&long_message);
    }
}

static void short_messages_stay_and_an_empty_one_gets_a_dash(void **state) {
    (void)state;
    struct buf out;
    buf_init(&out, BODY_MAX_BYTES);
    logs_batch_append_message(&out, SPAN("short"));
    logs_batch_append_message(&out, SPAN(""));
    assert_string_equal(buf_text(&out), "short-");
    buf_done(&out);
}

static uint32_t next(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static bool is_legal(const struct logs_event *events, size_t n) {
    size_t bytes = 0;
    int64_t first = events[0].wall_ms;
    int64_t last = first;
    for (size_t i = 0; i < n; i++) {
        bytes += events[i].message.n + LOGS_BATCH_EVENT_BYTES;
        first = events[i].wall_ms < first ? events[i].wall_ms : first;
        last = events[i].wall_ms > last ? events[i].wall_ms : last;
    }
    return n <= LOGS_BATCH_MAX_EVENTS && bytes <= LOGS_BATCH_MAX_BYTES &&
           last - first <= LOGS_BATCH_MAX_SPAN_MS;
}

enum { LINES = 30000 };

/* Mostly short lines and small steps of the clock; now and then a huge line, or a jump by days. The
 * text is the line's number, and filling. */
static void make_lines(uint32_t seed, struct logs_event *events, char *texts) {
    uint32_t r = seed;
    int64_t now = 1700000000000;
    for (size_t i = 0; i < LINES; i++) {
        size_t filling = next(&r) % 2000 == 0 ? next(&r) % 200000 : next(&r) % 90;
        int n = snprintf(texts, 32, "%zu ", i);
        static const char *const pieces[] = {
            "x", "\"", "\\", "\n", "\x01", "\xC3\xA9", "\xF0\x9F\x98\x80"};
        size_t size = (size_t)n;
        for (size_t k = 0; k < filling; k++) {
            const char *piece = pieces[next(&r) % 7];
            memcpy(texts + size, piece, strlen(piece));
            size += strlen(piece);
        }
        now += (int64_t)(next(&r) % 1000) - 100;
        if (next(&r) % 5000 == 0)
            now += ((int64_t)(next(&r) % 5) - 2) * LOGS_BATCH_MAX_SPAN_MS;
        events[i] = (struct logs_event){now, {texts, size}};
        texts += size;
    }
}

/* A body is what CloudWatch takes, and holds each of the lines once: by time, equal times as given. */
static void check_body(const struct logs_event *events, size_t first, size_t n, struct span body) {
    json_t *root = json_loadb(body.p, body.n, JSON_ALLOW_NUL, NULL);
    assert_non_null(root);
    json_t *list = json_object_get(root, "logEvents");
    char *seen = calloc(n, 1);
    int64_t last_time = INT64_MIN;
    size_t last_number = 0;
    size_t bytes = 0;
    assert_non_null(seen);
    assert_int_equal(json_array_size(list), n);
    assert_in_range(n, 1, LOGS_BATCH_MAX_EVENTS);
    for (size_t i = 0; i < n; i++) {
        json_t *e = json_array_get(list, i);
        const char *message = json_string_value(json_object_get(e, "message"));
        int64_t time = json_integer_value(json_object_get(e, "timestamp"));
        size_t number = strtoul(message, NULL, 10);
        assert_in_range(number, first, first + n - 1);
        assert_false(seen[number - first]);
        seen[number - first] = 1;
        const struct logs_event *want = &events[number];
        size_t size = json_string_length(json_object_get(e, "message"));
        assert_int_equal(size, want->message.n);
        assert_memory_equal(message, want->message.p, size);
        assert_int_equal(time, want->wall_ms);
        assert_true(time > last_time || (time == last_time && number > last_number));
        last_time = time;
        last_number = number;
        bytes += size + LOGS_BATCH_EVENT_BYTES;
    }
    int64_t first_time = json_integer_value(json_object_get(json_array_get(list, 0), "timestamp"));
    assert_true(bytes <= LOGS_BATCH_MAX_BYTES);
    assert_true(last_time - first_time <= LOGS_BATCH_MAX_SPAN_MS);
    free(seen);
    json_decref(root);
}

static void any_sequence_gives_legal_batches_that_hold_every_line_once(void **state) {
    (void)state;
    struct logs_event *events = calloc(LINES, sizeof *events);
    char *texts = malloc(64 << 20);
    assert_non_null(events);
    assert_non_null(texts);
    for (uint32_t seed = 1; seed <= 5; seed++) {
        struct buf body;
        size_t done = 0;
        make_lines(seed, events, texts);
        buf_init(&body, BODY_MAX_BYTES);
        while (done < LINES) {
            size_t n = logs_batch_size(events + done, LINES - done);
            assert_true(n > 0 && n <= LINES - done);
            buf_clear(&body);
            assert_int_equal(logs_batch_body("g", "s", events + done, n, &body), ERR_OK);
            check_body(events, done, n, buf_span(&body));
            done += n;
        }
        assert_int_equal(done, LINES);
        buf_done(&body);
    }
    free(texts);
    free(events);
}

/* With the next line it would be illegal: no batch is smaller than it must be. */
static void a_batch_is_as_large_as_it_may_be(void **state) {
    (void)state;
    struct logs_event *events = calloc(LINES, sizeof *events);
    assert_non_null(events);
    for (uint32_t seed = 1; seed <= 20; seed++) {
        uint32_t r = seed;
        int64_t now = 1700000000000;
        for (size_t i = 0; i < LINES; i++) {
            size_t n = next(&r) % 50 == 0 ? next(&r) % LOGS_EVENT_MAX_BYTES + 1 : next(&r) % 90 + 1;
            now += (int64_t)(next(&r) % 1000) - 100;
            if (next(&r) % 5000 == 0)
                now += ((int64_t)(next(&r) % 5) - 2) * LOGS_BATCH_MAX_SPAN_MS;
            events[i] = event(now, n);
        }
        for (size_t done = 0; done < LINES;) {
            size_t n = logs_batch_size(events + done, LINES - done);
            assert_true(is_legal(events + done, n));
            done += n;
            assert_true(done == LINES || !is_legal(events + done - n, n + 1));
        }
    }
    free(events);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_ends_before_the_event_that_is_one_too_many),
        cmocka_unit_test(a_batch_ends_before_the_byte_that_is_one_too_many),
        cmocka_unit_test(a_batch_spans_24_hours_at_most_in_both_directions),
        cmocka_unit_test(one_event_is_always_a_batch),
        cmocka_unit_test(a_body_has_its_events_in_time_order_and_equal_times_as_given),
        cmocka_unit_test(a_long_message_is_cut_between_two_characters),
        cmocka_unit_test(short_messages_stay_and_an_empty_one_gets_a_dash),
        cmocka_unit_test(any_sequence_gives_legal_batches_that_hold_every_line_once),
        cmocka_unit_test(a_batch_is_as_large_as_it_may_be),
    };
    return cmocka_run_group_tests(tests, fill_text, NULL);
}

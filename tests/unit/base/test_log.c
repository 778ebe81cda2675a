/* Lines as sinks get them; JSON text with them. */
#include "fileservice/base/json.h"
#include "fileservice/base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct {
    size_t lines;
    enum log_level level;
    enum log_stream stream;
    char text[2000];
    size_t n;
} seen;

static void see(void *context, const struct log_line *line) {
    (void)context;
    seen.lines++;
    seen.level = line->level;
    seen.stream = line->stream;
    seen.n = line->text.n;
    if (line->text.n < sizeof seen.text) {
        memcpy(seen.text, line->text.p, line->text.n);
        seen.text[line->text.n] = '\0';
    }
}

static int start(void **state) {
    static const struct log_sink sink = {see, NULL};
    (void)state;
    memset(&seen, 0, sizeof seen);
    log_configure(LOG_INFO, LOG_JSON, "0a1b2c3d");
    log_add_sink(&sink);
    return 0;
}

static int stop(void **state) {
    (void)state;
    log_stop();
    return 0;
}

static void json_strings_are_escaped_and_always_utf8(void **state) {
    static const struct {
        struct span in;
        const char *want;
    } rows[] = {
        {{"", 0}, "\"\""},
        {{"a\"b\\c", 5}, "\"a\\\"b\\\\c\""},
        {{"\n\r\t", 3}, "\"\\n\\r\\t\""},
        {{"\0\x1f\x7f", 3}, "\"\\u0000\\u001f\\u007f\""},
        {{"\xC3\xA4\xF0\x9F\x98\x80", 6}, "\"\xC3\xA4\xF0\x9F\x98\x80\""},
        {{"a\xFFz", 3}, "\"a\xEF\xBF\xBDz\""},
        {{"\xC3", 1}, "\"\xEF\xBF\xBD\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf b;
        buf_init(&b, 1000);
        json_append_string(&b, rows[i].in);
        assert_string_equal(buf_text(&b), rows[i].want);
        buf_done(&b);
    }
}

static void json_escapes_what_it_must_and_nothing_else(void **state) {
    (void)state;
    for (int c = 0; c < 0x80; c++) {
        char in[3] = {'<', (char)c, '>'};
        char want[16];
        struct buf b;
        buf_init(&b, 100);
        json_append_string(&b, (struct span){in, 3});
        if (c == '"' || c == '\\')
            (void)snprintf(want, sizeof want, "\"<\\%c>\"", c);
        else if (c == '\n' || c == '\r' || c == '\t')
            (void)snprintf(want, sizeof want, "\"<\\%c>\"",
                           c == '\n'   ? 'n'
                           : c == '\r' ? 'r'
                                       : 't');
        else if (c < 0x20 || c == 0x7F)
            (void)snprintf(want, sizeof want, "\"<\\u%04x>\"", (unsigned)c);
        else
            (void)snprintf(want, sizeof want, "\"<%c>\"", c);
        assert_string_equal(buf_text(&b), want);
        buf_clear(&b);
        char broken[4] = {'<', (char)c, '>', '\xFF'};
        json_append_string(&b, (struct span){broken, 4});
        (void)snprintf(want + strlen(want) - 1, 5, "\xEF\xBF\xBD\"");
        assert_string_equal(buf_text(&b), want);
        buf_done(&b);
    }
}

static void json_text_is_there_whole_or_not_at_all(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, 7);
    json_append_string(&b, SPAN("a\"bcd"));
    assert_int_equal(buf_error(&b), ERR_LIMIT); /* 8 bytes */
    assert_int_equal(b.n, 0);
    buf_clear(&b);
    json_append_string(&b, SPAN("a\"bc"));
    assert_string_equal(buf_text(&b), "\"a\\\"bc\"");
    buf_done(&b);
}

static void json_members_have_commas_between_them(void **state) {
    struct buf b;
    (void)state;
    buf_init(&b, 1000);
    buf_append_byte(&b, '{');
    json_append_member(&b, "a", SPAN("{"));
    json_append_member(&b, "b", SPAN(""));
    json_append_name(&b, "c");
    buf_append_text(&b, "{");
    json_append_member(&b, "d", SPAN("e"));
    buf_append_text(&b, "}}");
    assert_string_equal(buf_text(&b), "{\"a\":\"{\",\"b\":\"\",\"c\":{\"d\":\"e\"}}");
    buf_done(&b);
}

static void a_line_has_the_fields_in_order_and_leaves_out_empty_text(void **state) {
    struct log_field fields[] = {
        {"path", SPAN("/a b"), 0},
        {"status", {NULL, 0}, 201},
        {"error", SPAN(""), 0},
        {"left", {NULL, 0}, -5},
    };
    struct buf b;
    (void)state;
    buf_init(&b, 1000);
    struct log_head head = {.wall_ms = 1369353600007,
                            .level = LOG_WARN,
                            .stream = LOG_STREAM_SERVICE,
                            .message = "say \"x\"",
                            .instance = "0a1b2c3d",
                            .number = 42};
    log_format_line(&b, LOG_JSON, &head, fields, 4);
    assert_string_equal(buf_text(&b),
                        "{\"time\":\"2013-05-24T00:00:00.007Z\",\"level\":\"warn\",\"stream\":"
                        "\"service\",\"message\":\"say \\\"x\\\"\",\"instance\":\"0a1b2c3d\","
                        "\"seq\":42,\"path\":\"/a b\",\"status\":201,\"left\":-5}");
    buf_clear(&b);
    head.level = LOG_ERROR;
    head.message = "one\ntwo \xC3\xA9";
    log_format_line(&b, LOG_TEXT, &head, fields, 4);
    assert_string_equal(
        buf_text(&b),
        "00:00:00.007 error one two \xC3\xA9 path=\"/a b\" status=201 left=-5 seq=42");
    assert_memory_equal(b.p + LOG_TEXT_TIME_BYTES + 1, "error", LOG_TEXT_LEVEL_BYTES);
    buf_clear(&b);
    head.message = "\xC3\xA9\xFF";
    head.level = LOG_WARN;
    log_format_line(&b, LOG_TEXT, &head, NULL, 0);
    assert_string_equal(buf_text(&b), "00:00:00.007 warn      seq=42"); /* always UTF-8 */
    buf_done(&b);
}

static void levels_below_the_threshold_are_not_formatted(void **state) {
    (void)state;
    log_message(LOG_DEBUG, "no");
    assert_int_equal(seen.lines, 0);
    log_message(LOG_INFO, "yes %d", 7);
    assert_int_equal(seen.lines, 1);
    assert_int_equal(seen.level, LOG_INFO);
    assert_int_equal(seen.stream, LOG_STREAM_DEFAULT);
    assert_non_null(strstr(seen.text, "\"message\":\"yes 7\""));
}

static uint64_t number_of(const char *line) {
    const char *at = strstr(line, "\"seq\":");
    assert_non_null(at);
    return strtoull(at + 6, NULL, 10);
}

static void every_line_has_the_next_number(void **state) {
    (void)state;
    log_message(LOG_INFO, "first");
    uint64_t first = number_of(seen.text);
    log_message(LOG_DEBUG, "below the threshold");
    log_event(LOG_WARN, LOG_STREAM_SERVICE, "second", NULL, 0);
    assert_int_equal(number_of(seen.text), first + 1);
    assert_non_null(strstr(seen.text, "\"instance\":\"0a1b2c3d\""));
}

static void a_line_that_is_too_long_keeps_its_message(void **state) {
    char *huge = malloc(LOG_LINE_MAX_BYTES + 1);
    (void)state;
    assert_non_null(huge);
    memset(huge, 'x', LOG_LINE_MAX_BYTES + 1);
    struct log_field field = {"error", {huge, LOG_LINE_MAX_BYTES + 1}, 0};
    log_event(LOG_ERROR, LOG_STREAM_SERVICE, "what happened", &field, 1);
    assert_int_equal(seen.lines, 1);
    assert_int_equal(seen.stream, LOG_STREAM_SERVICE);
    assert_non_null(strstr(seen.text, "what happened"));
    free(huge);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_strings_are_escaped_and_always_utf8),
        cmocka_unit_test(json_escapes_what_it_must_and_nothing_else),
        cmocka_unit_test(json_text_is_there_whole_or_not_at_all),
        cmocka_unit_test(json_members_have_commas_between_them),
        cmocka_unit_test(a_line_has_the_fields_in_order_and_leaves_out_empty_text),
        cmocka_unit_test_setup_teardown(levels_below_the_threshold_are_not_formatted, start, stop),
        cmocka_unit_test_setup_teardown(every_line_has_the_next_number, start, stop),
        cmocka_unit_test_setup_teardown(a_line_that_is_too_long_keeps_its_message, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

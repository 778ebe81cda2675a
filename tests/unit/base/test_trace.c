#include "fileservice/base/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"
#define REST "-" ID "-" PARENT
#define COUNT(a) (sizeof(a) / sizeof *(a))

static const struct trace before = {"request", "before", "before"};

static void check_refused(struct span header) {
    struct trace trace = before;
    assert_false(trace_read_parent(header, &trace));
    assert_memory_equal(&trace, &before, sizeof trace);
}

static void a_traceparent_is_read_as_w3c_says(void **state) {
    static const struct {
        const char *name;
        const char *in;
        bool good;
    } rows[] = {
        {"as it is sent today", "00" REST "-01", true},
        {"not sampled", "00" REST "-00", true},
        {"flags of level 2", "00" REST "-03", true},
        {"all flags", "00" REST "-ff", true},
        {"only one digit that is not zero",
         "00-00000000000000000000000000000001-0000000000000001-00", true},
        {"more than version 00 has", "00" REST "-01-", false},
        {"a fifth field", "00" REST "-01-aa", false},
        {"a byte too many", "00" REST "-011", false},
        {"a blank behind", "00" REST "-01 ", false},
        {"a blank before", " 00" REST "-01", false},
        {"a later version of the same length", "01" REST "-01", true},
        {"a later version with more", "01" REST "-01-what-the-future-will-be-like", true},
        {"the last version with nothing after a dash", "fe" REST "-01-", true},
        {"a later version with more but no dash", "01" REST "-01.", false},
        {"a later version with longer flags", "01" REST "-012", false},
        {"a version that cannot be", "ff" REST "-01", false},
        {"… with more", "ff" REST "-01-x", false},
        {"no version", "-" ID "-" PARENT "-01", false},
        {"a version of one digit", "0" REST "-01", false},
        {"a version of three digits", "000" REST "-01", false},
        {"a version that is not hex", "0x" REST "-01", false},
        {"a version in capitals", "0A" REST "-01", false},
        {"a trace of zeros", "00-00000000000000000000000000000000-" PARENT "-01", false},
        {"a parent of zeros", "00-" ID "-0000000000000000-01", false},
        {"a trace in capitals", "00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01", false},
        {"a parent in capitals", "00-" ID "-00F067AA0BA902B7-01", false},
        {"flags in capitals", "00" REST "-0A", false},
        {"a trace that is not hex", "00-4bf92f3577b34da6a3ce929d0e0e473g-" PARENT "-01", false},
        {"a parent that is not hex", "00-" ID "-00f067aa0ba902b.-01", false},
        {"flags that are not hex", "00" REST "-0.", false},
        {"a trace that is too short", "00-4bf92f3577b34da6a3ce929d0e0e473-" PARENT "-01", false},
        {"a trace that is too long", "00-" ID "0-" PARENT "-01", false},
        {"a parent that is too short", "00-" ID "-00f067aa0ba902b-01", false},
        {"other separators", "00_" ID "_" PARENT "_01", false},
        {"two in one", "00" REST "-01,00" REST "-01", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct trace trace = before;
        if (!rows[i].good) {
            check_refused(span_of(rows[i].in));
            continue;
        }
        if (!trace_read_parent(span_of(rows[i].in), &trace))
            fail_msg("refused: %s", rows[i].name);
        assert_memory_equal(trace.trace_id, rows[i].in + 3, TRACE_ID_BYTES);
        assert_memory_equal(trace.parent_id, rows[i].in + 36, TRACE_PARENT_ID_BYTES);
        assert_int_equal(strlen(trace.trace_id), TRACE_ID_BYTES);
        assert_int_equal(strlen(trace.parent_id), TRACE_PARENT_ID_BYTES);
        assert_string_equal(trace.request_id, "request");
    }
}

/* Of a copy without a byte behind it, so that a sanitizer sees who reads on. */
static void no_prefix_is_a_traceparent(void **state) {
    static const char whole[] = "00" REST "-01";
    (void)state;
    for (size_t n = 0; n < sizeof whole - 1; n++) {
        char *copy = malloc(n + 1);
        assert_non_null(copy);
        memcpy(copy + 1, whole, n);
        check_refused((struct span){copy + 1, n});
        free(copy);
    }
    check_refused((struct span){NULL, 0});
}

static void a_nul_is_no_digit(void **state) {
    char text[] = "00" REST "-01";
    (void)state;
    for (size_t i = 0; i < sizeof text - 1; i++) {
        char kept = text[i];
        text[i] = '\0';
        check_refused((struct span){text, sizeof text - 1});
        text[i] = kept;
    }
}

static void what_aws_sends_is_fit_for_a_log_line(void **state) {
    static const struct {
        const char *in;
        bool fit;
    } rows[] = {
        {"Root=1-67891233-abcdef012345678912345678", true},
        {"Self=1-67891233-12456789abcdef012345678;Root=1-67891233-abcdef012345678912345678", true},
        {"Root=1-67891233-abcdef012345678912345678;CalledFrom=app", true},
        {"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1", true},
        {"Root=1-5759e988-bd862e3fe1be46a994272793; Sampled=?", true},
        {"Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=a87bd80c:1|68fd508a:5|c512fbe3:2", true},
        {"", false},
        {"Root=\"1\"", false},
        {"Root=1\\n", false},
        {"Root=1\tSampled=1", false},
        {"Root=1\r\nSampled=1", false},
        {"Root=1<script>", false},
        {"Root=1\x7F", false},
        {"Root=\xC3\xA4", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        if (trace_is_amzn(span_of(rows[i].in)) != rows[i].fit)
            fail_msg("%s", rows[i].in);
    assert_false(trace_is_amzn((struct span){"Root\0=1", 7}));
}

static void an_amzn_trace_has_a_ceiling(void **state) {
    char text[TRACE_AMZN_MAX_BYTES + 1];
    (void)state;
    memset(text, 'a', sizeof text);
    assert_true(trace_is_amzn((struct span){text, TRACE_AMZN_MAX_BYTES}));
    assert_false(trace_is_amzn((struct span){text, TRACE_AMZN_MAX_BYTES + 1}));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_traceparent_is_read_as_w3c_says),
        cmocka_unit_test(no_prefix_is_a_traceparent),
        cmocka_unit_test(a_nul_is_no_digit),
        cmocka_unit_test(what_aws_sends_is_fit_for_a_log_line),
        cmocka_unit_test(an_amzn_trace_has_a_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

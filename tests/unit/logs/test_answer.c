/* What CloudWatch's answers mean. */
#include "answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct span text(const char *s) { return span_of(s); }

static void a_success_is_known_by_its_request_id_and_its_form(void **state) {
    static const struct {
        int status;
        const char *head;
        const char *body;
        enum err want;
    } rows[] = {
        {200, "x-amzn-RequestId: 1-2\r\n", "{}", ERR_OK},
        {200, "x-amzn-RequestId: 1-2\r\n", "", ERR_OK},
        {200, "x-amzn-RequestId: 1-2\r\n", "{\"nextSequenceToken\":\"1\"}", ERR_OK},
        {200, "X-AMZN-REQUESTID: 1-2\r\n", "{}", ERR_OK},
        {200, "Server: proxy\r\n", "{}", ERR_UPSTREAM},
        {200, "x-amzn-RequestId: \r\n", "{}", ERR_UPSTREAM},
        {200, "x-amzn-RequestId: 1-2\r\n", "<html>", ERR_UPSTREAM},
        {200, "x-amzn-RequestId: 1-2\r\n", "[]", ERR_UPSTREAM},
        {200, "x-amzn-RequestId: 1-2\r\n", "{", ERR_UPSTREAM},
        {204, "x-amzn-RequestId: 1-2\r\n", "", ERR_UPSTREAM},
        {500, "", "", ERR_UPSTREAM},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct aws_response r = {
            .status = rows[i].status, .head = text(rows[i].head), .body = text(rows[i].body)};
        struct error error;
        enum retry_kind retry = RETRY_NEVER;
        enum err e = answer_judge(NULL, &r, &error, &retry);
        if (e != rows[i].want)
            fail_msg("row %zu: %d", i, e);
    }
}

static void a_failure_has_its_code_however_it_is_written(void **state) {
    static const struct {
        const char *head;
        const char *body;
        const char *code;
        const char *in_message;
    } rows[] = {
        {"", "{\"__type\":\"ThrottlingException\",\"message\":\"slow\"}", "ThrottlingException",
         "slow"},
        {"", "{\"__type\":\"com.amazonaws.logs#ResourceNotFoundException\",\"Message\":\"none\"}",
         "ResourceNotFoundException", "none"},
        {"x-amzn-ErrorType: LimitExceededException:http://internal/\r\n", "",
         "LimitExceededException", "no reason"},
        {"", "<html>", "", "status 400"},
        {"", "{\"__type\":7}", "", "status 400"},
        {"",
         "{\"__type\":\"InvalidSignatureException\",\"message\":\"no match.\\n\\nThe Canonical "
         "String should have been\\nx-amz-security-token:SECRET\"}",
         "InvalidSignatureException", "no match."},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct aws_response r = {
            .status = 400, .head = text(rows[i].head), .body = text(rows[i].body)};
        struct error error;
        enum retry_kind retry = RETRY_NEVER;
        assert_int_equal(answer_judge(NULL, &r, &error, &retry), ERR_UPSTREAM);
        assert_string_equal(error.code, rows[i].code);
        assert_int_equal(error.status, 400);
        assert_non_null(strstr(error.message, rows[i].in_message));
        assert_null(strstr(error.message, "SECRET"));
    }
}

static void rejected_lines_are_counted_by_kind_and_never_more_than_there_are(void **state) {
    static const struct {
        const char *body;
        size_t want[LOGS_REJECT_COUNT];
    } rows[] = {
        {"{}", {0}},
        {"", {0}},
        {"nonsense", {0}},
        {"{\"rejectedLogEventsInfo\":{}}", {0}},
        {"{\"rejectedLogEventsInfo\":{\"tooOldLogEventEndIndex\":3}}", {[LOGS_REJECT_TOO_OLD] = 3}},
        {"{\"rejectedLogEventsInfo\":{\"expiredLogEventEndIndex\":4}}",
         {[LOGS_REJECT_EXPIRED] = 4}},
        {"{\"rejectedLogEventsInfo\":{\"tooOldLogEventEndIndex\":2,\"expiredLogEventEndIndex\":5}}",
         {[LOGS_REJECT_TOO_OLD] = 2, [LOGS_REJECT_EXPIRED] = 3}},
        {"{\"rejectedLogEventsInfo\":{\"tooOldLogEventEndIndex\":5,\"expiredLogEventEndIndex\":2}}",
         {[LOGS_REJECT_TOO_OLD] = 5}},
        {"{\"rejectedLogEventsInfo\":{\"tooNewLogEventStartIndex\":7}}",
         {[LOGS_REJECT_TOO_NEW] = 3}},
        {"{\"rejectedLogEventsInfo\":{\"tooNewLogEventStartIndex\":0}}",
         {[LOGS_REJECT_TOO_NEW] = 10}},
        {"{\"rejectedLogEventsInfo\":{\"tooNewLogEventStartIndex\":8,\"tooOldLogEventEndIndex\":1,"
         "\"expiredLogEventEndIndex\":3}}",
         {1, 2, 2, 0}},
        {"{\"rejectedLogEventsInfo\":{\"tooNewLogEventStartIndex\":2,\"tooOldLogEventEndIndex\":6}"
         "}",
         {[LOGS_REJECT_TOO_OLD] = 6, [LOGS_REJECT_TOO_NEW] = 4}},
        {"{\"rejectedLogEventsInfo\":{\"tooNewLogEventStartIndex\":-1,\"tooOldLogEventEndIndex\":"
         "99}}",
         {[LOGS_REJECT_TOO_OLD] = 10}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t got[LOGS_REJECT_COUNT];
        answer_rejected(text(rows[i].body), 10, got);
        if (memcmp(got, rows[i].want, sizeof got) != 0)
            fail_msg("row %zu: %zu %zu %zu %zu", i, got[0], got[1], got[2], got[3]);
    }
}

static void only_what_is_wrong_with_the_batch_itself_is_final(void **state) {
    static const struct {
        int status;
        const char *code;
        bool want;
    } rows[] = {
        {400, "InvalidParameterException", true},
        {400, "SerializationException", true},
        {413, "", true},
        {400, "ThrottlingException", false},
        {400, "UnrecognizedClientException", false},
        {400, "AccessDeniedException", false},
        {400, "ResourceNotFoundException", false},
        {400, "", false},
        {500, "", false},
        {0, "", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error error = {.err = ERR_UPSTREAM, .status = rows[i].status};
        memcpy(error.code, rows[i].code, strlen(rows[i].code) + 1);
        if (answer_is_final(&error) != rows[i].want)
            fail_msg("row %zu", i);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_success_is_known_by_its_request_id_and_its_form),
        cmocka_unit_test(a_failure_has_its_code_however_it_is_written),
        cmocka_unit_test(rejected_lines_are_counted_by_kind_and_never_more_than_there_are),
        cmocka_unit_test(only_what_is_wrong_with_the_batch_itself_is_final),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "answer.h"

#include <jansson.h>
#include <string.h>

#include "fileservice/base/banned.h"

static json_t *load(struct span body) {
    return body.n > 0 ? json_loadb(body.p, body.n, 0, NULL) : NULL;
}

/* "com.amazonaws.logs#ThrottlingException", "ThrottlingException:http://…", or a bare name. */
static struct span bare_type(struct span type) {
    size_t at = span_find(type, '#');
    struct span name = at < type.n ? span_from(type, at + 1) : type;
    name.n = span_find(name, ':');
    return name;
}

static void copy_text(char *out, size_t max, struct span s) {
    size_t n = s.n < max ? s.n : 0; /* a cut code would be another one */
    if (n > 0)
        memcpy(out, s.p, n);
    out[n] = '\0';
}

static void read_failure(const struct aws_response *r, struct error *error) {
    json_t *root = load(r->body);
    const char *type = json_string_value(json_object_get(root, "__type"));
    const char *message = json_string_value(json_object_get(root, "message"));
    if (message == NULL)
        message = json_string_value(json_object_get(root, "Message"));
    /* Its first line only: about a bad signature AWS goes on with what should have been signed, and so
     * with the session token. */
    struct span reason = span_of(message != NULL ? message : "no reason given");
    error_set(error, ERR_UPSTREAM, "CloudWatch Logs answered with status %d: %.*s", r->status,
              (int)span_find(reason, '\n'), reason.p);
    error->status = r->status;
    copy_text(
        error->code, sizeof error->code,
        bare_type(type != NULL ? span_of(type) : transport_header(r->head, "x-amzn-errortype")));
    copy_text(error->request_id, sizeof error->request_id,
              transport_header(r->head, "x-amzn-requestid"));
    json_decref(root);
}

static bool is_object_or_empty(struct span body) {
    json_t *root = load(body);
    bool good = body.n == 0 || json_is_object(root);
    json_decref(root);
    return good;
}

enum err answer_judge(void *context, const struct aws_response *response, struct error *error,
                      enum retry_kind *retry) {
    (void)context;
    (void)retry;
    if (response->status != 200) {
        read_failure(response, error);
        return error->err;
    }
    if (transport_header(response->head, "x-amzn-requestid").n > 0 &&
        is_object_or_empty(response->body))
        return ERR_OK;
    return error_set(error, ERR_UPSTREAM, "What answered is not CloudWatch Logs.");
}

static size_t clamp(json_int_t n, size_t max) {
    return n < 0 ? 0 : (json_int_t)max < n ? max : (size_t)n;
}

void answer_rejected(struct span body, size_t count, size_t ret[LOGS_REJECT_COUNT]) {
    json_t *root = load(body);
    const json_t *info = json_object_get(root, "rejectedLogEventsInfo");
    const json_t *too_new = json_object_get(info, "tooNewLogEventStartIndex");
    size_t old = clamp(json_integer_value(json_object_get(info, "tooOldLogEventEndIndex")), count);
    size_t expired =
        clamp(json_integer_value(json_object_get(info, "expiredLogEventEndIndex")), count);
    size_t from = json_is_integer(too_new) ? clamp(json_integer_value(too_new), count) : count;
    size_t front = old > expired ? old : expired;
    memset(ret, 0, LOGS_REJECT_COUNT * sizeof *ret);
    ret[LOGS_REJECT_TOO_OLD] = old;
    ret[LOGS_REJECT_EXPIRED] = front - old;
    ret[LOGS_REJECT_TOO_NEW] = from > front ? count - from : count - front;
    json_decref(root);
}

bool answer_is_final(const struct error *error) {
    static const char *const codes[] = {
        "InvalidParameterException",
        "SerializationException",
        "ValidationException",
        "RequestEntityTooLargeException",
    };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strcmp(error->code, codes[i]) == 0)
            return true;
    return error->status == 413;
}

#include "fileservice/s3/read.h"

#include "fileservice/base/clock.h"
#include "fileservice/s3/object.h"

#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

#define READ_TEXT_MAX_BYTES 65536 /* names and conditions; a request head has less */
#define READ_CONDITIONS 5

struct s3_read {
    struct s3_client *s3;
    struct s3_read_events events;
    struct trace trace;
    struct aws_call *call;
    struct s3_object_call *question; /* why a HEAD failed, or how long the object is */
    bool head_only;
    bool without_range; /* the range is not of the object that is there now */
    bool ask_again;     /* … and that was just found out */
    bool has_head;
    enum err failed_head; /* why a head was refused */

    struct buf text; /* what the spans below point at */
    struct span bucket;
    struct span key;
    struct span if_range;
    struct sigv4_pair conditions[READ_CONDITIONS]; /* range first, when there is one */
    size_t condition_count;
    struct error error; /* while a question is under way */
};

static void read_free(struct s3_read *r) {
    aws_call_cancel(r->call);
    s3_object_cancel(r->question);
    buf_done(&r->text);
    free(r);
}

void s3_read_cancel(struct s3_read *read) {
    if (read != NULL)
        read_free(read);
}

void s3_read_resume(struct s3_read *read) {
    if (read->call != NULL)
        aws_call_resume(read->call);
}

static void finish(struct s3_read *r, enum err e, const struct error *error, uint64_t size) {
    struct s3_read_events events = r->events;
    struct error copy = *error; /* it may live in what is freed now */
    read_free(r);
    events.on_done(events.context, e, &copy, size);
}

bool s3_read_range_holds(struct span if_range, struct span etag, struct span last_modified) {
    int64_t theirs_ms;
    int64_t ours_ms;
    if_range = span_trim(if_range);
    if (span_starts(if_range, SPAN("\"")))
        return span_eq(if_range, etag);
    return clock_parse_http_date(if_range, &theirs_ms) &&
           clock_parse_http_date(last_modified, &ours_ms) && theirs_ms == ours_ms;
}

/* Heads */

/* The lines of a head; false when there are too many. */
static bool split_lines(struct span head, struct sigv4_pair lines[S3_READ_HEADERS_MAX],
                        size_t *count) {
    struct span line;
    *count = 0;
    while (span_cut(&head, '\n', &line)) {
        size_t colon = span_find(line, ':');
        if (colon == line.n)
            continue;
        if (*count == S3_READ_HEADERS_MAX)
            return false;
        lines[(*count)++] =
            (struct sigv4_pair){{line.p, colon}, span_trim(span_from(line, colon + 1))};
    }
    return true;
}

static enum err give_head(struct s3_read *r, int status, struct span head) {
    struct sigv4_pair lines[S3_READ_HEADERS_MAX];
    struct s3_read_head h = {.status = status, .lines = lines};
    if (!split_lines(head, lines, &h.line_count))
        return ERR_LIMIT;
    /* Without a length, what broke off could pass for the whole. */
    if (status != 304 && !span_to_u64(transport_header(head, "Content-Length"), &h.length))
        return ERR_UPSTREAM;
    h.request_id = transport_header(head, "x-amz-request-id");
    r->has_head = true;
    return r->events.on_head(r->events.context, &h) ? ERR_OK : ERR_CANCELLED;
}

static bool on_head(void *context, int status, struct span head) {
    struct s3_read *r = context;
    if (status == 206 && r->if_range.n > 0 &&
        !s3_read_range_holds(r->if_range, transport_header(head, "ETag"),
                             transport_header(head, "Last-Modified"))) {
        r->ask_again = true;
        return false;
    }
    r->failed_head = give_head(r, status, head);
    return r->failed_head == ERR_OK;
}

static bool on_data(void *context, struct span data) {
    struct s3_read *r = context;
    return r->events.on_data(r->events.context, data);
}

/* What is no success but no failure either: the client has the object already. */
static enum err judge(void *context, const struct aws_response *response, struct error *error,
                      enum retry_kind *retry) {
    if (response->status == 304)
        return ERR_OK;
    return s3_judge(context, response, error, retry);
}

/* Asking */

static aws_done on_done;

static enum err ask(struct s3_read *r) {
    struct transport_sink sink = {on_head, on_data, r};
    bool ranged = r->condition_count > 0 && span_eq(r->conditions[0].name, SPAN("range"));
    size_t skip = ranged && r->without_range ? 1 : 0;
    struct s3_request request = {
        .operation = r->head_only ? S3_HEAD_OBJECT : S3_GET_OBJECT,
        .trace = &r->trace,
        .method = r->head_only ? "HEAD" : "GET",
        .bucket = r->bucket,
        .key = r->key,
        .headers = r->conditions + skip,
        .header_count = r->condition_count - skip,
        .sink = &sink,
    };
    r->ask_again = false;
    return s3_call_start(r->s3, &request, judge, on_done, r, &r->call);
}

static void fail_or_go_on(struct s3_read *r, enum err e) {
    struct error error;
    if (e == ERR_OK)
        return;
    error_set(&error, e, "There is no memory for a request to S3.");
    finish(r, e, &error, 0);
}

static void on_size(void *context, enum err e, const struct s3_object *object,
                    const struct error *error) {
    struct s3_read *r = context;
    (void)error;
    r->question = NULL;
    finish(r, r->error.err, &r->error, e == ERR_OK ? object->size : 0);
}

/* Why a HEAD failed; when the question meets no failure, what HEAD's status says must do. */
static void on_reason(void *context, enum err e, const struct s3_object *object,
                      const struct error *error) {
    struct s3_read *r = context;
    (void)object;
    r->question = NULL;
    finish(r, e == ERR_OK ? r->error.err : e, e == ERR_OK ? &r->error : error, 0);
}

static bool is_invalid_range(const struct error *error) { return error->status == 416; }

/* A failure before the head. True when more has to be asked about it. */
static bool inquire(struct s3_read *r, const struct error *error) {
    enum err e = ERR_NOT_FOUND;
    r->error = *error;
    if (is_invalid_range(error)) {
        r->error.err = ERR_BAD_INPUT;
        memcpy(r->error.code, "InvalidRange", sizeof "InvalidRange");
        e = s3_object_head(r->s3, r->bucket, r->key, &r->trace, on_size, r, &r->question);
    } else if (r->head_only && error->status >= 400 && error->status != 412) {
        e = s3_object_probe(r->s3, r->bucket, r->key, &r->trace, on_reason, r, &r->question);
    }
    return e == ERR_OK;
}

static void on_done(void *context, enum err e, const struct aws_response *response,
                    const struct error *error) {
    struct s3_read *r = context;
    struct error failure;
    r->call = NULL;
    bool ranged = r->if_range.n > 0 && !r->without_range;
    if (r->ask_again || (e != ERR_OK && ranged && is_invalid_range(error))) {
        r->without_range = true;
        fail_or_go_on(r, ask(r));
        return;
    }
    if (e == ERR_OK && response->status == 304 && !r->has_head)
        r->failed_head = give_head(r, 304, response->head);
    if (r->failed_head != ERR_OK) {
        e = r->failed_head;
        error_set(&failure, e, "%s",
                  e == ERR_CANCELLED ? "The answer could not be begun."
                  : e == ERR_LIMIT   ? "S3's answer has too many headers."
                                     : "S3 did not say how long the object is.");
        finish(r, e, &failure, 0);
        return;
    }
    if (e == ERR_OK || r->has_head)
        finish(r, e, error, 0);
    else if (!inquire(r, error))
        finish(r, r->error.err, &r->error, 0);
}

/* Beginning */

static void add_condition(struct s3_read *r, const char *name, struct span value) {
    if (value.n > 0)
        r->conditions[r->condition_count++] = (struct sigv4_pair){span_of(name), value};
}

static enum err copy_options(struct s3_read *r, const struct s3_read_options *o) {
    const struct span all[] = {o->bucket,
                               o->key,
                               o->range,
                               o->if_match,
                               o->if_none_match,
                               o->if_modified_since,
                               o->if_unmodified_since,
                               o->if_range};
    struct span copies[sizeof all / sizeof *all];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        buf_append(&r->text, all[i]);
    if (buf_error(&r->text) != ERR_OK)
        return buf_error(&r->text);
    size_t at = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; at += all[i].n, i++)
        copies[i] = (struct span){r->text.p + at, all[i].n};
    r->bucket = copies[0];
    r->key = copies[1];
    add_condition(r, "range", copies[2]);
    add_condition(r, "if-match", copies[3]);
    add_condition(r, "if-none-match", copies[4]);
    add_condition(r, "if-modified-since", copies[5]);
    add_condition(r, "if-unmodified-since", copies[6]);
    r->if_range = copies[7];
    return ERR_OK;
}

enum err s3_read_start(struct s3_client *s3, const struct s3_read_options *options,
                       const struct s3_read_events *events, struct s3_read **ret) {
    struct s3_read *r = calloc(1, sizeof *r);
    if (r == NULL)
        return ERR_NO_MEMORY;
    r->s3 = s3;
    r->events = *events;
    r->head_only = options->head_only;
    if (options->trace != NULL)
        r->trace = *options->trace;
    buf_init(&r->text, READ_TEXT_MAX_BYTES);
    enum err e = copy_options(r, options);
    if (e == ERR_OK)
        e = ask(r);
    if (e != ERR_OK) {
        read_free(r);
        return e;
    }
    *ret = r;
    return ERR_OK;
}

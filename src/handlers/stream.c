#include "stream.h"

#include "fileservice/base/url.h"
#include "fileservice/s3/read.h"

#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

#define STREAM_DISPOSITION_MAX_BYTES 8192 /* a name of 1,024 bytes, plain and encoded */

struct stream_job {
    struct exchange *exchange;
    struct s3_read *read; /* NULL once it is over */
    bool attachment;
    bool begun; /* bytes follow the head that was answered */
};

/* The file name */

static struct span last_segment(struct span key) {
    while (key.n > 0 && key.p[key.n - 1] == '/')
        key.n--;
    for (size_t i = key.n; i > 0; i--)
        if (key.p[i - 1] == '/')
            return span_from(key, i);
    return key;
}

/* Characters that mean the same in every client between quotes. */
static bool is_plain(char c) { return c >= ' ' && c < 0x7F && c != '"' && c != '\\' && c != '%'; }

void stream_attachment(struct buf *out, struct span key) {
    struct span name = last_segment(key);
    bool plain = true;
    buf_append_text(out, "attachment; filename=\"");
    for (size_t i = 0; i < name.n; i++) {
        plain = plain && is_plain(name.p[i]);
        buf_append_byte(out, is_plain(name.p[i]) ? name.p[i] : '_');
    }
    buf_append_byte(out, '"');
    if (!plain) {
        buf_append_text(out, "; filename*=UTF-8''");
        url_encode(out, name, false);
    }
}

/* The head */

/* Whether a header of S3's is the client's business. */
static bool is_passed_on(struct span name) {
    static const char *const names[] = {
        "Content-Type", "Content-Range", "Content-Encoding", "Content-Language", "Cache-Control",
        "ETag",         "Last-Modified", "Expires",          "Accept-Ranges",    "x-amz-version-id",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (span_eq_nocase(name, span_of(names[i])))
            return true;
    static const struct span fronts[] = {{"x-amz-meta-", 11}, {"x-amz-checksum-", 15}};
    for (size_t i = 0; i < sizeof fronts / sizeof *fronts; i++)
        if (name.n > fronts[i].n && span_eq_nocase((struct span){name.p, fronts[i].n}, fronts[i]))
            return true;
    return false;
}

static void pass_on(struct reply *r, const struct sigv4_pair *line) {
    struct buf name;
    buf_init(&name, line->name.n);
    buf_append(&name, line->name);
    if (buf_error(&name) == ERR_OK)
        reply_header(r, buf_text(&name), line->value);
    else
        r->headers.error = buf_error(&name);
    buf_done(&name);
}

static void add_headers(const struct stream_job *j, const struct s3_read_head *head,
                        struct reply *r) {
    const struct router_target *t = exchange_target(j->exchange);
    struct buf disposition;
    bool has_ranges = false;
    buf_init(&disposition, STREAM_DISPOSITION_MAX_BYTES);
    if (j->attachment)
        stream_attachment(&disposition, buf_span(&t->key));
    for (size_t i = 0; i < head->line_count; i++) {
        const struct sigv4_pair *line = &head->lines[i];
        has_ranges = has_ranges || span_eq_nocase(line->name, SPAN("Accept-Ranges"));
        if (is_passed_on(line->name))
            pass_on(r, line);
        else if (!j->attachment && span_eq_nocase(line->name, SPAN("Content-Disposition")))
            buf_append(&disposition, line->value);
    }
    if (!has_ranges)
        reply_header(r, "Accept-Ranges", SPAN("bytes"));
    if (disposition.n > 0)
        reply_header(r, "Content-Disposition", buf_span(&disposition));
    /* A stored page that a browser shows must not act in the name of our origin. */
    reply_header(r, "Content-Security-Policy", SPAN("sandbox; default-src 'none'"));
    buf_done(&disposition);
}

static bool on_head(void *context, const struct s3_read_head *head) {
    struct stream_job *j = context;
    struct reply r;
    char id[ERROR_REQUEST_ID_MAX_BYTES];
    size_t n = head->request_id.n < sizeof id ? head->request_id.n : 0;
    if (n > 0)
        memcpy(id, head->request_id.p, n);
    id[n] = '\0';
    exchange_note_s3_request_id(j->exchange, id);
    reply_init(&r, (unsigned)head->status);
    add_headers(j, head, &r);
    if (head->status == 304) {
        exchange_reply(j->exchange, &r);
        return true;
    }
    j->begun = exchange_stream(j->exchange, &r, head->length);
    return j->begun;
}

/* The body and the end */

static bool on_data(void *context, struct span data) {
    struct stream_job *j = context;
    return exchange_write(j->exchange, data);
}

static void fail_range(struct exchange *x, const struct error *error, uint64_t size) {
    struct reply r;
    struct buf range;
    buf_init(&range, 64);
    buf_append_text(&range, "bytes */");
    buf_append_u64(&range, size);
    reply_init(&r, 416);
    reply_error(&r, error, exchange_request_id(x));
    reply_header(&r, "Content-Range", buf_span(&range));
    buf_done(&range);
    exchange_reply(x, &r);
}

static void on_done(void *context, enum err e, const struct error *error, uint64_t size) {
    struct stream_job *j = context;
    j->read = NULL;
    if (e == ERR_OK)
        return;
    exchange_note_s3_request_id(j->exchange, error->request_id);
    if (j->begun)
        exchange_cut(j->exchange, error);
    else if (strcmp(error->code, "InvalidRange") == 0)
        fail_range(j->exchange, error, size);
    else
        exchange_fail(j->exchange, error);
}

enum err stream_job_start(struct exchange *x, bool attachment, struct stream_job **ret) {
    const struct router_target *t = exchange_target(x);
    struct span range = exchange_header(x, "Range");
    struct s3_read_options options = {
        .bucket = span_of(t->bucket),
        .key = buf_span(&t->key),
        .trace = exchange_trace(x),
        .head_only = exchange_method(x) == ROUTER_HEAD,
        .range = range,
        .if_range = range.n > 0 ? exchange_header(x, "If-Range") : range,
        .if_match = exchange_header(x, "If-Match"),
        .if_none_match = exchange_header(x, "If-None-Match"),
        .if_modified_since = exchange_header(x, "If-Modified-Since"),
        .if_unmodified_since = exchange_header(x, "If-Unmodified-Since"),
    };
    struct stream_job *j = calloc(1, sizeof *j);
    if (j == NULL)
        return ERR_NO_MEMORY;
    struct s3_read_events events = {on_head, on_data, on_done, j};
    j->exchange = x;
    j->attachment = attachment;
    enum err e = s3_read_start(&answers_app(x)->s3, &options, &events, &j->read);
    if (e != ERR_OK) {
        free(j);
        return e;
    }
    *ret = j;
    return ERR_OK;
}

void stream_job_resume(struct stream_job *j) {
    if (j->read != NULL)
        s3_read_resume(j->read);
}

void stream_job_free(struct stream_job *j) {
    if (j == NULL)
        return;
    s3_read_cancel(j->read);
    free(j);
}

#include "fileservice/s3/sweep.h"

#include "fileservice/base/clock.h"
#include "fileservice/s3/xml.h"

#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

#define SWEEP_INITIATOR_MAX_BYTES 2048 /* the longest ARN */
#define SWEEP_RESPONSE_MAX_BYTES 8388608
#define SWEEP_HOUR_MS INT64_C(3600000)
#define ROW 4 /* texts of one upload in a page */

/* What is asked now; a bucket goes through PROBE to ABORT, and LIST to ABORT for each page. */
enum step {
    STEP_BUCKETS, /* ListBuckets */
    STEP_PROBE,   /* CreateMultipartUpload of our own */
    STEP_WHO,     /* ListMultipartUploads of its key: who does S3 say that we are? */
    STEP_UNPROBE, /* its AbortMultipartUpload */
    STEP_LIST,    /* ListMultipartUploads, a page */
    STEP_ABORT,   /* AbortMultipartUpload of what is ours and old enough */
};

struct s3_sweep {
    struct s3_client *s3;
    const struct s3_sweep_options *options;
    struct loop_timer timer; /* the next round */
    struct aws_call *call;
    enum step step;

    struct texts buckets; /* of this round, as clients name them */
    size_t bucket;        /* the next one */
    char probe_id[S3_XML_FIELD_MAX_BYTES];
    struct buf initiator; /* who we are */
    struct s3_sweep_page page;
    size_t row;       /* the next one of the page */
    unsigned aborted; /* in this bucket */
    bool failed;      /* … and why the rest of it is left */
    struct error error;
};

static struct span bucket_of(const struct s3_sweep *s) { return texts_at(&s->buckets, s->bucket); }

static aws_done on_done;
static void next_bucket(struct s3_sweep *s);

/* Calls */

static enum err send(struct s3_sweep *s, enum step step, struct span key,
                     const struct sigv4_pair *parameters, size_t count) {
    static const struct {
        enum s3_operation operation;
        const char *method;
    } calls[] = {
        [STEP_BUCKETS] = {S3_LIST_BUCKETS, "GET"}, [STEP_PROBE] = {S3_CREATE_UPLOAD, "POST"},
        [STEP_WHO] = {S3_LIST_UPLOADS, "GET"},     [STEP_UNPROBE] = {S3_ABORT_UPLOAD, "DELETE"},
        [STEP_LIST] = {S3_LIST_UPLOADS, "GET"},    [STEP_ABORT] = {S3_ABORT_UPLOAD, "DELETE"},
    };
    struct s3_request request = {
        .operation = calls[step].operation,
        .method = calls[step].method,
        .bucket = step == STEP_BUCKETS ? SPAN("") : bucket_of(s),
        .key = key,
        .parameters = parameters,
        .parameter_count = count,
        .has_body = step == STEP_PROBE,
        .response_max_bytes = SWEEP_RESPONSE_MAX_BYTES,
        .owner_is_unknown = step == STEP_BUCKETS,
    };
    s->step = step;
    return s3_call_start(s->s3, &request, s3_judge, on_done, s, &s->call);
}

static enum err send_abort(struct s3_sweep *s, enum step step, struct span key, struct span id) {
    struct sigv4_pair parameter = {SPAN("uploadId"), id};
    return send(s, step, key, &parameter, 1);
}

static enum err send_list(struct s3_sweep *s) {
    struct sigv4_pair parameters[] = {
        {SPAN("uploads"), SPAN("")},
        {SPAN("key-marker"), buf_span(&s->page.key_marker)},
        {SPAN("upload-id-marker"), buf_span(&s->page.upload_marker)},
    };
    return send(s, STEP_LIST, SPAN(""), parameters, s->page.key_marker.n > 0 ? 3 : 1);
}

static enum err send_who(struct s3_sweep *s) {
    struct sigv4_pair parameters[] = {{SPAN("uploads"), SPAN("")},
                                      {SPAN("prefix"), SPAN(S3_SWEEP_PROBE_KEY)}};
    return send(s, STEP_WHO, SPAN(""), parameters, 2);
}

/* The end of a bucket, and of a round */

static void end_bucket(struct s3_sweep *s) {
    if (s->failed || s->aborted > 0)
        s->options->on_bucket(bucket_of(s), s->aborted, s->failed ? &s->error : NULL);
    s->bucket++;
    next_bucket(s);
}

static void give_up(struct s3_sweep *s, const struct error *error) {
    s->failed = true;
    s->error = *error;
    end_bucket(s);
}

static void end_round(struct s3_sweep *s) {
    if (loop_timer_start(s->s3->aws.loop, &s->timer, S3_SWEEP_INTERVAL_MS) != ERR_OK)
        s->options->on_bucket(SPAN(""), 0, &s->error);
}

/* A call that cannot even be begun ends the round: the next bucket would do no better. */
static void go_on(struct s3_sweep *s, enum err e) {
    if (e == ERR_OK)
        return;
    error_set(&s->error, e, "There is no memory for a request to S3.");
    s->options->on_bucket(s->bucket < s->buckets.count ? bucket_of(s) : SPAN(""), s->aborted,
                          &s->error);
    end_round(s);
}

static void give_up_unreadable(struct s3_sweep *s) {
    struct error error;
    error_set(&error, ERR_UPSTREAM, "S3's answer cannot be read.");
    give_up(s, &error);
}

static void next_bucket(struct s3_sweep *s) {
    struct sigv4_pair uploads = {SPAN("uploads"), SPAN("")};
    s->aborted = 0;
    s->failed = false;
    s->probe_id[0] = '\0';
    buf_clear(&s->initiator);
    if (s->bucket < s->buckets.count)
        go_on(s, send(s, STEP_PROBE, SPAN(S3_SWEEP_PROBE_KEY), &uploads, 1));
    else
        end_round(s);
}

/* Answers */

static struct span upload_text(const struct s3_sweep *s, size_t row, size_t field) {
    return texts_at(&s->page.uploads, row * ROW + field);
}

static bool is_to_abort(const struct s3_sweep *s, size_t row) {
    int64_t begun_ms;
    int64_t age_ms = (int64_t)s->options->age_hours * SWEEP_HOUR_MS;
    int64_t now_ms = clock_wall_ms() + s->s3->aws.clock_skew_ms;
    return s3_sweep_same_initiator(upload_text(s, row, 2), buf_span(&s->initiator)) &&
           clock_parse_rfc3339(upload_text(s, row, 3), &begun_ms) && now_ms - begun_ms >= age_ms;
}

/* The next upload of the page that is to go, or the next page, or the end of the bucket. */
static void sweep_on(struct s3_sweep *s) {
    while (s->row < s->page.uploads.count / ROW && !is_to_abort(s, s->row))
        s->row++;
    enum err e = ERR_OK;
    if (s->row < s->page.uploads.count / ROW)
        e = send_abort(s, STEP_ABORT, upload_text(s, s->row, 0), upload_text(s, s->row, 1));
    else if (s->page.key_marker.n > 0)
        e = send_list(s);
    else
        end_bucket(s);
    go_on(s, e);
}

static enum err read_page(struct s3_sweep *s, struct span document) {
    s3_sweep_page_done(&s->page);
    s3_sweep_page_init(&s->page);
    s->row = 0;
    return s3_sweep_read_uploads(document, &s->page);
}

static enum err on_who(struct s3_sweep *s, struct span document) {
    enum err e = read_page(s, document);
    for (size_t i = 0; e == ERR_OK && i < s->page.uploads.count / ROW; i++)
        if (span_eq(upload_text(s, i, 1), span_of(s->probe_id)))
            buf_append(&s->initiator, upload_text(s, i, 2));
    return e != ERR_OK ? e : buf_error(&s->initiator);
}

static void on_buckets(struct s3_sweep *s, struct span document) {
    struct span prefix = span_of(s->s3->options->bucket_prefix);
    struct texts all;
    texts_init(&all, S3_SWEEP_BUCKETS_MAX, (size_t)S3_SWEEP_BUCKETS_MAX * S3_BUCKET_MAX_BYTES);
    enum err e = s3_sweep_read_buckets(document, &all);
    for (size_t i = 0; e == ERR_OK && i < all.count; i++)
        if (span_starts(texts_at(&all, i), prefix))
            texts_append(&s->buckets, span_from(texts_at(&all, i), prefix.n));
    texts_done(&all);
    if (e != ERR_OK || texts_error(&s->buckets) != ERR_OK) {
        error_set(&s->error, ERR_UPSTREAM, "S3's list of buckets cannot be read.");
        s->options->on_bucket(SPAN(""), 0, &s->error);
        texts_clear(&s->buckets);
    }
    next_bucket(s);
}

static void on_probe(struct s3_sweep *s, struct span document) {
    struct s3_xml xml;
    if (s3_xml_parse(document, &xml) != ERR_OK || xml.upload_id[0] == '\0') {
        give_up_unreadable(s);
        return;
    }
    memcpy(s->probe_id, xml.upload_id, sizeof s->probe_id);
    go_on(s, send_who(s));
}

/* Our own upload goes in any case, also when S3 did not say who began it. */
static void abort_probe(struct s3_sweep *s) {
    go_on(s, send_abort(s, STEP_UNPROBE, SPAN(S3_SWEEP_PROBE_KEY), span_of(s->probe_id)));
}

static void after_unprobe(struct s3_sweep *s) {
    struct error error;
    if (s->failed) {
        end_bucket(s);
    } else if (s->initiator.n == 0) {
        error_set(&error, ERR_UPSTREAM, "S3 does not say who began an upload: nothing is swept.");
        give_up(s, &error);
    } else {
        buf_clear(&s->page.key_marker);
        go_on(s, send_list(s));
    }
}

/* A call failed: the bucket is left for the next round. */
static void on_failure(struct s3_sweep *s, enum err e, const struct error *error) {
    struct error copy = *error;
    if (s->step == STEP_BUCKETS) {
        s->options->on_bucket(SPAN(""), 0, &copy);
        next_bucket(s);
    } else if (s->step == STEP_WHO) { /* our own upload must not stay */
        s->failed = true;
        s->error = copy;
        abort_probe(s);
    } else if (s->step == STEP_ABORT && e == ERR_NOT_FOUND) { /* ended meanwhile */
        s->row++;
        sweep_on(s);
    } else {
        give_up(s, &copy);
    }
}

static void on_done(void *context, enum err e, const struct aws_response *response,
                    const struct error *error) {
    struct s3_sweep *s = context;
    s->call = NULL;
    if (e != ERR_OK) {
        on_failure(s, e, error);
        return;
    }
    switch (s->step) {
    case STEP_BUCKETS:
        on_buckets(s, response->body);
        break;
    case STEP_PROBE:
        on_probe(s, response->body);
        break;
    case STEP_WHO:
        if (on_who(s, response->body) != ERR_OK)
            buf_clear(&s->initiator);
        abort_probe(s);
        break;
    case STEP_UNPROBE:
        after_unprobe(s);
        break;
    case STEP_LIST:
        if (read_page(s, response->body) == ERR_OK)
            sweep_on(s);
        else
            give_up_unreadable(s);
        break;
    case STEP_ABORT:
        s->aborted++;
        s->row++;
        sweep_on(s);
        break;
    }
}

/* Rounds */

static void begin_round(struct loop_timer *timer) {
    struct s3_sweep *s = CONTAINER_OF(timer, struct s3_sweep, timer);
    s->bucket = 0;
    texts_clear(&s->buckets);
    for (size_t i = 0; i < s->options->bucket_count; i++)
        texts_append(&s->buckets, span_of(s->options->buckets[i]));
    if (s->options->bucket_count > 0) {
        next_bucket(s);
        return;
    }
    go_on(s, send(s, STEP_BUCKETS, SPAN(""), NULL, 0));
}

enum err s3_sweep_start(struct s3_client *s3, const struct s3_sweep_options *options,
                        struct s3_sweep **ret) {
    struct s3_sweep *s = calloc(1, sizeof *s);
    if (s == NULL)
        return ERR_NO_MEMORY;
    s->s3 = s3;
    s->options = options;
    s->timer.fire = begin_round;
    texts_init(&s->buckets, S3_SWEEP_BUCKETS_MAX,
               (size_t)S3_SWEEP_BUCKETS_MAX * S3_BUCKET_MAX_BYTES);
    buf_init(&s->initiator, SWEEP_INITIATOR_MAX_BYTES);
    s3_sweep_page_init(&s->page);
    enum err e = loop_timer_start(s3->aws.loop, &s->timer, 0);
    if (e != ERR_OK) {
        s3_sweep_free(s);
        return e;
    }
    *ret = s;
    return ERR_OK;
}

void s3_sweep_free(struct s3_sweep *s) {
    if (s == NULL)
        return;
    aws_call_cancel(s->call);
    loop_timer_stop(s->s3->aws.loop, &s->timer);
    texts_done(&s->buckets);
    buf_done(&s->initiator);
    s3_sweep_page_done(&s->page);
    free(s);
}

/* An upload whose n-th allocation fails, for n = 1, 2, … until the run passes: each time it either
 * ends well or with an error, and gives back all that it took, here and on S3. */
#include "fileservice/s3/upload.h"

#include "failing.h"
#include "stand_in.h"

#include <openssl/evp.h>
#include <expat.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define KIB 1024u
#define PART_BYTES (1024 * KIB) /* the least that s3_upload_part_bytes() gives */
#define BUDGET_BYTES (4 * PART_BYTES)
#define RUN_MAX_MS 20000

/* Besides what support/failing.h has */

EVP_MD_CTX *__real_EVP_MD_CTX_new(void);
EVP_MD_CTX *__wrap_EVP_MD_CTX_new(void);
EVP_MD_CTX *__wrap_EVP_MD_CTX_new(void) { return failing_now() ? NULL : __real_EVP_MD_CTX_new(); }

XML_Parser __real_XML_ParserCreate(const XML_Char *encoding);
XML_Parser __wrap_XML_ParserCreate(const XML_Char *encoding);
XML_Parser __wrap_XML_ParserCreate(const XML_Char *encoding) {
    return failing_now() ? NULL : __real_XML_ParserCreate(encoding);
}

/* The loop's tables grow seldom: each call is one that may have to. And what would take a second, the
 * second abort or silence, takes a 50th of it. */
enum err __real_loop_timer_start(struct loop *l, struct loop_timer *timer, uint64_t delay_ms);
enum err __wrap_loop_timer_start(struct loop *l, struct loop_timer *timer, uint64_t delay_ms);
enum err __wrap_loop_timer_start(struct loop *l, struct loop_timer *timer, uint64_t delay_ms) {
    if (failing_now())
        return ERR_NO_MEMORY;
    return __real_loop_timer_start(l, timer, delay_ms >= 500 ? delay_ms / 50 : delay_ms);
}

enum err __real_loop_watch_set(struct loop *l, struct loop_watch *watch, uint32_t events);
enum err __wrap_loop_watch_set(struct loop *l, struct loop_watch *watch, uint32_t events);
enum err __wrap_loop_watch_set(struct loop *l, struct loop_watch *watch, uint32_t events) {
    if (events != 0 && failing_now())
        return ERR_NO_MEMORY;
    return __real_loop_watch_set(l, watch, events);
}

/* S3, for one bucket and one key, in a thread of its own */

#define UPLOADS_MAX 16

struct tiny_s3 {
    char bucket[32]; /* as a path; another in each run: a request may be read after its run */
    bool bucket_is_there;
    bool parts_are_denied;
    unsigned begun;         /* what it saw, from here on */
    bool used[UPLOADS_MAX]; /* a part was sent under that id: its begin was heard */
    bool aborted[UPLOADS_MAX];
    bool completed[UPLOADS_MAX];
    bool stored;
    bool wrong; /* a request that must never come */
};

static pthread_mutex_t tiny_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct tiny_s3 tiny; /* any thread, under the mutex */

static void say(struct buf *out, int status, const char *headers, const char *body) {
    buf_append_format(
        out, "HTTP/1.1 %d Scripted\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n%s", status,
        headers, strlen(body), body);
}

static bool has(struct span target, const char *part) {
    for (size_t i = 0; i + strlen(part) <= target.n; i++)
        if (span_starts(span_from(target, i), span_of(part)))
            return true;
    return false;
}

/* The number in uploadId=up-<number>; out of the range when there is none. */
static size_t id_of(struct span target) {
    for (size_t i = 0; i < UPLOADS_MAX; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "uploadId=up-%zu", i);
        struct span wanted = span_of(id);
        for (size_t at = 0; at < target.n; at++) {
            struct span rest = span_from(target, at);
            if (span_starts(rest, wanted) && (rest.n == wanted.n || rest.p[wanted.n] == '&'))
                return i;
        }
    }
    tiny.wrong = true; /* an abort or a part without an id may mean the object itself */
    return UPLOADS_MAX;
}

static void answer_bucket(const struct stand_in_request *r, struct buf *out) {
    if (span_eq(r->method, SPAN("HEAD"))) {
        say(out, tiny.bucket_is_there ? 200 : 404, "", "");
        return;
    }
    tiny.bucket_is_there = true;
    say(out, 200, "", "");
}

static void answer_upload(size_t id, const struct stand_in_request *r, struct buf *out) {
    if (id >= UPLOADS_MAX || tiny.aborted[id] || tiny.completed[id]) {
        tiny.wrong = tiny.wrong ||
                     (id < UPLOADS_MAX && tiny.completed[id] && span_eq(r->method, SPAN("DELETE")));
        say(out, 404, "", "<Error><Code>NoSuchUpload</Code></Error>");
    } else if (span_eq(r->method, SPAN("PUT"))) {
        tiny.used[id] = true;
        if (tiny.parts_are_denied)
            say(out, 403, "", "<Error><Code>AccessDenied</Code></Error>");
        else
            say(out, 200, "ETag: \"part\"\r\n", "");
    } else if (span_eq(r->method, SPAN("DELETE"))) {
        tiny.aborted[id] = true;
        say(out, 204, "", "");
    } else {
        tiny.completed[id] = true;
        tiny.stored = true;
        say(out, 200, "",
            "<CompleteMultipartUploadResult><ETag>\"whole-3\"</ETag>"
            "</CompleteMultipartUploadResult>");
    }
}

static void answer_for(struct span target, const struct stand_in_request *r, struct buf *out) {
    char body[200];
    if (target.n == 0 || target.p[0] == '?') {
        answer_bucket(r, out);
    } else if (!tiny.bucket_is_there) {
        say(out, 404, "", "<Error><Code>NoSuchBucket</Code></Error>");
    } else if (has(target, "uploadId=")) {
        answer_upload(id_of(target), r, out);
    } else if (span_eq(r->method, SPAN("POST"))) {
        (void)snprintf(body, sizeof body,
                       "<InitiateMultipartUploadResult><UploadId>up-%u</UploadId>"
                       "</InitiateMultipartUploadResult>",
                       tiny.begun++);
        say(out, 200, "", body);
    } else if (span_eq(r->method, SPAN("PUT"))) {
        tiny.stored = true;
        say(out, 200, "ETag: \"whole\"\r\n", "");
    } else if (!tiny.stored) {
        say(out, 404, "", "");
    } else {
        buf_append_format(out, "HTTP/1.1 200 OK\r\nETag: \"whole-3\"\r\nContent-Length: %u\r\n\r\n",
                          2500 * KIB);
    }
}

static void answer(void *context, const struct stand_in_request *r, struct buf *out) {
    (void)context;
    failing_leave_out_thread();
    pthread_mutex_lock(&tiny_mutex);
    struct span bucket = span_of(tiny.bucket);
    if (span_starts(r->target, bucket))
        answer_for(span_from(r->target, bucket.n), r, out);
    else
        say(out, 404, "", "<Error><Code>NoSuchBucket</Code></Error>");
    pthread_mutex_unlock(&tiny_mutex);
}

/* One run */

static struct stand_in *server;
static struct credentials_source *credentials;

struct run {
    struct loop *loop;
    struct s3_options options;
    struct s3_client s3;
    atomic_uint busy;
    struct s3_upload *upload;
    uint64_t length;
    uint64_t written;
    struct loop_timer pump; /* writes what there is room for, and sees the end */
    unsigned ticks;
    bool started;
    bool finished; /* s3_upload_finish() was called */
    unsigned done;
    enum err err;
    bool object_is_right;
    bool reached; /* the allocation that was to fail */
};

static unsigned orphans;

static void on_orphan(const char *bucket, const struct error *error) {
    assert_string_equal(bucket, tiny.bucket + 1);
    assert_int_not_equal(error->err, ERR_OK);
    orphans++;
}

static void on_room(void *context) { (void)context; /* the pump comes by anyway */ }

static void on_done(void *context, enum err e, const struct s3_object *object,
                    const struct error *error, const struct error *warning) {
    struct run *r = context;
    (void)warning;
    r->done++;
    r->upload = NULL;
    r->err = e;
    if (e == ERR_OK) {
        r->object_is_right = object->size == r->length && object->etag[0] != '\0';
    } else {
        assert_null(object);
        assert_int_equal(error->err, e);
        assert_string_not_equal(error->message, "");
    }
}

static void write_some(struct run *r) {
    static const char content[PART_BYTES];
    uint64_t left = r->length - r->written;
    struct span piece = {content, left < sizeof content ? (size_t)left : sizeof content};
    r->written += s3_upload_write(r->upload, piece);
    if (r->written == r->length) {
        r->finished = true;
        s3_upload_finish(r->upload);
    }
}

static void pump_fired(struct loop_timer *timer) {
    struct run *r = CONTAINER_OF(timer, struct run, pump);
    if (r->upload != NULL && !r->finished)
        write_some(r);
    if (r->done > 0 && atomic_load(&r->busy) == 0) {
        loop_stop(r->loop);
        return;
    }
    if (++r->ticks > RUN_MAX_MS)
        fail_msg("the run does not end; allocation %u failed", failing_which());
    assert_int_equal(__real_loop_timer_start(r->loop, timer, 1), ERR_OK);
}

static void run_init(struct run *r, uint64_t length) {
    struct error error;
    memset(r, 0, sizeof *r);
    assert_int_equal(loop_new(&r->loop, &error), ERR_OK);
    r->length = length;
    r->pump.fire = pump_fired;
    r->options = (struct s3_options){.endpoint = {.host = "127.0.0.1"},
                                     .custom_endpoint = true,
                                     .region = "us-east-1",
                                     .bucket_prefix = "",
                                     .bucket_auto_create = true,
                                     .upload_part_bytes = PART_BYTES};
    r->options.endpoint.port = stand_in_port(server);
    r->s3 = (struct s3_client){
        .aws = {.loop = r->loop,
                .credentials = credentials,
                .service = "s3",
                .region = "us-east-1",
                .max_attempts = 2,
                .connect_ms = 5000,
                .silence_ms = 20000},
        .options = &r->options,
        .budget = budget_new(BUDGET_BYTES),
        .busy_uploads = &r->busy,
        .on_orphan = on_orphan,
    };
    assert_non_null(r->s3.budget);
    retry_bucket_init(&r->s3.aws.bucket);
    list_init(&r->s3.uploads);
    assert_int_equal(transport_new(r->loop, 4, &r->s3.aws.transport, &error), ERR_OK);
}

static void run_upload(struct run *r, unsigned n) {
    struct s3_upload_options options = {.bucket = span_of(tiny.bucket + 1),
                                        .key = SPAN("key"),
                                        .content_type = SPAN("text/plain"),
                                        .length_max = r->length};
    struct s3_upload_events events = {on_room, on_done, r};
    assert_int_equal(__real_loop_timer_start(r->loop, &r->pump, 0), ERR_OK);
    failing_begin(n);
    r->started = s3_upload_start(&r->s3, &options, &events, &r->upload) == ERR_OK;
    if (r->started)
        loop_run(r->loop);
    r->reached = failing_end();
}

static void run_done(struct run *r) {
    assert_int_equal(atomic_load(&r->busy), 0);
    assert_int_equal(budget_used(r->s3.budget), 0);
    assert_true(list_is_empty(&r->s3.uploads));
    transport_free(r->s3.aws.transport);
    aws_client_done(&r->s3.aws);
    budget_free(r->s3.budget);
    loop_free(r->loop);
}

/* What must be so on S3, whatever failed here. */
static void check_s3(const struct run *r) {
    bool completed = false;
    unsigned left = 0;
    assert_false(tiny.wrong);
    for (size_t i = 0; i < UPLOADS_MAX; i++) {
        assert_false(tiny.completed[i] && tiny.aborted[i]);
        completed = completed || tiny.completed[i];
        left += tiny.used[i] && !tiny.completed[i] && !tiny.aborted[i];
    }
    if (left > orphans)
        fail_msg("allocation %u: %u uploads are left on S3, %u are told", failing_which(), left,
                 orphans);
    if (r->done > 0 && r->err == ERR_OK) {
        assert_true(tiny.stored && r->object_is_right);
        assert_int_equal(completed, r->length > PART_BYTES);
    }
}

struct scenario {
    const char *name;
    uint64_t length;
    bool bucket_is_there;
    bool parts_are_denied;
    enum err want; /* when no allocation fails */
};

/* Returns whether the n-th allocation was reached. */
static bool fail_nth(const struct scenario *s, unsigned n) {
    struct run r;
    static unsigned runs;
    pthread_mutex_lock(&tiny_mutex);
    tiny = (struct tiny_s3){.bucket_is_there = s->bucket_is_there,
                            .parts_are_denied = s->parts_are_denied};
    (void)snprintf(tiny.bucket, sizeof tiny.bucket, "/bucket-%06u", ++runs);
    pthread_mutex_unlock(&tiny_mutex);
    orphans = 0;
    run_init(&r, s->length);
    run_upload(&r, n);
    if (r.done != (r.started ? 1 : 0))
        fail_msg("%s, allocation %u: on_done was called %u times", s->name, n, r.done);
    pthread_mutex_lock(&tiny_mutex);
    check_s3(&r);
    pthread_mutex_unlock(&tiny_mutex);
    run_done(&r);
    if (!r.reached && (!r.started || r.err != s->want))
        fail_msg("%s: ended with %s", s->name, err_name(r.err));
    return r.reached;
}

static void any_allocation_may_fail(void **state) {
    static const struct scenario rows[] = {
        {"one part, bucket missing", 70 * KIB, false, false, ERR_OK},
        {"an empty file", 0, true, false, ERR_OK},
        {"three parts, bucket missing", 2500 * KIB, false, false, ERR_OK},
        {"three parts, aborted", 2500 * KIB, true, true, ERR_DENIED},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        unsigned n = 1;
        assert_false(fail_nth(&rows[i], 0)); /* and the server's thread is known from now on */
        while (fail_nth(&rows[i], n))
            n++;
        print_message("%s: %u allocations\n", rows[i].name, n - 1);
    }
}

/* The part size */

static void parts_are_as_large_as_ten_thousand_of_them_need(void **state) {
    static const uint64_t mib = 1048576;
    static const struct {
        uint64_t setting;
        uint64_t length;
        uint64_t want;
    } rows[] = {
        {5242880, 0, 5242880},
        {5242880, 1, 5242880},
        {5242880, UINT64_C(52428800000), 5242880}, /* 10,000 parts of 5 MiB */
        {5242880, UINT64_C(52428800001), 6291456},
        {8388608, UINT64_C(53687091200), 8388608}, /* the defaults */
        {8388608, UINT64_C(83886080001), 9437184},
        {5242881, UINT64_C(52428800001), 6291456}, /* a setting that is no whole MiB */
        {6291457, UINT64_C(52428800001), 6291457},
        {5242880, UINT64_C(5497558138880), 525 * mib}, /* 5 TiB: 524.288 MiB */
        {5242880, UINT64_MAX, UINT64_C(1759218605) * mib},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t part = s3_upload_part_bytes(rows[i].setting, rows[i].length);
        if (part != rows[i].want)
            fail_msg("row %zu: %llu", i, (unsigned long long)part);
        assert_true(rows[i].length / part + (rows[i].length % part != 0) <= S3_UPLOAD_PARTS_MAX);
    }
}

static int set_up(void **state) {
    struct credentials_options options = {
        .access_key_id = "AKID", .secret_access_key = "secret", .region = "us-east-1"};
    struct error error;
    (void)state;
    if (transport_global_init() != ERR_OK)
        return -1;
    server = stand_in_start(answer, NULL);
    return server != NULL && credentials_source_start(&options, &credentials, &error) == ERR_OK
               ? 0
               : -1;
}

static int tear_down(void **state) {
    (void)state;
    stand_in_stop(server);
    credentials_source_stop(credentials);
    transport_global_done();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_as_large_as_ten_thousand_of_them_need),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

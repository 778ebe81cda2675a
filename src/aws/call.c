#include "fileservice/aws/call.h"

#include "fileservice/base/clock.h"
#include "fileservice/base/random.h"

#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

#define CALL_TEXT_MAX_BYTES 65536 /* URL and header lines of one try */
#define CALL_COPY_MAX_BYTES 65536
#define CALL_EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define CALL_OWN_HEADERS 4 /* host, x-amz-date, x-amz-content-sha256, x-amz-security-token */

_Static_assert(AWS_CALL_HEADERS_MAX + CALL_OWN_HEADERS <= SIGV4_HEADERS_MAX, "all can be signed");
_Static_assert(AWS_CALL_HEADERS_MAX + CALL_OWN_HEADERS <= TRANSPORT_HEADERS_MAX,
               "all can be sent: authorization stands for host, which curl writes");

struct aws_call {
    struct aws_client *client;
    struct url_endpoint endpoint;
    const char *method;
    struct span path;
    struct sigv4_pair parameters[AWS_CALL_PARAMETERS_MAX];
    size_t parameter_count;
    struct sigv4_pair headers[AWS_CALL_HEADERS_MAX];
    size_t header_count;
    const struct span *body;
    size_t body_count;
    bool has_body;
    struct span payload_hash;
    uint32_t silence_ms;
    struct transport_sink sink; /* the caller's; on_head is NULL when there is none */
    bool streams;               /* the sink has seen a head */
    uint64_t awaited;           /* bytes that it has not seen yet; UINT64_MAX: not known */
    size_t response_max_bytes;

    aws_judge *judge;
    aws_done *done;
    void *context;

    struct buf copy;           /* the bytes that the spans above point at */
    struct transfer *transfer; /* the try under way, or NULL */
    struct loop_timer wait;    /* before the next try */
    unsigned attempt;          /* counts from 1 */
    enum retry_kind last;      /* why there was a retry */

    unsigned operation; /* what the report says, from here on */
    struct trace trace;
    uint64_t started_us;
    uint64_t head_us; /* when the sink saw the head; 0: not yet */
    int status;       /* of the last try */
    char request_id[ERROR_REQUEST_ID_MAX_BYTES];
};

static void call_free(struct aws_call *c) {
    loop_timer_stop(c->client->loop, &c->wait);
    if (c->transfer != NULL)
        transport_cancel(c->transfer);
    buf_done_secret(&c->copy);
    free(c);
}

/* Telling how it ended */

/* Of a try that begins: nothing came yet. */
static void forget_response(struct aws_call *c) {
    c->status = 0;
    c->request_id[0] = '\0';
}

static void remember_response(struct aws_call *c, int status, struct span head) {
    struct span id = transport_header(head, "x-amz-request-id");
    size_t n = id.n < sizeof c->request_id ? id.n : 0; /* cut, it would be another's */
    c->status = status;
    if (n > 0)
        memcpy(c->request_id, id.p, n);
    c->request_id[n] = '\0';
}

static void report(const struct aws_call *c, enum err e, unsigned attempts,
                   const struct error *error) {
    const struct aws_client *client = c->client;
    if (client->on_call == NULL)
        return;
    struct aws_report r = {
        .operation = c->operation,
        .trace = &c->trace,
        .err = e,
        .error = error,
        .attempts = attempts,
        .duration_us = (c->head_us != 0 ? c->head_us : clock_monotonic_us()) - c->started_us,
        .status = c->status,
        .request_id = span_of(c->request_id),
    };
    client->on_call(client->on_call_context, &r);
}

void aws_call_cancel(struct aws_call *call) {
    struct error error;
    if (call == NULL)
        return;
    memset(&error, 0, sizeof error);
    /* Who has all of it may be faster with its end than the HTTP client. */
    bool whole = call->streams && call->awaited == 0;
    if (!whole)
        error_set(&error, ERR_CANCELLED, "The call was given up.");
    report(call, error.err, call->attempt, &error);
    call_free(call);
}

/* What to sign with */

struct sigv4_credentials aws_client_signing(struct aws_client *client,
                                            struct credentials *credentials) {
    if (client->memo_of != credentials) {
        aws_client_done(client);
        client->memo_of = credentials_ref(credentials);
    }
    struct sigv4_credentials k = credentials_for_signing(credentials);
    k.memo = &client->memo;
    return k;
}

void aws_client_done(struct aws_client *client) {
    sigv4_memo_clear(&client->memo);
    credentials_unref(client->memo_of);
    client->memo_of = NULL;
}

/* Copying the request */

/* Appends and returns where: an offset, since the buffer still moves. */
static struct span remember(struct buf *copy, struct span s) {
    size_t at = copy->n;
    buf_append(copy, s);
    return (struct span){(const char *)at, s.n}; // NOLINT(performance-no-int-to-ptr)
}

static void settle(const struct buf *copy, struct span *s) { s->p = copy->p + (size_t)s->p; }

static enum err copy_request(struct aws_call *c, const struct aws_request *r) {
    if (r->parameter_count > AWS_CALL_PARAMETERS_MAX || r->header_count > AWS_CALL_HEADERS_MAX)
        return ERR_LIMIT;
    struct buf *copy = &c->copy;
    c->method = r->method;
    c->endpoint = *r->endpoint;
    c->path = remember(copy, r->path);
    for (size_t i = 0; i < r->parameter_count; i++)
        c->parameters[i] = (struct sigv4_pair){remember(copy, r->parameters[i].name),
                                               remember(copy, r->parameters[i].value)};
    for (size_t i = 0; i < r->header_count; i++)
        c->headers[i] = (struct sigv4_pair){remember(copy, r->headers[i].name),
                                            remember(copy, r->headers[i].value)};
    c->payload_hash =
        remember(copy, r->payload_hash.n > 0 ? r->payload_hash : SPAN(CALL_EMPTY_HASH));
    if (buf_error(copy) != ERR_OK)
        return buf_error(copy);
    c->parameter_count = r->parameter_count;
    c->header_count = r->header_count;
    settle(copy, &c->path);
    settle(copy, &c->payload_hash);
    for (size_t i = 0; i < c->parameter_count; i++) {
        settle(copy, &c->parameters[i].name);
        settle(copy, &c->parameters[i].value);
    }
    for (size_t i = 0; i < c->header_count; i++) {
        settle(copy, &c->headers[i].name);
        settle(copy, &c->headers[i].value);
    }
    c->body = r->body;
    c->body_count = r->body_count;
    c->has_body = r->has_body;
    if (r->sink != NULL)
        c->sink = *r->sink;
    c->silence_ms = r->silence_ms != 0 ? r->silence_ms : c->client->silence_ms;
    c->response_max_bytes = r->response_max_bytes;
    c->operation = r->operation;
    if (r->trace != NULL)
        c->trace = *r->trace;
    return ERR_OK;
}

/* One try */

/* The texts of one try; everything of it is given up once curl has its copies. */
struct attempt {
    struct buf host;
    struct buf text; /* header lines, each with its NUL, then the URL */
    struct sigv4_pair headers[AWS_CALL_HEADERS_MAX + CALL_OWN_HEADERS];
    size_t header_count;
    char date[CLOCK_AMZ_BYTES];
    const char *lines[AWS_CALL_HEADERS_MAX + CALL_OWN_HEADERS + 1];
    size_t line_count;
};

static void add_header(struct attempt *a, struct span name, struct span value) {
    a->headers[a->header_count++] = (struct sigv4_pair){name, value};
}

static void gather_headers(const struct aws_call *c, const struct sigv4_credentials *k,
                           int64_t now_ms, struct attempt *a) {
    clock_format_amz(now_ms, a->date);
    url_append_host(&a->host, &c->endpoint);
    add_header(a, SPAN("host"), buf_span(&a->host));
    add_header(a, SPAN("x-amz-date"), span_of(a->date));
    if (span_eq(span_of(c->client->service), SPAN("s3")))
        add_header(a, SPAN("x-amz-content-sha256"), c->payload_hash);
    if (k->session_token.n > 0)
        add_header(a, SPAN("x-amz-security-token"), k->session_token);
    for (size_t i = 0; i < c->header_count; i++)
        add_header(a, c->headers[i].name, c->headers[i].value);
}

static enum err sign(const struct aws_call *c, const struct sigv4_credentials *k, int64_t now_ms,
                     struct attempt *a, struct buf *authorization) {
    struct sigv4_request request = {
        .method = span_of(c->method),
        .path = c->path,
        .parameters = c->parameters,
        .parameter_count = c->parameter_count,
        .headers = a->headers,
        .header_count = a->header_count,
        .payload_hash = c->payload_hash,
        .s3 = span_eq(span_of(c->client->service), SPAN("s3")),
    };
    struct sigv4_scope scope = {
        .region = span_of(c->client->region),
        .service = span_of(c->client->service),
        .wall_ms = now_ms,
    };
    return sigv4_authorization(&request, &scope, k, authorization);
}

static void append_line(struct attempt *a, size_t offsets[], struct span name, struct span value) {
    offsets[a->line_count++] = a->text.n;
    buf_append(&a->text, name);
    /* "Name;" is how curl is told to send a header without a value. */
    buf_append(&a->text, value.n > 0 ? SPAN(": ") : SPAN(";"));
    buf_append(&a->text, value);
    buf_append_byte(&a->text, '\0');
}

static enum err write_lines(const struct aws_call *c, struct attempt *a, struct span authorization,
                            const char **url) {
    size_t offsets[AWS_CALL_HEADERS_MAX + CALL_OWN_HEADERS + 1];
    for (size_t i = 1; i < a->header_count; i++) /* Host is written by curl, from the URL */
        append_line(a, offsets, a->headers[i].name, a->headers[i].value);
    append_line(a, offsets, SPAN("authorization"), authorization);
    size_t url_at = a->text.n;
    url_append_origin(&a->text, &c->endpoint);
    sigv4_append_path(&a->text, c->path);
    if (c->parameter_count > 0) {
        buf_append_byte(&a->text, '?');
        enum err e = sigv4_append_query(&a->text, c->parameters, c->parameter_count);
        if (e != ERR_OK)
            return e;
    }
    if (buf_error(&a->text) != ERR_OK)
        return buf_error(&a->text);
    for (size_t i = 0; i < a->line_count; i++)
        a->lines[i] = a->text.p + offsets[i];
    *url = a->text.p + url_at;
    return ERR_OK;
}

static transport_done try_done;

/* How much follows a head (RFC 9112 §6.3). */
static uint64_t body_length(const struct aws_call *c, int status, struct span head) {
    uint64_t n = UINT64_MAX;
    if (strcmp(c->method, "HEAD") == 0 || status == 204 || status == 304)
        return 0;
    return span_to_u64(transport_header(head, "Content-Length"), &n) ? n : UINT64_MAX;
}

static bool on_head(void *context, int status, struct span head) {
    struct aws_call *c = context;
    c->streams = true;
    c->awaited = body_length(c, status, head);
    c->head_us = clock_monotonic_us();
    remember_response(c, status, head);
    return c->sink.on_head(c->sink.context, status, head);
}

static bool on_data(void *context, struct span data) {
    struct aws_call *c = context;
    if (!c->sink.on_data(c->sink.context, data))
        return false;
    if (c->awaited != UINT64_MAX)
        c->awaited -= data.n < c->awaited ? data.n : c->awaited;
    return true;
}

void aws_call_resume(struct aws_call *call) {
    if (call->transfer != NULL)
        transport_resume(call->transfer);
}

static enum err send_signed(struct aws_call *c, const struct sigv4_credentials *k) {
    struct attempt a = {.header_count = 0};
    struct buf authorization;
    buf_init(&a.host, URL_HOST_MAX_BYTES + 16);
    buf_init(&a.text, CALL_TEXT_MAX_BYTES);
    buf_init(&authorization, 4096);
    int64_t now_ms = clock_wall_ms() + c->client->clock_skew_ms;
    gather_headers(c, k, now_ms, &a);
    const char *url = NULL;
    enum err e = buf_error(&a.host);
    if (e == ERR_OK)
        e = sign(c, k, now_ms, &a, &authorization);
    if (e == ERR_OK)
        e = write_lines(c, &a, buf_span(&authorization), &url);
    if (e == ERR_OK) {
        struct transport_sink sink = {on_head, on_data, c};
        struct transport_request request = {
            .method = c->method,
            .url = url,
            .headers = a.lines,
            .header_count = a.line_count,
            .body = c->body,
            .body_count = c->body_count,
            .has_body = c->has_body,
            .connect_ms = c->client->connect_ms,
            .silence_ms = c->silence_ms,
            .sink = c->sink.on_head != NULL ? &sink : NULL,
            .response_max_bytes = c->response_max_bytes,
        };
        e = transport_start(c->client->transport, &request, try_done, c, &c->transfer);
    }
    buf_done(&a.host);
    buf_done_secret(&a.text);
    buf_done(&authorization);
    return e;
}

static void finish(struct aws_call *c, enum err e, const struct aws_response *response,
                   const struct error *error) {
    report(c, e, response->attempts, error);
    c->done(c->context, e, response, error);
    call_free(c);
}

/* Starts the next try, from a timer: never inside a caller. */
static void start_try(struct loop_timer *timer) {
    struct aws_call *c = CONTAINER_OF(timer, struct aws_call, wait);
    struct aws_response none = {.attempts = c->attempt};
    struct error error;
    struct credentials *credentials = NULL;
    c->attempt++;
    forget_response(c);
    enum err e = credentials_get(c->client->credentials, &credentials, &error);
    if (e == ERR_OK) {
        struct sigv4_credentials k = aws_client_signing(c->client, credentials);
        e = send_signed(c, &k);
        credentials_unref(credentials);
        if (e != ERR_OK)
            error_set(&error, e, "a request to %s could not be built", c->client->service);
    }
    if (e != ERR_OK)
        finish(c, e, &none, &error);
}

/* Judging a try */

/* AWS's clock minus ours, when the answer says what time it is. */
static void learn_clock(struct aws_client *client, struct span head) {
    int64_t theirs_ms;
    if (clock_parse_http_date(transport_header(head, "Date"), &theirs_ms))
        client->clock_skew_ms = theirs_ms - clock_wall_ms();
}

static void learn(struct aws_client *client, const struct aws_response *response,
                  const struct error *error) {
    struct span code = span_of(error->code);
    /* S3 names it; other services find such a signature expired, or not yet current. When it was another
     * fault, the clocks are found to agree. */
    if (span_eq(code, SPAN("RequestTimeTooSkewed")) ||
        span_eq(code, SPAN("InvalidSignatureException")))
        learn_clock(client, response->head);
    if (span_eq(code, SPAN("ExpiredToken")) || span_eq(code, SPAN("ExpiredTokenException")))
        credentials_refresh_soon(client->credentials);
}

static int64_t retry_hint_ms(struct span head) {
    uint64_t ms;
    if (!span_to_u64(transport_header(head, "x-amz-retry-after"), &ms) || ms > INT64_MAX)
        return -1;
    return (int64_t)ms;
}

/* True when the next try is on its way. */
static bool try_again(struct aws_call *c, enum retry_kind kind, struct span head) {
    struct aws_client *client = c->client;
    if (kind == RETRY_NEVER || c->attempt >= client->max_attempts ||
        !retry_acquire(&client->bucket, kind))
        return false;
    uint64_t delay = retry_delay_ms(kind, c->attempt, random_fraction(), retry_hint_ms(head));
    if (loop_timer_start(client->loop, &c->wait, delay) != ERR_OK)
        return false;
    c->last = kind;
    return true;
}

static void try_done(void *context, enum err err, const struct transport_response *r) {
    struct aws_call *c = context;
    c->transfer = NULL;
    if (!c->streams) /* else what the sink saw counts, also when the rest did not come */
        remember_response(c, r->status, r->head);
    struct aws_response response = {.status = r->status,
                                    .head = r->head,
                                    .body = r->body,
                                    .reason = r->reason,
                                    .attempts = c->attempt};
    struct error error;
    enum retry_kind kind = RETRY_NEVER;
    enum err outcome = err;
    memset(&error, 0, sizeof error);
    if (err == ERR_OK && !c->streams)
        outcome = c->judge(c->context, &response, &error, &kind);
    else if (err != ERR_OK)
        error_set(&error, err, "%s did not answer: %s", c->client->service, r->reason);
    if (outcome == ERR_OK) {
        retry_succeeded(&c->client->bucket, c->last);
        finish(c, ERR_OK, &response, &error);
        return;
    }
    if (c->streams) {
        finish(c, outcome, &response, &error);
        return;
    }
    enum retry_kind told = retry_classify(err, r->status, span_of(error.code));
    learn(c->client, &response, &error);
    if (!try_again(c, told != RETRY_NEVER ? told : kind, r->head))
        finish(c, outcome, &response, &error);
}

enum err aws_call_start(struct aws_client *client, const struct aws_request *request,
                        aws_judge *judge, aws_done *done, void *context, struct aws_call **ret) {
    struct aws_call *c = calloc(1, sizeof *c);
    if (c == NULL)
        return ERR_NO_MEMORY;
    c->client = client;
    c->judge = judge;
    c->done = done;
    c->context = context;
    c->wait.fire = start_try;
    c->started_us = clock_monotonic_us();
    buf_init(&c->copy, CALL_COPY_MAX_BYTES);
    enum err e = copy_request(c, request);
    if (e == ERR_OK)
        e = loop_timer_start(client->loop, &c->wait, 0);
    if (e != ERR_OK) {
        call_free(c);
        return e;
    }
    *ret = c;
    return ERR_OK;
}

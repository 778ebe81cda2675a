/* Drives the log shipper without the daemon, so that a test can choose sizes and times of lines.
 *
 *   ship_lines ENDPOINT GROUP QUEUE_BYTES RETENTION_DAYS SILENCE_MS
 *
 * Credentials are found as the daemon finds them. Standard input has commands:
 *
 *   put STREAM WALL_MS BYTES\n and that many bytes and \n    a line, whatever its bytes are
 *   counts\n                                                 prints the counts
 *   flush MS\n                                               ends: prints the last counts, exits 0
 *
 * Standard output has a JSON object a line: counts, and what the callbacks tell: {"outage":code},
 * {"recovery":lines dropped}, {"refused":lines}, {"no_retention":code}.
 * The end of the input is a flush that waits for nothing.
 */
#include "fileservice/base/buf.h"
#include "fileservice/base/clock.h"
#include "fileservice/base/json.h"
#include "fileservice/logs/cloudwatch.h"
#include "fileservice/net/transport.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "fileservice/base/banned.h"

#define LINE_MAX_BYTES 4194304 /* of one put; ours */
#define COMMAND_MAX_BYTES 128
#define OUTPUT_MAX_BYTES 4096
#define FLUSH_MAX_MS 600000
#define FLUSH_LATE_MS 10000 /* later than it was asked to be, a flush hangs */
#define POLL_NS 2000000
#define CONNECT_MS 2000
#define ARGUMENTS 6

struct driver {
    struct logs_cloudwatch *shipper;
    struct log_sink sink;
    struct credentials_source *credentials;
    char *line; /* LINE_MAX_BYTES */
};

/* Output: each object is one call of stdio, which locks, since the shipper's thread prints too. */

static void print_object(struct buf *b) {
    buf_append_text(b, "}\n");
    if (buf_error(b) != ERR_OK || fputs(buf_text(b), stdout) < 0 || fflush(stdout) != 0)
        (void)fputs("ship_lines: standard output cannot be written\n", stderr);
    buf_done(b);
}

static void append_number(struct buf *b, const char *name, uint64_t value) {
    json_append_name(b, name);
    buf_append_u64(b, value);
}

static void begin_object(struct buf *b) {
    buf_init(b, OUTPUT_MAX_BYTES);
    buf_append_byte(b, '{');
}

static void print_error(const char *name, const struct error *error) {
    const char *code = error->code[0] != '\0' ? error->code : err_name(error->err);
    struct buf b;
    begin_object(&b);
    json_append_member(&b, name, span_of(code));
    json_append_member(&b, "message", span_of(error->message));
    print_object(&b);
}

static void print_number(const char *name, uint64_t value) {
    struct buf b;
    begin_object(&b);
    append_number(&b, name, value);
    print_object(&b);
}

static void on_outage(const struct error *error) { print_error("outage", error); }
static void on_recovery(uint64_t dropped) { print_number("recovery", dropped); }
static void on_rejected(uint64_t lines) { print_number("refused", lines); }
static void on_no_retention(const struct error *error) { print_error("no_retention", error); }

static void print_counts(const struct driver *d) {
    struct logs_cloudwatch_counts counts = logs_cloudwatch_counts(d->shipper);
    struct buf b;
    begin_object(&b);
    append_number(&b, "produced", counts.produced);
    append_number(&b, "delivered", counts.delivered);
    append_number(&b, "dropped", counts.dropped);
    json_append_name(&b, "rejected");
    buf_append_byte(&b, '{');
    for (int i = 0; i < LOGS_REJECT_COUNT; i++)
        append_number(&b, logs_reject_name((enum logs_reject)i), counts.rejected[i]);
    buf_append_byte(&b, '}');
    append_number(&b, "queue_bytes", counts.queue_bytes);
    print_object(&b);
}

/* Commands */

static bool next_number(struct span *rest, uint64_t max, uint64_t *ret) {
    struct span word;
    return span_cut(rest, ' ', &word) && span_to_u64(word, ret) && *ret <= max;
}

static bool find_stream(struct span name, enum log_stream *ret) {
    for (int i = 0; i < LOG_STREAM_COUNT; i++) {
        *ret = (enum log_stream)i;
        if (span_eq(name, span_of(log_stream_name(*ret))))
            return true;
    }
    return false;
}

static bool put(struct driver *d, struct span rest) {
    struct log_line line = {.level = LOG_INFO};
    struct span stream;
    uint64_t wall_ms;
    uint64_t n;
    if (!span_cut(&rest, ' ', &stream) || !find_stream(stream, &line.stream) ||
        !next_number(&rest, INT64_MAX, &wall_ms) || !next_number(&rest, LINE_MAX_BYTES, &n) ||
        rest.n > 0)
        return false;
    if (fread(d->line, 1, n, stdin) != n || getchar() != '\n')
        return false;
    line.wall_ms = (int64_t)wall_ms;
    line.text = (struct span){d->line, n};
    d->sink.write(d->sink.context, &line);
    return true;
}

static bool flush(struct driver *d, uint64_t timeout_ms) {
    uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms + FLUSH_LATE_MS;
    logs_cloudwatch_flush(d->shipper, (unsigned)timeout_ms);
    while (!logs_cloudwatch_is_flushed(d->shipper)) {
        if (clock_monotonic_ms() > deadline_ms) {
            (void)fputs("ship_lines: the flush hangs\n", stderr);
            exit(EXIT_FAILURE); // NOLINT(concurrency-mt-unsafe): nothing can be freed any more
        }
        nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
    }
    print_counts(d);
    return true;
}

/* Carries out commands to the end of the input, or to a flush. False when one is not understood. */
static bool run_commands(struct driver *d) {
    char text[COMMAND_MAX_BYTES];
    while (fgets(text, sizeof text, stdin) != NULL) {
        struct span rest = span_of(text);
        struct span word;
        uint64_t timeout_ms;
        bool good = span_ends(rest, SPAN("\n"));
        rest = span_trim(rest);
        if (!good || !span_cut(&rest, ' ', &word))
            return false;
        if (span_eq(word, SPAN("put")))
            good = put(d, rest);
        else if (span_eq(word, SPAN("counts")) && rest.n == 0)
            print_counts(d);
        else if (span_eq(word, SPAN("flush")) && next_number(&rest, FLUSH_MAX_MS, &timeout_ms))
            return rest.n == 0 && flush(d, timeout_ms);
        else
            good = false;
        if (!good)
            return false;
    }
    return flush(d, 0);
}

/* Starting and ending */

static const char *get_variable(void *context, const char *name) {
    (void)context;
    return getenv(name); // NOLINT(concurrency-mt-unsafe): nobody sets variables
}

static enum err start_credentials(struct driver *d, const char *region, struct error *error) {
    struct credentials_options options = {
        .access_key_id = get_variable(NULL, "AWS_ACCESS_KEY_ID"),
        .secret_access_key = get_variable(NULL, "AWS_SECRET_ACCESS_KEY"),
        .session_token = get_variable(NULL, "AWS_SESSION_TOKEN"),
        .region = region,
        .get = get_variable,
    };
    return credentials_source_start(&options, &d->credentials, error);
}

static bool read_options(char **argv, struct logs_cloudwatch_options *ret) {
    uint64_t queue_bytes;
    uint64_t days;
    uint64_t silence_ms;
    if (url_parse_endpoint(span_of(argv[1]), &ret->endpoint) != ERR_OK ||
        !span_to_u64(span_of(argv[3]), &queue_bytes) || queue_bytes > SIZE_MAX ||
        !span_to_u64(span_of(argv[4]), &days) || days > UINT32_MAX ||
        !span_to_u64(span_of(argv[5]), &silence_ms) || silence_ms > UINT32_MAX)
        return false;
    ret->group = argv[2];
    ret->queue_bytes = queue_bytes;
    ret->retention_days = (unsigned)days;
    ret->silence_ms = (uint32_t)silence_ms;
    return true;
}

static enum err start(struct driver *d, struct logs_cloudwatch_options *options,
                      struct error *error) {
    enum err e = transport_global_init();
    if (e != ERR_OK)
        return error_set(error, e, "the HTTP client cannot be initialised");
    d->line = malloc(LINE_MAX_BYTES);
    if (d->line == NULL)
        return error_set(error, ERR_NO_MEMORY, "no memory for a line");
    const char *region = get_variable(NULL, "AWS_DEFAULT_REGION");
    options->region = region != NULL ? region : "us-east-1";
    options->connect_ms = CONNECT_MS;
    options->on_outage = on_outage;
    options->on_recovery = on_recovery;
    options->on_rejected = on_rejected;
    options->on_no_retention = on_no_retention;
    e = start_credentials(d, options->region, error);
    options->credentials = d->credentials;
    if (e == ERR_OK)
        e = logs_cloudwatch_start(options, &d->shipper, error);
    if (e == ERR_OK)
        d->sink = logs_cloudwatch_sink(d->shipper);
    return e;
}

int main(int argc, char **argv) {
    struct driver d = {0};
    struct logs_cloudwatch_options options = {0};
    struct error error;
    bool good = false;
    if (argc != ARGUMENTS || !read_options(argv, &options)) {
        (void)fputs("ship_lines ENDPOINT GROUP QUEUE_BYTES RETENTION_DAYS SILENCE_MS\n", stderr);
        return EXIT_FAILURE;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    if (start(&d, &options, &error) != ERR_OK) {
        (void)fprintf(stderr, "ship_lines does not start: %s\n", error.message);
    } else {
        good = run_commands(&d);
        if (!good) {
            (void)fputs("ship_lines: a command is not understood\n", stderr);
            (void)flush(&d, 0);
        }
        logs_cloudwatch_free(d.shipper);
    }
    credentials_source_stop(d.credentials);
    free(d.line);
    transport_global_done();
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

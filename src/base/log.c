#include "fileservice/base/log.h"

#include "fileservice/base/clock.h"
#include "fileservice/base/json.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fileservice/base/banned.h"

#define LOG_MESSAGE_MAX_BYTES 1024 /* of log_message; cut beyond */

static struct {
    enum log_level level; /* this and the next two: by main, before other threads log */
    enum log_format format;
    char instance[LOG_INSTANCE_MAX_BYTES];
    struct log_sink sinks[LOG_SINKS_MAX]; /* the first `sink_count` never change */
    atomic_size_t sink_count;             /* any thread */
    atomic_uint_least64_t number;         /* any thread; of the last line */
} front = {.level = LOG_INFO, .format = LOG_TEXT};

void log_configure(enum log_level level, enum log_format format, const char *instance) {
    size_t n = strnlen(instance, sizeof front.instance - 1);
    front.level = level;
    front.format = format;
    memcpy(front.instance, instance, n);
    front.instance[n] = '\0';
}

void log_add_sink(const struct log_sink *sink) {
    size_t n = atomic_load(&front.sink_count);
    if (n == LOG_SINKS_MAX)
        return;
    front.sinks[n] = *sink;
    atomic_store(&front.sink_count, n + 1);
}

void log_stop(void) { atomic_store(&front.sink_count, 0); }

bool log_enabled(enum log_level level) { return level >= front.level; }

const char *log_level_name(enum log_level level) {
    switch (level) {
    case LOG_DEBUG:
        return "debug";
    case LOG_INFO:
        return "info";
    case LOG_WARN:
        return "warn";
    case LOG_ERROR:
        break;
    }
    return "error";
}

const char *log_stream_name(enum log_stream stream) {
    return stream == LOG_STREAM_SERVICE ? "service" : "default";
}

static bool is_absent(const struct log_field *f) { return f->text.p != NULL && f->text.n == 0; }

static void append_number(struct buf *b, int64_t n) {
    if (n < 0)
        buf_append_byte(b, '-');
    buf_append_u64(b, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

static void append_name(struct buf *b, const char *name) {
    buf_append_byte(b, '"');
    buf_append_text(b, name);
    buf_append_text(b, "\":");
}

static void append_member(struct buf *b, const char *name, struct span text) {
    append_name(b, name);
    json_append_string(b, text);
}

static void format_json(struct buf *b, const char *time, const struct log_head *head,
                        const struct log_field *fields, size_t count) {
    buf_append_byte(b, '{');
    append_member(b, "time", span_of(time));
    buf_append_byte(b, ',');
    append_member(b, "level", span_of(log_level_name(head->level)));
    buf_append_byte(b, ',');
    append_member(b, "stream", span_of(log_stream_name(head->stream)));
    buf_append_byte(b, ',');
    append_member(b, "message", span_of(head->message));
    buf_append_byte(b, ',');
    if (head->instance[0] != '\0') {
        append_member(b, "instance", span_of(head->instance));
        buf_append_byte(b, ',');
    }
    append_name(b, "seq");
    buf_append_u64(b, head->number);
    for (size_t i = 0; i < count; i++) {
        if (is_absent(&fields[i]))
            continue;
        buf_append_byte(b, ',');
        append_name(b, fields[i].name);
        if (fields[i].text.p != NULL)
            json_append_string(b, fields[i].text);
        else
            append_number(b, fields[i].number);
    }
    buf_append_byte(b, '}');
}

static bool is_plain(struct span s) {
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7F || s.p[i] == '"' ||
            s.p[i] == '\\' || s.p[i] == '=')
            return false;
    return s.n > 0;
}

/* Without control bytes, and always UTF-8. */
static void append_plain(struct buf *b, struct span s) {
    bool utf8 = span_is_utf8(s);
    for (; s.n > 0; s = span_from(s, 1)) {
        unsigned char c = (unsigned char)s.p[0];
        buf_append_byte(b, c < ' ' || c == 0x7F || (c > 0x7F && !utf8) ? ' ' : s.p[0]);
    }
}

/* For people in front of a terminal: the day and the instance are known to who looks on. */
static void format_text(struct buf *b, const char *time, const struct log_head *head,
                        const struct log_field *fields, size_t count) {
    struct span clock = {time + strlen("2026-11-24T"), LOG_TEXT_TIME_BYTES};
    buf_append(b, clock);
    buf_append_format(b, " %-*s ", LOG_TEXT_LEVEL_BYTES, log_level_name(head->level));
    append_plain(b, span_of(head->message));
    for (size_t i = 0; i < count; i++) {
        if (is_absent(&fields[i]))
            continue;
        buf_append_format(b, " %s=", fields[i].name);
        if (fields[i].text.p == NULL)
            append_number(b, fields[i].number);
        else if (is_plain(fields[i].text))
            buf_append(b, fields[i].text);
        else
            json_append_string(b, fields[i].text);
    }
    buf_append_text(b, " seq=");
    buf_append_u64(b, head->number);
}

void log_format_line(struct buf *b, enum log_format format, const struct log_head *head,
                     const struct log_field *fields, size_t count) {
    char time[CLOCK_RFC3339_BYTES];
    clock_format_rfc3339_ms(head->wall_ms, time);
    if (format == LOG_JSON)
        format_json(b, time, head, fields, count);
    else
        format_text(b, time, head, fields, count);
}

/* Where there is no sink: before the start, after the end. */
static void write_to_stderr(struct buf *b) {
    buf_append_byte(b, '\n');
    if (b->n > 0)
        (void)!write(STDERR_FILENO, b->p, b->n);
}

void log_event(enum log_level level, enum log_stream stream, const char *message,
               const struct log_field *fields, size_t count) {
    if (!log_enabled(level))
        return;
    struct log_head head = {
        .wall_ms = clock_wall_ms(),
        .level = level,
        .stream = stream,
        .message = message,
        .instance = front.instance,
        .number = atomic_fetch_add_explicit(&front.number, 1, memory_order_relaxed) + 1,
    };
    struct buf b;
    buf_init(&b, LOG_LINE_MAX_BYTES);
    log_format_line(&b, front.format, &head, fields, count);
    if (buf_error(&b) != ERR_OK) {
        /* Too long, or no memory: the event itself must not be lost with its fields. */
        buf_clear(&b);
        log_format_line(&b, front.format, &head, NULL, 0);
    }
    struct log_line line = {head.wall_ms, level, stream, buf_span(&b)};
    size_t sinks = atomic_load(&front.sink_count);
    for (size_t i = 0; i < sinks; i++)
        front.sinks[i].write(front.sinks[i].context, &line);
    if (sinks == 0)
        write_to_stderr(&b);
    buf_done(&b);
}

void log_message(enum log_level level, const char *format, ...) {
    char text[LOG_MESSAGE_MAX_BYTES];
    va_list arguments;
    if (!log_enabled(level))
        return;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_event(level, LOG_STREAM_DEFAULT, text, NULL, 0);
}

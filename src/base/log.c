#include "fileservice/base/log.h"

#include "fileservice/base/clock.h"
#include "fileservice/base/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "fileservice/base/banned.h"

#define LOG_MESSAGE_MAX_BYTES 1024 /* of log_message; cut beyond */

/* Written by main while no other thread logs, read by all. */
static struct {
    enum log_level level;
    enum log_format format;
    struct log_sink sinks[LOG_SINKS_MAX];
    size_t sink_count;
} settings = {.level = LOG_INFO, .format = LOG_TEXT};

void log_start(enum log_level level, enum log_format format, const struct log_sink *sinks,
               size_t count) {
    settings.level = level;
    settings.format = format;
    settings.sink_count = count < LOG_SINKS_MAX ? count : LOG_SINKS_MAX;
    for (size_t i = 0; i < settings.sink_count; i++)
        settings.sinks[i] = sinks[i];
}

void log_stop(void) { settings.sink_count = 0; }

bool log_enabled(enum log_level level) { return level >= settings.level; }

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

static void format_json(struct buf *b, const char *time, enum log_level level,
                        enum log_stream stream, const char *message, const struct log_field *fields,
                        size_t count) {
    buf_append_byte(b, '{');
    append_member(b, "time", span_of(time));
    buf_append_byte(b, ',');
    append_member(b, "level", span_of(log_level_name(level)));
    buf_append_byte(b, ',');
    append_member(b, "stream", span_of(log_stream_name(stream)));
    buf_append_byte(b, ',');
    append_member(b, "message", span_of(message));
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

/* "12:00:00.000 info  message  name=value name="with blanks"": for people in front of a terminal. */
static void format_text(struct buf *b, const char *time, enum log_level level, const char *message,
                        const struct log_field *fields, size_t count) {
    struct span clock = span_from(span_of(time), 11); /* the day is known to who looks on */
    clock.n -= 1;
    buf_append(b, clock);
    buf_append_format(b, " %-5s ", log_level_name(level));
    for (struct span m = span_of(message); m.n > 0; m = span_from(m, 1))
        buf_append_byte(b, (unsigned char)m.p[0] < ' ' || m.p[0] == 0x7F ? ' ' : m.p[0]);
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
}

void log_format_line(struct buf *b, enum log_format format, int64_t wall_ms, enum log_level level,
                     enum log_stream stream, const char *message, const struct log_field *fields,
                     size_t count) {
    char time[CLOCK_RFC3339_BYTES];
    clock_format_rfc3339_ms(wall_ms, time);
    if (format == LOG_JSON)
        format_json(b, time, level, stream, message, fields, count);
    else
        format_text(b, time, level, message, fields, count);
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
    struct log_line line = {.wall_ms = clock_wall_ms(), .level = level, .stream = stream};
    struct buf b;
    buf_init(&b, LOG_LINE_MAX_BYTES);
    log_format_line(&b, settings.format, line.wall_ms, level, stream, message, fields, count);
    if (buf_error(&b) != ERR_OK) {
        /* Too long, or no memory: the event itself must not be lost with its fields. */
        buf_clear(&b);
        log_format_line(&b, settings.format, line.wall_ms, level, stream, message, NULL, 0);
    }
    line.text = buf_span(&b);
    for (size_t i = 0; i < settings.sink_count && line.text.n > 0; i++)
        settings.sinks[i].write(settings.sinks[i].context, &line);
    if (settings.sink_count == 0)
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

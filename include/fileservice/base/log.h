/* The log front end: one event becomes one line, handed to every sink.
 *
 * A line is formatted once, on the calling thread, and given to the sinks (console, CloudWatch), which
 * copy it and never block. While there is no sink, lines go to standard error. Every line carries the
 * instance (a name of this run of the program) and a number that counts up by one from 1 over both
 * streams: who reads the lines sees which are missing and which came twice. Secrets are the caller's
 * duty: never pass a key, a token, an Authorization value or a presigned query.
 * Any thread, unless a function says otherwise.
 */
#ifndef FILESERVICE_BASE_LOG_H
#define FILESERVICE_BASE_LOG_H

#include "fileservice/base/buf.h"

#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_JSON, LOG_TEXT };
enum log_stream {
    LOG_STREAM_DEFAULT, /* everything else */
    LOG_STREAM_SERVICE, /* what was done for a client */
};
#define LOG_STREAM_COUNT 2

#define LOG_LINE_MAX_BYTES 262144 /* 256 KiB, CloudWatch's classic limit of one event */
#define LOG_SINKS_MAX 2           /* console and CloudWatch */
#define LOG_INSTANCE_MAX_BYTES 32 /* with its NUL */

/* One field of a line, after time, level, stream and message. `text` wins when its p is not NULL. */
struct log_field {
    const char *name;
    struct span text;
    int64_t number;
};

/* What every line begins with. */
struct log_head {
    int64_t wall_ms;
    enum log_level level;
    enum log_stream stream;
    const char *message;
    const char *instance; /* "": left out */
    uint64_t number;      /* of the line, from 1 */
};

/* One line as sinks see it; borrowed for the call. */
struct log_line {
    int64_t wall_ms;
    enum log_level level;
    enum log_stream stream;
    struct span text; /* without a line end */
};

/* Takes a copy of the line or counts it as dropped; must not block and must not log. */
struct log_sink {
    void (*write)(void *context, const struct log_line *line);
    void *context;
};

/* Sets what is logged, and how. `instance` is copied. By main, before other threads log. */
void log_configure(enum log_level level, enum log_format format, const char *instance);
/* One more place that lines go to, from now on. By main; other threads may be logging. */
void log_add_sink(const struct log_sink *sink);
/* Back to standard error: afterwards no sink is called. By main, when no other thread logs any more. */
void log_stop(void);

bool log_enabled(enum log_level level);

void log_event(enum log_level level, enum log_stream stream, const char *message,
               const struct log_field *fields, size_t count);

/* An event of stream `default` without fields. */
void log_message(enum log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Appends the line of an event, without a line end. Pure.
 *
 *     json  {"time":…,"level":…,"stream":…,"message":…,"instance":…,"seq":…,<fields>}
 *     text  12:00:00.000 info  message name=value name="with blanks" seq=7: the time of day and the level
 *           stand in columns of LOG_TEXT_TIME_BYTES and LOG_TEXT_LEVEL_BYTES, a blank after each */
void log_format_line(struct buf *b, enum log_format format, const struct log_head *head,
                     const struct log_field *fields, size_t count);

#define LOG_TEXT_TIME_BYTES 12
#define LOG_TEXT_LEVEL_BYTES 5

const char *log_level_name(enum log_level level);
const char *log_stream_name(enum log_stream stream);

#endif

/* The log front end: one event becomes one line, handed to every sink.
 *
 * A line is formatted on the calling thread and given to the sinks (console, CloudWatch), which copy
 * it and never block. Before log_start() and after log_stop() lines go to standard error. Secrets
 * are the caller's duty: never pass a key, a token, an Authorization value or a presigned query.
 * Any thread.
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

/* One field of a line, after time, level, stream and message. `text` wins when its p is not NULL. */
struct log_field {
    const char *name;
    struct span text;
    int64_t number;
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

/* Sets what is logged and where to. Called by main, twice at most: with the console as soon as the
 * settings are read, and with both sinks once the shipper runs. Not while other threads log. */
void log_start(enum log_level level, enum log_format format, const struct log_sink *sinks,
               size_t count);
/* Back to standard error; afterwards no sink is called. */
void log_stop(void);

bool log_enabled(enum log_level level);

void log_event(enum log_level level, enum log_stream stream, const char *message,
               const struct log_field *fields, size_t count);

/* An event of stream `default` without fields. */
void log_message(enum log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Appends the line that log_event would write, without a line end. Pure; for tests and sinks. */
void log_format_line(struct buf *b, enum log_format format, int64_t wall_ms, enum log_level level,
                     enum log_stream stream, const char *message, const struct log_field *fields,
                     size_t count);

const char *log_level_name(enum log_level level);
const char *log_stream_name(enum log_stream stream);

#endif

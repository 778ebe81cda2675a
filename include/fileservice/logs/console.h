/* Standard output, written by a thread of its own, so that a slow reader never holds a request.
 *
 * Lines wait in a bounded buffer; what does not fit is dropped and counted, and told of when lines go
 * out again. A write that fails (nobody reads any more, the disk is full) costs what it was to write,
 * which is counted, too; a second later the next is tried.
 */
#ifndef FILESERVICE_LOGS_CONSOLE_H
#define FILESERVICE_LOGS_CONSOLE_H

#include "fileservice/base/log.h"

/* Waiting lines; a second such buffer is being written. A quarter of a second of the most lines that two
 * busy workers were seen to make; ours */
#define LOGS_CONSOLE_BUFFER_BYTES 8388608
#define LOGS_CONSOLE_RETRY_MS 1000

struct logs_console;

struct logs_console_options {
    int fd;       /* not closed by us */
    bool colours; /* a terminal that shows lines of LOG_TEXT */
    /* Told on the writer's thread that so many lines were dropped since it was told last, every 10 s at
     * most, and less often while more are dropped all the time. It may log. NULL: nobody. */
    void (*on_dropped)(uint64_t lines);
};

/* Starts the writer. NULL when no thread or memory is to be had. */
struct logs_console *logs_console_start(const struct logs_console_options *options);
struct log_sink logs_console_sink(struct logs_console *c);
uint64_t logs_console_dropped(struct logs_console *c); /* over the whole life; any thread */

/* Asks the writer to write what waits, in `timeout_ms` at most, and to end. Returns at once. */
void logs_console_flush(struct logs_console *c, unsigned timeout_ms);
/* Whether that is over. Lines that come later count as dropped, and so does what was not written. A
 * descriptor that cannot be written without blocking (a terminal of somebody else's) may keep the
 * writer for ever: give up on it after the time, and do not free it. */
bool logs_console_is_flushed(const struct logs_console *c);
/* After the flush has ended, when no thread uses the sink any more. NULL is fine. */
void logs_console_free(struct logs_console *c);

#endif

/* Standard output, written by a thread of its own, so that a slow reader never holds a request.
 *
 * Lines wait in a bounded buffer; what does not fit is dropped and counted, and told of as soon as
 * lines go out again. A reader that went away (EPIPE) ends writing, not the process: lines that come
 * later count as dropped.
 */
#ifndef FILESERVICE_LOGS_CONSOLE_H
#define FILESERVICE_LOGS_CONSOLE_H

#include "fileservice/base/log.h"

/* Waiting lines; a second such buffer is being written. A quarter of a second of the most lines that two
 * busy workers were seen to make; ours */
#define LOGS_CONSOLE_BUFFER_BYTES 8388608

struct logs_console;

struct logs_console_options {
    int fd;       /* not closed by us */
    bool colours; /* a terminal that shows lines of LOG_TEXT */
    /* Told on the writer's thread that so many lines were dropped since it was told last; NULL: nobody.
     * It may log. */
    void (*on_dropped)(uint64_t lines);
};

/* Starts the writer. NULL when no thread or memory is to be had. */
struct logs_console *logs_console_start(const struct logs_console_options *options);
struct log_sink logs_console_sink(struct logs_console *c);
uint64_t logs_console_dropped(struct logs_console *c); /* over the whole life; any thread */

/* Writes what waits, at most `timeout_ms`, and joins the thread. Lines that come later count as
 * dropped. Returns logs_console_dropped(). */
uint64_t logs_console_stop(struct logs_console *c, unsigned timeout_ms);
/* After the stop, when no thread uses the sink any more. NULL is fine. */
void logs_console_free(struct logs_console *c);

#endif

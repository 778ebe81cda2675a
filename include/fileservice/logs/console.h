/* Standard output, written by a thread of its own, so that a slow reader never holds a request.
 *
 * Lines wait in a bounded buffer; what does not fit is dropped and counted, and a line says so as
 * soon as there is room. A reader that went away (EPIPE) ends writing, not the process.
 */
#ifndef FILESERVICE_LOGS_CONSOLE_H
#define FILESERVICE_LOGS_CONSOLE_H

#include "fileservice/base/log.h"

#define LOGS_CONSOLE_BUFFER_BYTES 1048576 /* waiting lines; ours */

struct logs_console;

/* Starts the writer on `fd` (not closed by us). NULL when no thread or memory is to be had. */
struct logs_console *logs_console_start(int fd, enum log_format format);
struct log_sink logs_console_sink(struct logs_console *c);
/* Writes what waits, at most `timeout_ms`, joins the thread and frees. NULL is fine. Returns the
 * number of lines that were dropped over its life. */
uint64_t logs_console_stop(struct logs_console *c, unsigned timeout_ms);

#endif

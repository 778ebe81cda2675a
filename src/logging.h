/* Where the lines of this program go: standard output, and CloudWatch Logs when a group is set. Starts and
 * ends both, and says in lines of its own what became of others. By main.
 */
#ifndef FILESERVICE_SRC_LOGGING_H
#define FILESERVICE_SRC_LOGGING_H

#include "fileservice/config/config.h"
#include "fileservice/logs/cloudwatch.h"
#include "fileservice/logs/console.h"

/* Zeroed at first. */
struct logging {
    struct logs_console *console;
    struct logs_cloudwatch *cloudwatch; /* NULL: off */
};

/* From now on lines go to standard output. Before any other thread starts. */
enum err logging_start(struct logging *l, const struct config *config, struct error *error)
    __attribute__((warn_unused_result));
/* And to CloudWatch, if the settings say so; both are borrowed until logging_stop(). */
enum err logging_start_shipper(struct logging *l, const struct config *config,
                               struct credentials_source *credentials, struct error *error)
    __attribute__((warn_unused_result));

/* Asks the shipper to send what there is, in `timeout_ms` at most; returns at once. */
void logging_flush(struct logging *l, unsigned timeout_ms);
bool logging_is_flushed(const struct logging *l); /* whether that is over */

/* The same for what waits for standard output. That may never be over: logs/console.h. */
void logging_flush_stdout(struct logging *l, unsigned timeout_ms);
bool logging_is_stdout_flushed(const struct logging *l);

/* Says on standard error how many lines were dropped, and frees. After both flushes, when no other
 * thread logs any more. */
void logging_stop(struct logging *l);

#endif

/* The page of /metrics: what workers, budget, credentials, logs and the kernel say of this process.
 * docs/metrics.md lists the families.
 */
#ifndef FILESERVICE_SRC_TELEMETRY_H
#define FILESERVICE_SRC_TELEMETRY_H

#include "accept.h"

#include "fileservice/logs/cloudwatch.h"
#include "fileservice/logs/console.h"
#include "fileservice/s3/budget.h"
#include "fileservice/s3/s3_metrics.h"

/* Where the numbers come from. All borrowed until the last page was rendered. */
struct telemetry {
    int64_t started_wall_ms;
    struct worker *const *workers;
    struct s3_metrics *const *s3_metrics; /* one a worker */
    unsigned worker_count;
    const struct acceptor *acceptor;
    const atomic_uint *busy_uploads;
    const atomic_bool *draining;
    struct budget *budget;
    uint64_t budget_bytes;
    struct credentials_source *credentials;
    struct logs_cloudwatch *cloudwatch; /* NULL: off */
    struct logs_console *console;
};

/* Appends the page; `context` is a struct telemetry. Any thread but a worker. */
enum err telemetry_render(void *context, struct buf *page) __attribute__((warn_unused_result));

#endif

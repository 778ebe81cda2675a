/* What the kernel knows of this process, under the names that all Prometheus clients use. */
#ifndef FILESERVICE_SRC_PROCESS_H
#define FILESERVICE_SRC_PROCESS_H

#include "fileservice/base/metrics.h"

/* Appends the families process_*. What cannot be read (no /proc, no descriptor left) is left out. Blocks
 * on /proc: never on a worker. */
void process_write(int64_t started_wall_ms, struct buf *page);

#endif

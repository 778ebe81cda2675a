/* Small files, read whole: settings, tokens, credentials. Blocks: never on a worker. */
#ifndef FILESERVICE_BASE_FILE_H
#define FILESERVICE_BASE_FILE_H

#include "fileservice/base/buf.h"

/* Appends the content of a file. ERR_NOT_FOUND when there is none, ERR_SYSTEM when it cannot be read,
 * else buf_error(out). What was appended before a failure stays. */
enum err file_read(const char *path, struct buf *out) __attribute__((warn_unused_result));

#endif

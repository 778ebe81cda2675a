/* GET and HEAD of an object with ?delivery=stream: its bytes through the service. Private to the room.
 * owner: the download */
#ifndef FILESERVICE_SRC_HANDLERS_STREAM_H
#define FILESERVICE_SRC_HANDLERS_STREAM_H

#include "answers.h"

struct stream_job;

/* Asks S3 with the range and the conditions of the request; answers the exchange with what comes.
 * `attachment`: browsers save it under the last segment of the key. */
enum err stream_job_start(struct exchange *x, bool attachment, struct stream_job **ret)
    __attribute__((warn_unused_result));
/* The exchange takes bytes again. */
void stream_job_resume(struct stream_job *j);
void stream_job_free(struct stream_job *j); /* ends what is under way; NULL is fine */

/* Appends "attachment; filename=…" for a key: RFC 6266, with filename* where the name is not plain
 * ASCII. Pure. */
void stream_attachment(struct buf *out, struct span key);

#endif

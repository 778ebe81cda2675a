/* What both ways to upload share: one s3_upload, its limits and its answer. Private to the room. */
#ifndef FILESERVICE_SRC_HANDLERS_UPLOAD_JOB_H
#define FILESERVICE_SRC_HANDLERS_UPLOAD_JOB_H

#include "answers.h"

#include "fileservice/http/multipart.h"
#include "fileservice/s3/upload.h"

/* owner: the exchange */
struct upload_job {
    struct exchange *exchange;
    struct s3_upload *upload; /* NULL before its first byte is known and after its end */
    struct multipart *form;   /* NULL for a raw body */
    uint32_t expires_s;
    struct buf bucket;
    struct buf key;
    struct buf content_type;
    uint64_t received; /* bytes of the file */
    unsigned files;    /* parts named `file` seen so far */
    struct buf *field; /* the form field that takes bytes now; NULL: none or the file */
    bool in_file;
    bool full; /* the upload took less than it was offered */
};

/* Makes the job and sets it as the exchange's state; reads `expires`. NULL after a reply. */
struct upload_job *upload_job_new(struct exchange *x);
void upload_job_free(struct upload_job *j); /* abandons what is not finished */

/* Starts the s3_upload of j->bucket, j->key and j->content_type. */
enum err upload_job_start(struct upload_job *j, struct error *error)
    __attribute__((warn_unused_result));

/* Gives bytes to S3. ERR_TOO_LARGE over UPLOAD_MAX_BYTES. */
enum err upload_job_write(struct upload_job *j, struct span data, size_t *taken,
                          struct error *error) __attribute__((warn_unused_result));

#endif

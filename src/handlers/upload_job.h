/* What both ways to upload share: one s3_upload, its limits and its answer. Private to the room. */
#ifndef FILESERVICE_SRC_HANDLERS_UPLOAD_JOB_H
#define FILESERVICE_SRC_HANDLERS_UPLOAD_JOB_H

#include "answers.h"
#include "integrity.h"
#include "metadata.h"

#include "fileservice/http/multipart.h"
#include "fileservice/s3/upload.h"

#define UPLOAD_JOB_FIELD_MAX_BYTES                                                                 \
    4096 /* value of a form field that is metadata or a digest; ours */
#define UPLOAD_JOB_NAME_MAX_BYTES 2200 /* its name: x-amz-meta- and what S3 lets follow */

/* owner: the exchange */
struct upload_job {
    struct exchange *exchange;
    struct s3_upload *upload; /* NULL before its first byte is known and after its end */
    struct multipart *form;   /* NULL for a raw body */
    uint32_t expires_s;
    struct buf bucket;
    struct buf key;
    struct buf content_type;
    struct metadata metadata;
    struct integrity *body_integrity; /* of a form as a whole; NULL: none */
    struct integrity *file_integrity;
    uint64_t received;    /* bytes of the file */
    unsigned files;       /* parts named `file` seen so far */
    struct buf *field;    /* the form field that takes bytes now; NULL: none or the file */
    struct buf attribute; /* such a field: metadata or a digest of the file */
    struct buf attribute_name;
    bool in_file;
    bool full; /* the upload took less than it was offered */
};

/* Makes the job and sets it as the exchange's state; reads `expires`. NULL after a reply. */
struct upload_job *upload_job_new(struct exchange *x);
void upload_job_free(struct upload_job *j); /* abandons what is not finished */

/* Reads metadata and digests out of the request's headers: those of a PUT are about the file. Of a form
 * they are about the form, so digests cover it as a whole, and of metadata only x-amz-meta-*, which
 * HTTP itself has no use for, is the file's. */
enum err upload_job_read_headers(struct upload_job *j, struct error *error)
    __attribute__((warn_unused_result));
/* Takes j->attribute, the value of the form field j->attribute_name. */
enum err upload_job_take_attribute(struct upload_job *j, struct error *error)
    __attribute__((warn_unused_result));

/* Starts the s3_upload of j->bucket, j->key, j->content_type and what was said of it. */
enum err upload_job_start(struct upload_job *j, struct error *error)
    __attribute__((warn_unused_result));

/* All bytes came: S3 is told so if they are what was said of them. Else the upload is given up, before
 * its object can be seen, and the exchange fails. */
void upload_job_finish(struct upload_job *j);

/* Gives bytes to S3. ERR_TOO_LARGE over UPLOAD_MAX_BYTES. */
enum err upload_job_write(struct upload_job *j, struct span data, size_t *taken,
                          struct error *error) __attribute__((warn_unused_result));

#endif

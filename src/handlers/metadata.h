/* What is stored with an object besides its bytes: x-amz-meta-*, Cache-Control, Content-Disposition,
 * Content-Encoding, Content-Language. Pure. Private to the room.
 * Source: S3 user guide, "Working with object metadata".
 */
#ifndef FILESERVICE_SRC_HANDLERS_METADATA_H
#define FILESERVICE_SRC_HANDLERS_METADATA_H

#include "fileservice/s3/upload.h"

#define METADATA_USER_MAX_BYTES 2048   /* names without x-amz-meta-, and values; S3's own limit */
#define METADATA_USER_MAX 32           /* of x-amz-meta-*; ours */
#define METADATA_SYSTEM_MAX_BYTES 2048 /* names and values of the others; S3's own limit */

/* owner: the upload job. Zeroed or init; allocates with the first that is taken */
struct metadata {
    struct buf text; /* name NUL value NUL, for each; names in lower case */
    size_t count;
    size_t user_count;
    size_t user_bytes;
    size_t system_bytes;
};

void metadata_init(struct metadata *m);
void metadata_done(struct metadata *m);

/* Whether a header or form field is metadata, or is user metadata (x-amz-meta-*); without regard to
 * case. */
bool metadata_is_name(struct span name);
bool metadata_is_user_name(struct span name);

/* Takes one. ERR_BAD_INPUT with code MetadataTooLarge over a ceiling above; InvalidMetadata when the
 * value is not printable ASCII, the name is no name of a header, or it was there before; and what
 * metadata_check_framing() refuses. An empty value of another than x-amz-meta-* is as if it was not
 * there: browsers send the fields of a form that were left empty. */
enum err metadata_take(struct metadata *m, struct span name, struct span value, struct error *error)
    __attribute__((warn_unused_result));

/* The SDKs may frame a body as aws-chunked, with signatures and lengths inside it, which nobody would
 * take out again: ERR_BAD_INPUT with code InvalidRequest when a header says so. */
enum err metadata_check_framing(struct span name, struct span value, struct error *error)
    __attribute__((warn_unused_result));

/* All of it as headers for S3, borrowed from `m`; how many they are. */
size_t metadata_pairs(const struct metadata *m, struct sigv4_pair out[S3_UPLOAD_HEADERS_MAX]);

#endif

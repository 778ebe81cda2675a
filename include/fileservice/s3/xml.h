/* The few things that we read out of S3's XML, through expat: DTDs refused, depth and size capped.
 * Pure. */
#ifndef FILESERVICE_S3_XML_H
#define FILESERVICE_S3_XML_H

#include "fileservice/base/buf.h"

#define S3_XML_DEPTH_MAX 16
#define S3_XML_MAX_BYTES 1048576 /* a whole document; ours, and what the transport keeps */
#define S3_XML_FIELD_MAX_BYTES 1024

/* The answer of a call, as far as callers ask. Empty strings when absent. */
struct s3_xml {
    char root[64];                               /* name of the root element, no namespace */
    char code[ERROR_CODE_MAX_BYTES];             /* Error/Code */
    char message[ERROR_MESSAGE_MAX_BYTES];       /* Error/Message */
    char request_id[ERROR_REQUEST_ID_MAX_BYTES]; /* Error/RequestId */
    char region[64];                             /* Error/Region */
    char upload_id[S3_XML_FIELD_MAX_BYTES];      /* InitiateMultipartUploadResult/UploadId */
    char etag[256];                              /* CompleteMultipartUploadResult/ETag, verbatim */
    char checksum_crc32[64];                     /* CompleteMultipartUploadResult/ChecksumCRC32 */
    char checksum_crc64nvme[64];                 /* …/ChecksumCRC64NVME */
    char checksum_sha256[64];                    /* …/ChecksumSHA256 */
};

/* Reads a whole document; white space before it is allowed (CompleteMultipartUpload sends it while
 * it works). ERR_UPSTREAM when it is not well-formed, truncated, has a DTD, is too deep, or a field
 * that would be cut and matters (UploadId, ETag). `*ret` is untouched on failure. */
enum err s3_xml_parse(struct span document, struct s3_xml *ret) __attribute__((warn_unused_result));

/* Appends text with & < > " ' and CR, LF as entities. */
void s3_xml_escape(struct buf *b, struct span text);

#endif

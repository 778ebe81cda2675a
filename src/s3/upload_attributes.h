/* What an upload says of its object besides bucket, key and type: headers to be stored with it, and a
 * checksum that S3 is to check. Private to the room. owner: the upload */
#ifndef FILESERVICE_SRC_S3_UPLOAD_ATTRIBUTES_H
#define FILESERVICE_SRC_S3_UPLOAD_ATTRIBUTES_H

#include "fileservice/s3/upload.h"
#include "fileservice/s3/xml.h"

/* Headers that the functions below write at most, and those of the upload itself that come on top. */
#define UPLOAD_ATTRIBUTES_HEADERS_MAX (S3_UPLOAD_HEADERS_MAX + 2)

struct upload_attributes {
    struct buf text; /* what the spans point at; nothing is allocated where there are none */
    struct sigv4_pair *headers;
    size_t header_count;
    enum checksum_kind checksum_kind;
    struct span checksum; /* base64; empty: none */
};

/* Copies what the options say. */
enum err upload_attributes_init(struct upload_attributes *a, const struct s3_upload_options *o)
    __attribute__((warn_unused_result));
void upload_attributes_done(struct upload_attributes *a);

/* Whether each part has to carry its own checksum: S3 puts that of the whole together from them. */
bool upload_attributes_parts_have_crc(const struct upload_attributes *a);

/* The headers of each call; how many they are. They borrow from `a`. */
size_t upload_attributes_put(const struct upload_attributes *a,
                             struct sigv4_pair out[UPLOAD_ATTRIBUTES_HEADERS_MAX]);
size_t upload_attributes_create(const struct upload_attributes *a,
                                struct sigv4_pair out[UPLOAD_ATTRIBUTES_HEADERS_MAX]);
size_t upload_attributes_complete(const struct upload_attributes *a,
                                  struct sigv4_pair out[UPLOAD_ATTRIBUTES_HEADERS_MAX]);
/* `text` is where the part's checksum is written. */
size_t upload_attributes_part(const struct upload_attributes *a, uint64_t crc,
                              char text[CHECKSUM_TEXT_MAX_BYTES],
                              struct sigv4_pair out[UPLOAD_ATTRIBUTES_HEADERS_MAX]);
/* The checksum of one part, in the document of CompleteMultipartUpload. */
void upload_attributes_append_part(const struct upload_attributes *a, uint64_t crc, struct buf *b);

/* What S3 says of the whole object. A checksum of checksums ("…-2") is none of the object. */
void upload_attributes_read_head(struct span head, struct s3_object *object);
void upload_attributes_read_xml(const struct s3_xml *xml, struct s3_object *object);

#endif

/* Digests that a client sends with bytes, and whether the bytes that came have them: Content-MD5,
 * Content-Digest (RFC 9530) and S3's x-amz-checksum-crc32, -crc64nvme and -sha256. Pure. Private to the
 * room.
 *
 *     name            value
 *     Content-MD5     base64 of the MD5
 *     Content-Digest  a dictionary of structured fields (RFC 8941): sha-256=:base64:, sha-512=:base64:;
 *                     other algorithms are left to who knows them. No parameters: RFC 9530 has none
 *     x-amz-checksum-<kind>  base64; a CRC with its highest byte first
 */
#ifndef FILESERVICE_SRC_HANDLERS_INTEGRITY_H
#define FILESERVICE_SRC_HANDLERS_INTEGRITY_H

#include "fileservice/s3/checksum.h"

/* What was said of some bytes, and the checksums of those that came so far. NULL where nothing was
 * said: then nothing is computed. owner: whoever has the pointer */
struct integrity;

/* Whether a header or form field says a digest; names are without regard to case. Those of kinds that
 * are not checked here too, so that integrity_take() refuses what would be ignored otherwise. */
bool integrity_is_name(struct span name);

/* Takes what one header or field says, making `*i` when it is the first. ERR_BAD_INPUT with code
 * InvalidDigest when the value is malformed, or another value of the same kind was there before;
 * InvalidRequest for a kind that is not checked here. */
enum err integrity_take(struct integrity **i, struct span name, struct span value,
                        struct error *error) __attribute__((warn_unused_result));
void integrity_free(struct integrity *i); /* NULL is fine, here and below */

/* Bytes that came. */
enum err integrity_update(struct integrity *i, struct span data, struct error *error)
    __attribute__((warn_unused_result));
/* All bytes came; once. ERR_BAD_INPUT with code BadDigest when they are not what was said. */
enum err integrity_check(struct integrity *i, struct error *error)
    __attribute__((warn_unused_result));

/* The checksum that S3 is to check too: of those sent as x-amz-checksum-*, one that a multipart upload
 * can have before one that it cannot, since S3 takes only one. Sets `text` (base64), or gives false. */
bool integrity_for_s3(const struct integrity *i, enum checksum_kind *kind,
                      char text[CHECKSUM_TEXT_MAX_BYTES]);

#endif

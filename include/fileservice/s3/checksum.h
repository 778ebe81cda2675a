/* Checksums of bytes that come in pieces: those that a client may send with an upload, and those that
 * S3 takes in its x-amz-checksum-* headers. On the wire each is base64, a CRC with its highest byte
 * first. Pure; a set belongs to one thread.
 * Source: S3 user guide, "Checking object integrity"; RFC 9530; RFC 1864.
 */
#ifndef FILESERVICE_S3_CHECKSUM_H
#define FILESERVICE_S3_CHECKSUM_H

#include "fileservice/base/err.h"
#include "fileservice/base/span.h"

enum checksum_kind {
    CHECKSUM_MD5,
    CHECKSUM_SHA256,
    CHECKSUM_SHA512,
    CHECKSUM_CRC32,     /* of zlib, zip and Ethernet: polynomial 0x04C11DB7, reflected */
    CHECKSUM_CRC64NVME, /* of NVMe: polynomial 0xAD93D23594C93659, reflected */
};

#define CHECKSUM_KINDS 5
#define CHECKSUM_MAX_BYTES 64      /* a SHA-512 */
#define CHECKSUM_TEXT_MAX_BYTES 89 /* the same in base64, and a NUL */

#define CHECKSUM_BIT(kind) (1u << (kind)) /* a set of kinds is an unsigned of these */

size_t checksum_bytes(enum checksum_kind kind);

/* The name in S3's API ("CRC64NVME"): of ChecksumAlgorithm, of the XML elements Checksum<name>, and
 * as a person reads it. Static storage. */
const char *checksum_name(enum checksum_kind kind);
/* The header that carries it to and from S3 ("x-amz-checksum-crc32"); empty for MD5 and SHA-512,
 * which not every S3 takes. */
struct span checksum_header(enum checksum_kind kind);
/* Whether S3 can check it over a whole multipart upload (FULL_OBJECT): the CRCs, which it puts
 * together from those of the parts. */
bool checksum_is_crc(enum checksum_kind kind);

/* Base64 to bytes: of exactly that kind's length, padded, no blanks, no bits left over; else false
 * and `value` is untouched. */
bool checksum_decode(enum checksum_kind kind, struct span text,
                     unsigned char value[CHECKSUM_MAX_BYTES]);

/* Bytes to base64, with a NUL. */
void checksum_encode(enum checksum_kind kind, const unsigned char *value,
                     char text[CHECKSUM_TEXT_MAX_BYTES]);

/* A CRC by itself: of what came before (0 for nothing) and `data`. Only of the kinds that are CRCs.
 * Measured: 2.3 GB/s for either, in pieces of 64 KiB, on one core of an AMD EPYC. */
uint64_t checksum_crc(enum checksum_kind kind, uint64_t crc, struct span data);
/* A CRC as it goes on the wire, with a NUL. */
void checksum_crc_encode(enum checksum_kind kind, uint64_t crc, char text[CHECKSUM_TEXT_MAX_BYTES]);

struct checksum_set;

/* Several kinds over the same bytes. NULL when there is no memory, or OpenSSL refuses one of them
 * (MD5 in FIPS mode). */
struct checksum_set *checksum_set_new(unsigned kinds);
void checksum_set_free(struct checksum_set *s); /* NULL is fine */
enum err checksum_set_update(struct checksum_set *s, struct span data)
    __attribute__((warn_unused_result));
/* The value of all bytes so far; once for each kind of the set, and no bytes follow. ERR_INTERNAL
 * when OpenSSL fails. */
enum err checksum_set_end(struct checksum_set *s, enum checksum_kind kind,
                          unsigned char value[CHECKSUM_MAX_BYTES])
    __attribute__((warn_unused_result));

#endif

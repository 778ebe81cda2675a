#include "fileservice/s3/checksum.h"

#include <assert.h>
#include <endian.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

#define CRC_SLICES 8 /* bytes that one step takes */

struct description {
    const char *name;
    size_t bytes;
    struct span header;
    uint64_t polynomial; /* of a CRC, reflected; 0: a digest of OpenSSL's */
};

static const struct description descriptions[CHECKSUM_KINDS] = {
    [CHECKSUM_MD5] = {"MD5", 16, {NULL, 0}, 0},
    [CHECKSUM_SHA256] = {"SHA256", 32, {"x-amz-checksum-sha256", 21}, 0},
    [CHECKSUM_SHA512] = {"SHA512", 64, {NULL, 0}, 0},
    [CHECKSUM_CRC32] = {"CRC32", 4, {"x-amz-checksum-crc32", 20}, 0xEDB88320},
    [CHECKSUM_CRC64NVME] = {"CRC64NVME", 8, {"x-amz-checksum-crc64nvme", 24}, 0x9A6C9329AC4BC9B5},
};

size_t checksum_bytes(enum checksum_kind kind) { return descriptions[kind].bytes; }
const char *checksum_name(enum checksum_kind kind) { return descriptions[kind].name; }
struct span checksum_header(enum checksum_kind kind) {
    return descriptions[kind].header;
}
bool checksum_is_crc(enum checksum_kind kind) { return descriptions[kind].polynomial != 0; }

/* Base64 */

static int sextet(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

bool checksum_decode(enum checksum_kind kind, struct span text,
                     unsigned char value[CHECKSUM_MAX_BYTES]) {
    const size_t want = checksum_bytes(kind);
    const size_t digits = (want * 8 + 5) / 6;
    unsigned char decoded[CHECKSUM_MAX_BYTES];
    uint32_t bits = 0;
    unsigned bit_count = 0;
    size_t n = 0;
    if (text.n != (want + 2) / 3 * 4)
        return false;
    for (size_t i = 0; i < digits; i++) {
        int six = sextet(text.p[i]);
        if (six < 0)
            return false;
        bits = bits << 6 | (uint32_t)six;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            decoded[n++] = (unsigned char)(bits >> bit_count);
        }
    }
    for (size_t i = digits; i < text.n; i++)
        if (text.p[i] != '=')
            return false;
    if ((bits & ((1u << bit_count) - 1)) != 0) /* two texts of one value are one too many */
        return false;
    memcpy(value, decoded, want);
    return true;
}

void checksum_encode(enum checksum_kind kind, const unsigned char *value,
                     char text[CHECKSUM_TEXT_MAX_BYTES]) {
    int n = EVP_EncodeBlock((unsigned char *)text, value, (int)checksum_bytes(kind));
    text[n] = '\0';
}

/* CRCs: "slicing by 8". Table k is the CRC of a byte that k zero bytes follow, so that eight bytes
 * are eight independent look-ups. Both kinds share the code: a CRC32 is one whose upper half is 0. */

struct crc_tables {
    uint64_t t[CRC_SLICES][256];
};

static struct crc_tables tables[2];

static struct crc_tables *tables_of(enum checksum_kind kind) {
    return &tables[kind == CHECKSUM_CRC32 ? 0 : 1];
}

static void fill_tables(enum checksum_kind kind) {
    struct crc_tables *of = tables_of(kind);
    for (unsigned byte = 0; byte < 256; byte++) {
        uint64_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc & 1) != 0 ? crc >> 1 ^ descriptions[kind].polynomial : crc >> 1;
        of->t[0][byte] = crc;
    }
    for (unsigned k = 1; k < CRC_SLICES; k++)
        for (unsigned byte = 0; byte < 256; byte++)
            of->t[k][byte] = of->t[k - 1][byte] >> 8 ^ of->t[0][of->t[k - 1][byte] & 255];
}

static void fill_all_tables(void) {
    fill_tables(CHECKSUM_CRC32);
    fill_tables(CHECKSUM_CRC64NVME);
}

static uint64_t ones_of(enum checksum_kind kind) {
    return kind == CHECKSUM_CRC32 ? UINT32_MAX : UINT64_MAX;
}

uint64_t checksum_crc(enum checksum_kind kind, uint64_t crc, struct span data) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    assert(checksum_is_crc(kind));
    pthread_once(&once, fill_all_tables);
    const uint64_t(*t)[256] = (const uint64_t(*)[256])tables_of(kind)->t;
    const char *p = data.p;
    size_t n = data.n;
    crc ^= ones_of(kind);
    for (; n >= CRC_SLICES; p += CRC_SLICES, n -= CRC_SLICES) {
        uint64_t x;
        memcpy(&x, p, sizeof x);
        x = le64toh(x) ^ crc;
        crc = t[7][x & 255] ^ t[6][x >> 8 & 255] ^ t[5][x >> 16 & 255] ^ t[4][x >> 24 & 255] ^
              t[3][x >> 32 & 255] ^ t[2][x >> 40 & 255] ^ t[1][x >> 48 & 255] ^ t[0][x >> 56];
    }
    for (; n > 0; p++, n--)
        crc = crc >> 8 ^ t[0][(crc ^ (unsigned char)*p) & 255];
    return crc ^ ones_of(kind);
}

static void crc_bytes(enum checksum_kind kind, uint64_t crc, unsigned char *value) {
    for (size_t i = checksum_bytes(kind); i > 0; i--, crc >>= 8)
        value[i - 1] = (unsigned char)crc;
}

void checksum_crc_encode(enum checksum_kind kind, uint64_t crc,
                         char text[CHECKSUM_TEXT_MAX_BYTES]) {
    unsigned char value[CHECKSUM_MAX_BYTES];
    crc_bytes(kind, crc, value);
    checksum_encode(kind, value, text);
}

/* Sets */

struct checksum_set {
    unsigned kinds;
    uint64_t crcs[CHECKSUM_KINDS];
    EVP_MD_CTX *digests[CHECKSUM_KINDS]; /* NULL where it is a CRC or none of the set */
};

static bool has(const struct checksum_set *s, enum checksum_kind kind) {
    return (s->kinds & CHECKSUM_BIT(kind)) != 0;
}

static const EVP_MD *digest_of(enum checksum_kind kind) {
    switch (kind) {
    case CHECKSUM_MD5:
        return EVP_md5();
    case CHECKSUM_SHA256:
        return EVP_sha256();
    case CHECKSUM_SHA512:
        return EVP_sha512();
    case CHECKSUM_CRC32:
    case CHECKSUM_CRC64NVME:
        break;
    }
    return NULL;
}

struct checksum_set *checksum_set_new(unsigned kinds) {
    struct checksum_set *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->kinds = kinds;
    for (unsigned kind = 0; kind < CHECKSUM_KINDS; kind++) {
        if (!has(s, kind) || checksum_is_crc(kind))
            continue;
        s->digests[kind] = EVP_MD_CTX_new();
        if (s->digests[kind] == NULL ||
            EVP_DigestInit_ex(s->digests[kind], digest_of(kind), NULL) != 1) {
            checksum_set_free(s);
            return NULL;
        }
    }
    return s;
}

void checksum_set_free(struct checksum_set *s) {
    if (s == NULL)
        return;
    for (unsigned kind = 0; kind < CHECKSUM_KINDS; kind++)
        EVP_MD_CTX_free(s->digests[kind]);
    free(s);
}

enum err checksum_set_update(struct checksum_set *s, struct span data) {
    for (unsigned kind = 0; kind < CHECKSUM_KINDS; kind++) {
        if (!has(s, kind))
            continue;
        if (checksum_is_crc(kind))
            s->crcs[kind] = checksum_crc(kind, s->crcs[kind], data);
        else if (EVP_DigestUpdate(s->digests[kind], data.p, data.n) != 1)
            return ERR_INTERNAL;
    }
    return ERR_OK;
}

enum err checksum_set_end(struct checksum_set *s, enum checksum_kind kind,
                          unsigned char value[CHECKSUM_MAX_BYTES]) {
    assert(has(s, kind));
    if (checksum_is_crc(kind)) {
        crc_bytes(kind, s->crcs[kind], value);
        return ERR_OK;
    }
    return EVP_DigestFinal_ex(s->digests[kind], value, NULL) == 1 ? ERR_OK : ERR_INTERNAL;
}

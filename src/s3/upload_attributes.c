#include "upload_attributes.h"

#include <stdlib.h>
#include <string.h>

#include "fileservice/base/banned.h"

static struct span next(const char **at, size_t n) {
    struct span s = {*at, n};
    *at += n;
    return s;
}

enum err upload_attributes_init(struct upload_attributes *a, const struct s3_upload_options *o) {
    buf_init(&a->text, S3_UPLOAD_HEADERS_MAX_BYTES + CHECKSUM_TEXT_MAX_BYTES);
    if (o->header_count > S3_UPLOAD_HEADERS_MAX)
        return ERR_LIMIT;
    for (size_t i = 0; i < o->header_count; i++) {
        buf_append(&a->text, o->headers[i].name);
        buf_append(&a->text, o->headers[i].value);
    }
    buf_append(&a->text, o->checksum);
    if (o->header_count > 0)
        a->headers = calloc(o->header_count, sizeof *a->headers);
    if (o->header_count > 0 && a->headers == NULL)
        return ERR_NO_MEMORY;
    if (buf_error(&a->text) != ERR_OK)
        return buf_error(&a->text);
    const char *at = a->text.p;
    for (size_t i = 0; i < o->header_count; i++) {
        a->headers[i].name = next(&at, o->headers[i].name.n);
        a->headers[i].value = next(&at, o->headers[i].value.n);
    }
    a->header_count = o->header_count;
    a->checksum = (struct span){at, o->checksum.n};
    a->checksum_kind = o->checksum_kind;
    return ERR_OK;
}

void upload_attributes_done(struct upload_attributes *a) {
    buf_done(&a->text);
    free(a->headers);
}

bool upload_attributes_parts_have_crc(const struct upload_attributes *a) {
    return a->checksum.n > 0 && checksum_is_crc(a->checksum_kind);
}

/* Headers */

static size_t add_stored(const struct upload_attributes *a, struct sigv4_pair *out) {
    if (a->header_count > 0)
        memcpy(out, a->headers, a->header_count * sizeof *out);
    return a->header_count;
}

static struct sigv4_pair full_object(void) {
    return (struct sigv4_pair){SPAN("x-amz-checksum-type"), SPAN("FULL_OBJECT")};
}

size_t upload_attributes_put(const struct upload_attributes *a,
                             struct sigv4_pair out[UPLOAD_ATTRIBUTES_HEADERS_MAX]) {
    size_t n = add_stored(a, out);
    if (a->checksum.n > 0)
        out[n++] = (struct sigv4_pair){checksum_header(a->checksum_kind), a->checksum};
    return n;
}

size_t upload_attributes_create(const struct upload_attributes *a,
                                struct sigv4_pair out[UPLOAD_ATTRIBUTES_HEADERS_MAX]) {
    size_t n = add_stored(a, out);
    if (upload_attributes_parts_have_crc(a)) {
        out[n++] = (struct sigv4_pair){SPAN("x-amz-checksum-algorithm"),
                                       span_of(checksum_name(a->checksum_kind))};
        out[n++] = full_object();
    }
    return n;
}

size_t upload_attributes_complete(const struct upload_attributes *a,
                                  struct sigv4_pair out[UPLOAD_ATTRIBUTES_HEADERS_MAX]) {
    size_t n = 0;
    if (upload_attributes_parts_have_crc(a)) {
        out[n++] = (struct sigv4_pair){checksum_header(a->checksum_kind), a->checksum};
        out[n++] = full_object();
    }
    return n;
}

size_t upload_attributes_part(const struct upload_attributes *a, uint64_t crc,
                              char text[CHECKSUM_TEXT_MAX_BYTES],
                              struct sigv4_pair out[UPLOAD_ATTRIBUTES_HEADERS_MAX]) {
    if (!upload_attributes_parts_have_crc(a))
        return 0;
    checksum_crc_encode(a->checksum_kind, crc, text);
    out[0] = (struct sigv4_pair){checksum_header(a->checksum_kind), span_of(text)};
    return 1;
}

/* S3 itself knows the parts' checksums; versitygw refuses a Complete that does not repeat them. */
void upload_attributes_append_part(const struct upload_attributes *a, uint64_t crc, struct buf *b) {
    char text[CHECKSUM_TEXT_MAX_BYTES];
    const char *name = checksum_name(a->checksum_kind);
    if (!upload_attributes_parts_have_crc(a))
        return;
    checksum_crc_encode(a->checksum_kind, crc, text);
    buf_append_format(b, "<Checksum%s>%s</Checksum%s>", name, text, name);
}

/* Answers */

static void take(enum checksum_kind kind, struct span text, char out[S3_CHECKSUM_MAX_BYTES]) {
    unsigned char value[CHECKSUM_MAX_BYTES];
    if (text.n >= S3_CHECKSUM_MAX_BYTES || !checksum_decode(kind, text, value))
        return;
    memcpy(out, text.p, text.n);
    out[text.n] = '\0';
}

void upload_attributes_read_head(struct span head, struct s3_object *object) {
    take(CHECKSUM_CRC32, transport_header(head, "x-amz-checksum-crc32"), object->checksum_crc32);
    take(CHECKSUM_CRC64NVME, transport_header(head, "x-amz-checksum-crc64nvme"),
         object->checksum_crc64nvme);
    take(CHECKSUM_SHA256, transport_header(head, "x-amz-checksum-sha256"), object->checksum_sha256);
}

void upload_attributes_read_xml(const struct s3_xml *xml, struct s3_object *object) {
    take(CHECKSUM_CRC32, span_of(xml->checksum_crc32), object->checksum_crc32);
    take(CHECKSUM_CRC64NVME, span_of(xml->checksum_crc64nvme), object->checksum_crc64nvme);
    take(CHECKSUM_SHA256, span_of(xml->checksum_sha256), object->checksum_sha256);
}

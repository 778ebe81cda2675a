#include "fileservice/s3/xml.h"

#include "xml_walk.h"

#include <string.h>

#include "fileservice/base/banned.h"

/* One field that is read: where it stands and where its text goes. */
struct field {
    const char *root;
    const char *name; /* child of the root */
    size_t offset;    /* in struct s3_xml */
    size_t max;
    bool whole; /* a value that would be cut is an error */
};

#define FIELD(root, name, member, whole)                                                           \
    { root, name, offsetof(struct s3_xml, member), sizeof(((struct s3_xml *)0)->member), whole }

static const struct field fields[] = {
    FIELD("Error", "Code", code, false),
    FIELD("Error", "Message", message, false),
    FIELD("Error", "RequestId", request_id, false),
    FIELD("Error", "Region", region, false),
    FIELD("InitiateMultipartUploadResult", "UploadId", upload_id, true),
    FIELD("CompleteMultipartUploadResult", "ETag", etag, true),
    FIELD("CompleteMultipartUploadResult", "ChecksumCRC32", checksum_crc32, false),
    FIELD("CompleteMultipartUploadResult", "ChecksumCRC64NVME", checksum_crc64nvme, false),
    FIELD("CompleteMultipartUploadResult", "ChecksumSHA256", checksum_sha256, false),
};

struct reading {
    struct s3_xml xml;
    const struct field *field; /* whose text comes, or NULL */
    size_t length;             /* of that text so far */
};

static const struct field *find_field(const char *root, const char *name) {
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strcmp(fields[i].root, root) == 0 && strcmp(fields[i].name, name) == 0)
            return &fields[i];
    return NULL;
}

static enum err on_open(void *context, unsigned depth, const char *name) {
    struct reading *r = context;
    r->field = NULL;
    if (depth == 1) {
        size_t n = strnlen(name, sizeof r->xml.root - 1);
        memcpy(r->xml.root, name, n);
        r->xml.root[n] = '\0';
    } else if (depth == 2) {
        r->field = find_field(r->xml.root, name);
        r->length = 0;
        if (r->field != NULL)
            memset((char *)&r->xml + r->field->offset, 0, r->field->max);
    }
    return ERR_OK;
}

static enum err on_close(void *context, unsigned depth, const char *name) {
    struct reading *r = context;
    (void)depth;
    (void)name;
    r->field = NULL;
    return ERR_OK;
}

static enum err on_text(void *context, struct span text) {
    struct reading *r = context;
    if (r->field == NULL)
        return ERR_OK;
    size_t room = r->field->max - 1 - r->length;
    if (text.n > room && r->field->whole)
        return ERR_UPSTREAM;
    size_t n = text.n < room ? text.n : room;
    memcpy((char *)&r->xml + r->field->offset + r->length, text.p, n);
    r->length += n;
    return ERR_OK;
}

enum err s3_xml_parse(struct span document, struct s3_xml *ret) {
    struct reading r;
    struct xml_walker walker = {on_open, on_text, on_close, &r};
    memset(&r, 0, sizeof r);
    enum err e = xml_walk(document, S3_XML_MAX_BYTES, &walker);
    if (e == ERR_OK)
        *ret = r.xml;
    return e;
}

static const char *entity(char c) {
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&apos;";
    case '\r':
        return "&#13;";
    case '\n':
        return "&#10;";
    default:
        return NULL;
    }
}

void s3_xml_escape(struct buf *b, struct span text) {
    for (size_t i = 0; i < text.n; i++) {
        const char *as = entity(text.p[i]);
        if (as != NULL)
            buf_append_text(b, as);
        else
            buf_append_byte(b, text.p[i]);
    }
}

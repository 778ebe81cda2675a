#include "fileservice/s3/xml.h"

#include <expat.h>
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
};

struct reading {
    XML_Parser parser;
    struct s3_xml *xml;
    unsigned depth;
    const struct field *field; /* whose text comes, or NULL */
    size_t length;             /* of that text so far */
    bool failed;
};

static void fail(struct reading *r) {
    r->failed = true;
    XML_StopParser(r->parser, XML_FALSE);
}

/* With or without a namespace prefix. */
static const char *local_name(const char *name) {
    const char *colon = strrchr(name, ':');
    return colon == NULL ? name : colon + 1;
}

static const struct field *find_field(const char *root, const char *name) {
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strcmp(fields[i].root, root) == 0 && strcmp(fields[i].name, name) == 0)
            return &fields[i];
    return NULL;
}

static void on_start(void *context, const XML_Char *name, const XML_Char **attributes) {
    struct reading *r = context;
    (void)attributes;
    name = local_name(name);
    r->field = NULL;
    if (++r->depth > S3_XML_DEPTH_MAX) {
        fail(r);
        return;
    }
    if (r->depth == 1) {
        size_t n = strnlen(name, sizeof r->xml->root - 1);
        memcpy(r->xml->root, name, n);
        r->xml->root[n] = '\0';
    } else if (r->depth == 2) {
        r->field = find_field(r->xml->root, name);
        r->length = 0;
        if (r->field != NULL)
            memset((char *)r->xml + r->field->offset, 0, r->field->max);
    }
}

static void on_end(void *context, const XML_Char *name) {
    struct reading *r = context;
    (void)name;
    r->depth--;
    r->field = NULL;
}

static void on_text(void *context, const XML_Char *text, int length) {
    struct reading *r = context;
    if (r->field == NULL)
        return;
    size_t n = (size_t)length;
    size_t room = r->field->max - 1 - r->length;
    if (n > room) {
        if (r->field->whole) {
            fail(r);
            return;
        }
        n = room;
    }
    memcpy((char *)r->xml + r->field->offset + r->length, text, n);
    r->length += n;
}

static void on_doctype(void *context, const XML_Char *name, const XML_Char *system_id,
                       const XML_Char *public_id, int has_internal_subset) {
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)has_internal_subset;
    fail(context);
}

enum err s3_xml_parse(struct span document, struct s3_xml *ret) {
    struct s3_xml xml;
    struct reading r = {.xml = &xml};
    memset(&xml, 0, sizeof xml);
    /* The white space of a Complete comes before the XML declaration, where XML allows none. */
    document = span_trim(document);
    if (document.n == 0 || document.n > S3_XML_MAX_BYTES)
        return ERR_UPSTREAM;
    r.parser = XML_ParserCreate(NULL);
    if (r.parser == NULL)
        return ERR_NO_MEMORY;
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_start, on_end);
    XML_SetCharacterDataHandler(r.parser, on_text);
    XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
    enum XML_Status status = XML_Parse(r.parser, document.p, (int)document.n, XML_TRUE);
    bool no_memory = XML_GetErrorCode(r.parser) == XML_ERROR_NO_MEMORY;
    XML_ParserFree(r.parser);
    if (status == XML_STATUS_OK && !r.failed) {
        *ret = xml;
        return ERR_OK;
    }
    return no_memory ? ERR_NO_MEMORY : ERR_UPSTREAM;
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

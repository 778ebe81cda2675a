/* What a sweep reads of S3's answers: two lists, with what stands deeper than rows of fields do. */
#include "fileservice/s3/sweep.h"

#include "fileservice/s3/xml.h"
#include "xml_walk.h"

#include <string.h>

#include "fileservice/base/banned.h"

#define SWEEP_TEXT_MAX_BYTES 8192 /* of one element: a key, each byte as %XX */
#define SWEEP_NAME_MAX_BYTES 32
#define SWEEP_DEPTH 4
#define SWEEP_UPLOADS_MAX 1000 /* of one page; S3 API reference, ListMultipartUploads */
#define SWEEP_UPLOADS_MAX_BYTES 8388608
#define SWEEP_MARKER_MAX_BYTES 4096

struct reading {
    char names[SWEEP_DEPTH + 1][SWEEP_NAME_MAX_BYTES]; /* of the elements around, by depth */
    struct buf text;
    enum err (*on_element)(struct reading *r, unsigned depth, struct span text);
    void *result;

    struct buf row[4]; /* key, id, initiator, time */
    bool truncated;
};

enum { ROW_KEY, ROW_ID, ROW_INITIATOR, ROW_TIME, ROW_FIELDS };

static bool is_at(const struct reading *r, unsigned depth, const char *name) {
    return strcmp(r->names[depth], name) == 0;
}

static enum err on_open(void *context, unsigned depth, const char *name) {
    struct reading *r = context;
    buf_clear(&r->text);
    if (depth > SWEEP_DEPTH)
        return ERR_OK;
    size_t n = strnlen(name, SWEEP_NAME_MAX_BYTES - 1);
    memcpy(r->names[depth], name, n);
    r->names[depth][n] = '\0';
    for (size_t i = 0; depth == 2 && i < ROW_FIELDS; i++)
        buf_clear(&r->row[i]);
    return ERR_OK;
}

static enum err on_text(void *context, struct span text) {
    struct reading *r = context;
    buf_append(&r->text, text);
    return buf_error(&r->text);
}

static enum err on_close(void *context, unsigned depth, const char *name) {
    struct reading *r = context;
    (void)name;
    enum err e = depth <= SWEEP_DEPTH ? r->on_element(r, depth, buf_span(&r->text)) : ERR_OK;
    buf_clear(&r->text);
    return e;
}

static enum err read_document(struct span document, const char *root, void *result,
                              enum err (*on_element)(struct reading *, unsigned, struct span)) {
    struct reading r = {.on_element = on_element, .result = result};
    struct xml_walker walker = {on_open, on_text, on_close, &r};
    buf_init(&r.text, SWEEP_TEXT_MAX_BYTES);
    for (size_t i = 0; i < ROW_FIELDS; i++)
        buf_init(&r.row[i], SWEEP_TEXT_MAX_BYTES);
    enum err e = xml_walk(document, (size_t)S3_XML_MAX_BYTES * 8, &walker);
    if (e == ERR_OK && !is_at(&r, 1, root))
        e = ERR_UPSTREAM;
    buf_done(&r.text);
    for (size_t i = 0; i < ROW_FIELDS; i++)
        buf_done(&r.row[i]);
    return e;
}

/* ListAllMyBucketsResult/Buckets/Bucket/Name */
static enum err on_bucket_element(struct reading *r, unsigned depth, struct span text) {
    struct texts *names = r->result;
    if (depth == 4 && is_at(r, 3, "Bucket") && is_at(r, 4, "Name"))
        texts_append(names, text);
    return texts_error(names);
}

enum err s3_sweep_read_buckets(struct span document, struct texts *names) {
    return read_document(document, "ListAllMyBucketsResult", names, on_bucket_element);
}

static void keep(struct reading *r, size_t field, struct span text) {
    buf_clear(&r->row[field]);
    buf_append(&r->row[field], text);
}

/* ListMultipartUploadsResult/Upload/… */
static void on_upload_field(struct reading *r, unsigned depth, struct span text) {
    if (depth == 4 && is_at(r, 3, "Initiator") && is_at(r, 4, "ID"))
        keep(r, ROW_INITIATOR, text);
    else if (depth == 3 && is_at(r, 3, "Key"))
        keep(r, ROW_KEY, text);
    else if (depth == 3 && is_at(r, 3, "UploadId"))
        keep(r, ROW_ID, text);
    else if (depth == 3 && is_at(r, 3, "Initiated"))
        keep(r, ROW_TIME, text);
}

static enum err on_upload_element(struct reading *r, unsigned depth, struct span text) {
    struct s3_sweep_page *page = r->result;
    if (depth > 2 && is_at(r, 2, "Upload")) {
        on_upload_field(r, depth, text);
    } else if (depth == 2 && is_at(r, 2, "Upload")) {
        for (size_t i = 0; i < ROW_FIELDS; i++)
            texts_append(&page->uploads, buf_span(&r->row[i]));
    } else if (depth == 2 && is_at(r, 2, "NextKeyMarker")) {
        buf_append(&page->key_marker, text);
    } else if (depth == 2 && is_at(r, 2, "NextUploadIdMarker")) {
        buf_append(&page->upload_marker, text);
    } else if (depth == 2 && is_at(r, 2, "IsTruncated")) {
        r->truncated = span_eq(text, SPAN("true"));
    } else if (depth == 1 && !r->truncated) {
        buf_clear(&page->key_marker);
        buf_clear(&page->upload_marker);
    }
    enum err e = texts_error(&page->uploads);
    if (e == ERR_OK)
        e = buf_error(&page->key_marker);
    return e != ERR_OK ? e : buf_error(&page->upload_marker);
}

void s3_sweep_page_init(struct s3_sweep_page *page) {
    texts_init(&page->uploads, (size_t)SWEEP_UPLOADS_MAX * ROW_FIELDS, SWEEP_UPLOADS_MAX_BYTES);
    buf_init(&page->key_marker, SWEEP_MARKER_MAX_BYTES);
    buf_init(&page->upload_marker, SWEEP_MARKER_MAX_BYTES);
}

void s3_sweep_page_done(struct s3_sweep_page *page) {
    texts_done(&page->uploads);
    buf_done(&page->key_marker);
    buf_done(&page->upload_marker);
}

enum err s3_sweep_read_uploads(struct span document, struct s3_sweep_page *page) {
    return read_document(document, "ListMultipartUploadsResult", page, on_upload_element);
}

/* arn:aws:sts::<account>:assumed-role/<role>/<session>: the session is left out. */
static struct span without_session(struct span id) {
    size_t slashes = 0;
    if (!span_starts(id, SPAN("arn:")))
        return id;
    for (size_t i = 0; i < id.n; i++)
        if (id.p[i] == '/' && ++slashes == 2)
            return (struct span){id.p, i};
    return id;
}

bool s3_sweep_same_initiator(struct span a, struct span b) {
    return a.n > 0 && span_eq(without_session(a), without_session(b));
}

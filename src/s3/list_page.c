#include "fileservice/base/clock.h"
#include "fileservice/base/url.h"
#include "fileservice/s3/list.h"
#include "fileservice/s3/object.h"

#include "xml_rows.h"

#include <string.h>

#include "fileservice/base/banned.h"

#define PAGE_FACTS 3                /* texts in page->facts for each key */
#define PAGE_FACTS_MAX_BYTES 262144 /* 20 digits, an ETag and a time, 1,000 times */
#define PAGE_WORD_MAX_BYTES 64
#define PAGE_NAME_MAX_BYTES ((size_t)3 * S3_KEY_MAX_BYTES) /* each byte as %XX */

enum slot {
    SLOT_KEY,
    SLOT_SIZE,
    SLOT_ETAG,
    SLOT_MODIFIED,
    SLOT_PREFIX,
    SLOT_ENCODING,
    SLOT_TRUNCATED,
    SLOT_TOKEN,
    SLOT_COUNT,
};

static const struct xml_rows_field fields[] = {
    {"Contents", "Key", SLOT_KEY, false},
    {"Contents", "Size", SLOT_SIZE, false},
    {"Contents", "ETag", SLOT_ETAG, false},
    {"Contents", "LastModified", SLOT_MODIFIED, false},
    {"CommonPrefixes", "Prefix", SLOT_PREFIX, false},
    {NULL, "EncodingType", SLOT_ENCODING, false},
    {NULL, "IsTruncated", SLOT_TRUNCATED, false},
    {NULL, "NextContinuationToken", SLOT_TOKEN, false},
};

static const size_t slot_max[SLOT_COUNT] = {
    [SLOT_KEY] = PAGE_NAME_MAX_BYTES,       [SLOT_SIZE] = PAGE_WORD_MAX_BYTES,
    [SLOT_ETAG] = S3_ETAG_MAX_BYTES - 1,    [SLOT_MODIFIED] = PAGE_WORD_MAX_BYTES,
    [SLOT_PREFIX] = PAGE_NAME_MAX_BYTES,    [SLOT_ENCODING] = PAGE_WORD_MAX_BYTES,
    [SLOT_TRUNCATED] = PAGE_WORD_MAX_BYTES, [SLOT_TOKEN] = S3_LIST_TOKEN_MAX_BYTES,
};

struct reading {
    struct s3_list_page *page;
    struct buf slots[SLOT_COUNT];
};

void s3_list_page_init(struct s3_list_page *page) {
    memset(page, 0, sizeof *page);
    texts_init(&page->keys, S3_LIST_LIMIT_MAX, S3_LIST_RESPONSE_MAX_BYTES);
    texts_init(&page->facts, (size_t)PAGE_FACTS * S3_LIST_LIMIT_MAX, PAGE_FACTS_MAX_BYTES);
    texts_init(&page->prefixes, S3_LIST_LIMIT_MAX, S3_LIST_RESPONSE_MAX_BYTES);
    buf_init(&page->token, S3_LIST_TOKEN_MAX_BYTES);
}

void s3_list_page_done(struct s3_list_page *page) {
    texts_done(&page->keys);
    texts_done(&page->facts);
    texts_done(&page->prefixes);
    buf_done(&page->token);
}

struct s3_list_object s3_list_object(const struct s3_list_page *page, size_t i) {
    struct s3_list_object o = {
        .key = texts_at(&page->keys, i),
        .etag = texts_at(&page->facts, PAGE_FACTS * i + 1),
        .last_modified = texts_at(&page->facts, PAGE_FACTS * i + 2),
    };
    (void)span_to_u64(texts_at(&page->facts, PAGE_FACTS * i), &o.size); /* read before */
    return o;
}

static enum err add_object(struct reading *r) {
    char modified[CLOCK_RFC3339_BYTES] = "";
    struct span size = buf_span(&r->slots[SLOT_SIZE]);
    uint64_t bytes;
    int64_t modified_ms;
    if (r->slots[SLOT_KEY].n == 0 || !span_to_u64(size, &bytes))
        return ERR_UPSTREAM;
    if (clock_parse_rfc3339(buf_span(&r->slots[SLOT_MODIFIED]), &modified_ms))
        clock_format_rfc3339_s(modified_ms, modified);
    texts_append(&r->page->keys, buf_span(&r->slots[SLOT_KEY]));
    texts_append(&r->page->facts, size);
    texts_append(&r->page->facts, buf_span(&r->slots[SLOT_ETAG]));
    texts_append(&r->page->facts, span_of(modified));
    enum err e = texts_error(&r->page->keys);
    return e != ERR_OK ? e : texts_error(&r->page->facts);
}

static enum err on_row(void *context, const char *parent) {
    struct reading *r = context;
    if (strcmp(parent, "Contents") == 0)
        return add_object(r);
    if (r->slots[SLOT_PREFIX].n == 0)
        return ERR_UPSTREAM;
    texts_append(&r->page->prefixes, buf_span(&r->slots[SLOT_PREFIX]));
    return texts_error(&r->page->prefixes);
}

/* Not while reading: some servers say that they encoded only after the keys, some do not encode. */
static enum err decode_all(struct texts *t) {
    struct texts decoded;
    struct buf one;
    enum err e = ERR_OK;
    texts_init(&decoded, t->count_max, t->bytes.max);
    buf_init(&one, PAGE_NAME_MAX_BYTES);
    for (size_t i = 0; e == ERR_OK && i < t->count; i++) {
        buf_clear(&one);
        e = url_decode_form(&one, texts_at(t, i));
        texts_append(&decoded, buf_span(&one));
    }
    buf_done(&one);
    if (e == ERR_OK)
        e = texts_error(&decoded);
    texts_done(e == ERR_OK ? t : &decoded);
    if (e == ERR_OK)
        *t = decoded;
    return e == ERR_BAD_INPUT ? ERR_UPSTREAM : e;
}

static enum err finish(struct reading *r) {
    struct span token = buf_span(&r->slots[SLOT_TOKEN]);
    enum err e = ERR_OK;
    if (span_eq_nocase(buf_span(&r->slots[SLOT_ENCODING]), SPAN("url"))) {
        e = decode_all(&r->page->keys);
        if (e == ERR_OK)
            e = decode_all(&r->page->prefixes);
    }
    if (e != ERR_OK || !span_eq(buf_span(&r->slots[SLOT_TRUNCATED]), SPAN("true")))
        return e;
    buf_append(&r->page->token, token);
    return token.n == 0 ? ERR_UPSTREAM : buf_error(&r->page->token);
}

enum err s3_list_read(struct span document, struct s3_list_page *page) {
    struct reading r = {.page = page};
    struct xml_rows rows = {
        .root = "ListBucketResult",
        .fields = fields,
        .field_count = sizeof fields / sizeof *fields,
        .slots = r.slots,
        .on_row = on_row,
        .context = &r,
    };
    for (size_t i = 0; i < SLOT_COUNT; i++)
        buf_init(&r.slots[i], slot_max[i]);
    enum err e = xml_rows_read(document, S3_LIST_RESPONSE_MAX_BYTES, &rows);
    if (e == ERR_OK)
        e = finish(&r);
    for (size_t i = 0; i < SLOT_COUNT; i++)
        buf_done(&r.slots[i]);
    return e;
}

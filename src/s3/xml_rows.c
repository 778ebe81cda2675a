#include "xml_rows.h"

#include <string.h>

#include "fileservice/base/banned.h"

struct reading {
    const struct xml_rows *rows;
    const char *row;                    /* the kind of row we are in, or NULL */
    const struct xml_rows_field *field; /* whose text comes, or NULL */
};

static bool is_same(const char *a, const char *b) {
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static const struct xml_rows_field *find_field(const struct xml_rows *rows, const char *parent,
                                               const char *name) {
    for (size_t i = 0; i < rows->field_count; i++)
        if (is_same(rows->fields[i].parent, parent) && is_same(rows->fields[i].name, name))
            return &rows->fields[i];
    return NULL;
}

/* What an earlier row left must not look like this one's. NULL when there is no such kind of row. */
static const char *begin_row(const struct xml_rows *rows, const char *name) {
    const char *row = NULL;
    for (size_t i = 0; i < rows->field_count; i++)
        if (rows->fields[i].parent != NULL && is_same(rows->fields[i].parent, name)) {
            row = rows->fields[i].parent;
            buf_clear(&rows->slots[rows->fields[i].slot]);
        }
    return row;
}

static enum err on_open(void *context, unsigned depth, const char *name) {
    struct reading *r = context;
    r->field = NULL;
    if (depth == 1)
        return is_same(name, r->rows->root) ? ERR_OK : ERR_UPSTREAM;
    if (depth == 2)
        r->row = begin_row(r->rows, name);
    if (depth == 2 && r->row == NULL)
        r->field = find_field(r->rows, NULL, name);
    if (depth == 3 && r->row != NULL)
        r->field = find_field(r->rows, r->row, name);
    if (r->field != NULL)
        buf_clear(&r->rows->slots[r->field->slot]);
    return ERR_OK;
}

static enum err on_text(void *context, struct span text) {
    struct reading *r = context;
    if (r->field == NULL)
        return ERR_OK;
    struct buf *slot = &r->rows->slots[r->field->slot];
    if (r->field->cut && text.n > slot->max - slot->n)
        text.n = slot->max - slot->n;
    buf_append(slot, text);
    return buf_error(slot);
}

static enum err on_close(void *context, unsigned depth, const char *name) {
    struct reading *r = context;
    (void)name;
    r->field = NULL;
    if (depth != 2 || r->row == NULL)
        return ERR_OK;
    const char *row = r->row;
    r->row = NULL;
    return r->rows->on_row(r->rows->context, row);
}

enum err xml_rows_read(struct span document, size_t max_bytes, const struct xml_rows *rows) {
    struct reading r = {.rows = rows};
    struct xml_walker walker = {on_open, on_text, on_close, &r};
    return xml_walk(document, max_bytes, &walker);
}

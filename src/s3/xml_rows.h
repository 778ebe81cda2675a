/* Reading an answer of S3 that is a list: rows, and a few fields beside them. Private to the room.
 * Pure.
 *
 *     <root>
 *       <field>text</field>                    a field with parent NULL
 *       <row><field>text</field>…</row>        fields with parent "row", and on_row at its end
 *     </root>
 */
#ifndef FILESERVICE_SRC_S3_XML_ROWS_H
#define FILESERVICE_SRC_S3_XML_ROWS_H

#include "xml_walk.h"

struct xml_rows_field {
    const char *parent; /* NULL: the field is a child of the root */
    const char *name;
    size_t slot; /* where its text goes */
    bool cut;    /* a text that is too long for its slot is cut, not refused */
};

struct xml_rows {
    const char *root; /* another one is refused */
    const struct xml_rows_field *fields;
    size_t field_count;
    struct buf *slots; /* the ceiling of each is that of the text */
    /* At the end of a row. The slots of its fields hold what it had; empty where it had none. */
    enum err (*on_row)(void *context, const char *parent);
    void *context;
};

/* Reads a whole document. The errors of xml_walk(); after one, slots hold anything. */
enum err xml_rows_read(struct span document, size_t max_bytes, const struct xml_rows *rows)
    __attribute__((warn_unused_result));

#endif

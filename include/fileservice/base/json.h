/* Writing JSON text. Reading is jansson's job; writing on the request path and in the log front end
 * needs no tree, only correct escapes (RFC 8259 §7). */
#ifndef FILESERVICE_BASE_JSON_H
#define FILESERVICE_BASE_JSON_H

#include "fileservice/base/buf.h"

/* Appends `s` in quotes. Bytes that are not UTF-8 become U+FFFD each, so the text is always valid. */
void json_append_string(struct buf *b, struct span s);

/* Appends `"name":`, after a comma unless the object has just begun. */
void json_append_name(struct buf *b, const char *name);
/* The same, and a string as its value. */
void json_append_member(struct buf *b, const char *name, struct span value);

#endif

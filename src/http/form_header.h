/* Values of form headers: "form-data; name=\"file\"; filename=\"a.txt\"" (RFC 7578 §4.2, RFC 9110
 * §5.6.6). Pure. */
#ifndef FILESERVICE_HTTP_FORM_HEADER_H
#define FILESERVICE_HTTP_FORM_HEADER_H

#include "fileservice/base/buf.h"

/* Takes the word before the first ';' off the front of a header's value. */
struct span form_header_type(struct span *value);

/* Takes the next parameter off the front and appends its value, without quotes and escapes. False at
 * the end; *err tells whether that is a clean one (ERR_OK), ERR_BAD_INPUT, or buf_error(value). */
bool form_header_parameter(struct span *rest, struct span *name, struct buf *value, enum err *err);

/* Appends what an extended value means (RFC 8187: UTF-8''a%20b). ERR_BAD_INPUT for another character
 * set or broken encoding. */
enum err form_header_extended(struct span value, struct buf *out)
    __attribute__((warn_unused_result));

/* Appends `value` with %22, %0D and %0A replaced, as browsers write '"', CR and LF in names. */
void form_header_browser_text(struct span value, struct buf *out);

#endif

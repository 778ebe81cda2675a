/* POST forms and PUT bodies: bytes of a client become an object. Private to the room. */
#ifndef FILESERVICE_SRC_HANDLERS_UPLOAD_H
#define FILESERVICE_SRC_HANDLERS_UPLOAD_H

#include "fileservice/http/exchange.h"

void upload_put_on_head(struct exchange *x);
size_t upload_put_on_body(struct exchange *x, struct span data);
void upload_put_on_body_end(struct exchange *x);

void upload_form_on_head(struct exchange *x);
size_t upload_form_on_body(struct exchange *x, struct span data);
void upload_form_on_body_end(struct exchange *x);

void upload_on_close(struct exchange *x);

#endif

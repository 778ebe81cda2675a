/* DELETE /file/<bucket>/<key>. Private to the room. */
#ifndef FILESERVICE_SRC_HANDLERS_REMOVE_H
#define FILESERVICE_SRC_HANDLERS_REMOVE_H

#include "fileservice/http/exchange.h"

void remove_on_head(struct exchange *x);
void remove_on_body_end(struct exchange *x);
void remove_on_close(struct exchange *x);

#endif

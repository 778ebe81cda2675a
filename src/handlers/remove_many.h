/* POST /file/<bucket>?delete: up to 1,000 keys, as JSON. Private to the room. */
#ifndef FILESERVICE_SRC_HANDLERS_REMOVE_MANY_H
#define FILESERVICE_SRC_HANDLERS_REMOVE_MANY_H

#include "fileservice/http/exchange.h"

void remove_many_on_head(struct exchange *x);
size_t remove_many_on_body(struct exchange *x, struct span data);
void remove_many_on_body_end(struct exchange *x);
void remove_many_on_close(struct exchange *x);

#endif

/* GET and HEAD /file/<bucket>: a page of what is in it. Private to the room. */
#ifndef FILESERVICE_SRC_HANDLERS_LIST_H
#define FILESERVICE_SRC_HANDLERS_LIST_H

#include "fileservice/http/exchange.h"

void list_on_head(struct exchange *x);
void list_on_body_end(struct exchange *x);
void list_on_close(struct exchange *x);

#endif

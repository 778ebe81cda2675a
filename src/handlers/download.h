/* GET and HEAD /file/<bucket>/<key>: a presigned URL, or a redirect to it. Private to the room. */
#ifndef FILESERVICE_SRC_HANDLERS_DOWNLOAD_H
#define FILESERVICE_SRC_HANDLERS_DOWNLOAD_H

#include "fileservice/http/exchange.h"

void download_on_head(struct exchange *x);
void download_on_body_end(struct exchange *x);
void download_on_room(struct exchange *x);
void download_on_close(struct exchange *x);

#endif

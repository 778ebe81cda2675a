/* GET /, /healthz and /readyz. Private to the room. */
#ifndef FILESERVICE_SRC_HANDLERS_HEALTH_H
#define FILESERVICE_SRC_HANDLERS_HEALTH_H

#include "fileservice/http/exchange.h"

void health_root_on_body_end(struct exchange *x);
void health_live_on_body_end(struct exchange *x);
void health_ready_on_body_end(struct exchange *x);
void health_on_close(struct exchange *x);

#endif

#include "fileservice/handlers/handlers.h"

#include "download.h"
#include "health.h"
#include "list.h"
#include "remove.h"
#include "remove_many.h"
#include "upload.h"

#include "fileservice/base/banned.h"

const struct exchange_handler handlers_table[] = {
    {
        .route = ROUTE_ROOT,
        .methods = ROUTER_GET,
        .open = true,
        .on_body_end = health_root_on_body_end,
    },
    {
        .route = ROUTE_HEALTHZ,
        .methods = ROUTER_GET,
        .open = true,
        .on_body_end = health_live_on_body_end,
    },
    {
        .route = ROUTE_READYZ,
        .methods = ROUTER_GET,
        .open = true,
        .on_body_end = health_ready_on_body_end,
        .on_close = health_on_close,
    },
    {
        .route = ROUTE_FILES,
        .methods = ROUTER_POST,
        .on_head = upload_form_on_head,
        .on_body = upload_form_on_body,
        .on_body_end = upload_form_on_body_end,
        .on_close = upload_on_close,
    },
    {
        .route = ROUTE_BUCKET,
        .methods = ROUTER_POST,
        .parameter = "delete",
        .on_head = remove_many_on_head,
        .on_body = remove_many_on_body,
        .on_body_end = remove_many_on_body_end,
        .on_close = remove_many_on_close,
    },
    {
        .route = ROUTE_BUCKET,
        .methods = ROUTER_POST,
        .on_head = upload_form_on_head,
        .on_body = upload_form_on_body,
        .on_body_end = upload_form_on_body_end,
        .on_close = upload_on_close,
    },
    {
        .route = ROUTE_BUCKET,
        .methods = ROUTER_GET,
        .on_head = list_on_head,
        .on_body_end = list_on_body_end,
        .on_close = list_on_close,
    },
    {
        .route = ROUTE_OBJECT,
        .methods = ROUTER_PUT,
        .on_head = upload_put_on_head,
        .on_body = upload_put_on_body,
        .on_body_end = upload_put_on_body_end,
        .on_close = upload_on_close,
    },
    {
        .route = ROUTE_OBJECT,
        .methods = ROUTER_GET,
        .on_head = download_on_head,
        .on_body_end = download_on_body_end,
        .on_room = download_on_room,
        .on_close = download_on_close,
    },
    {
        .route = ROUTE_OBJECT,
        .methods = ROUTER_DELETE,
        .on_head = remove_on_head,
        .on_body_end = remove_on_body_end,
        .on_close = remove_on_close,
    },
};

const size_t handlers_table_count = sizeof handlers_table / sizeof *handlers_table;

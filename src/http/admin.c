#include "fileservice/http/admin.h"

#include "mhd_log.h"
#include "request.h"

#include "fileservice/base/log.h"
#include "fileservice/base/metrics.h"
#include "fileservice/base/trace.h"
#include "fileservice/http/reply.h"

#include <stdlib.h>
#include <string.h>

#include <microhttpd.h>

#include "fileservice/base/banned.h"

#define ADMIN_PATH SPAN("/metrics")
#define ADMIN_PATH_SHOWN_MAX_BYTES 256

struct admin {
    struct admin_options options;
    struct MHD_Daemon *daemon;
};

/* Answers. Each is complete in MHD's first call: what a body may hold is not read. */

static void fail(struct reply *r, const struct error *error, const char *code, const char *id) {
    struct error e = *error;
    if (code != NULL)
        memcpy(e.code, code, strlen(code) + 1);
    reply_error(r, &e, id);
}

static void fail_route(struct reply *r, struct span path, const char *id) {
    struct error error;
    int n = path.n < ADMIN_PATH_SHOWN_MAX_BYTES ? (int)path.n : ADMIN_PATH_SHOWN_MAX_BYTES;
    error_set(&error, ERR_NOT_FOUND, "Route %.*s does not exist.", n, path.p);
    fail(r, &error, NULL, id);
}

static void fail_method(struct reply *r, const char *id) {
    struct error error;
    error_set(&error, ERR_BAD_INPUT, "This method is not allowed here.");
    fail(r, &error, "MethodNotAllowed", id);
    reply_header(r, "Allow", SPAN("GET, HEAD"));
}

static void render(const struct admin *a, struct reply *r, const char *id) {
    struct error error;
    r->status = 200;
    reply_allow_body(r, ADMIN_PAGE_MAX_BYTES);
    reply_header(r, "Content-Type", SPAN(METRICS_CONTENT_TYPE));
    enum err e = a->options.render(a->options.context, &r->body);
    if (e == ERR_OK)
        e = buf_error(&r->body);
    if (e == ERR_OK)
        return;
    error_set(&error, e, "The page could not be made.");
    log_message(LOG_ERROR, "admin: the page could not be made: %s", err_name(e));
    fail(r, &error, NULL, id);
}

static void add_to_response(void *context, const char *name, const char *value) {
    MHD_add_response_header(context, name, value);
}

static enum MHD_Result send_reply(struct MHD_Connection *mhd, struct reply *r) {
    size_t n = r->body.n;
    char *body = buf_steal(&r->body);
    struct MHD_Response *response =
        body == NULL ? NULL : MHD_create_response_from_buffer_with_free_callback(n, body, free);
    if (response == NULL) {
        free(body);
        return MHD_NO;
    }
    reply_each_header(r, add_to_response, response);
    enum MHD_Result queued = MHD_queue_response(mhd, r->status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result on_access(void *context, struct MHD_Connection *mhd, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *size, void **request) {
    const struct admin *a = context;
    struct span path = request_origin_form(span_of(url));
    char id[TRACE_REQUEST_ID_MAX_BYTES + 1];
    struct reply r;
    (void)version;
    (void)data;
    (void)size;
    (void)request;
    request_id((struct span){NULL, 0}, id);
    reply_init(&r, 0);
    if (!span_eq(path, ADMIN_PATH))
        fail_route(&r, path, id);
    else if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        fail_method(&r, id);
    else
        render(a, &r, id);
    reply_header(&r, "X-Request-Id", span_of(id));
    reply_header(&r, "X-Content-Type-Options", SPAN("nosniff"));
    reply_header(&r, "Connection",
                 SPAN("close")); /* a scraper comes back later than an idle timeout */
    enum MHD_Result queued = send_reply(mhd, &r);
    reply_done(&r);
    return queued;
}

/* The path stays as it came: MHD would cut it at a %00. */
static size_t leave_escaped(void *context, struct MHD_Connection *mhd, char *text) {
    (void)context;
    (void)mhd;
    return strlen(text);
}

/* Life */

enum err admin_start(const struct admin_options *options, int listen_fd, struct admin **ret,
                     struct error *error) {
    struct admin *a = calloc(1, sizeof *a);
    if (a == NULL)
        return error_set(error, ERR_NO_MEMORY, "no memory for the metrics");
    a->options = *options;
    /* poll() and not epoll: MHD's epoll misses ends of connections, and there are few of them. */
    a->daemon = MHD_start_daemon(
        MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_access, a,
        MHD_OPTION_EXTERNAL_LOGGER, mhd_log, "admin", MHD_OPTION_CLIENT_DISCIPLINE_LVL, 3,
        MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)ADMIN_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)ADMIN_IDLE_TIMEOUT_SECONDS, MHD_OPTION_END);
    if (a->daemon == NULL) {
        free(a);
        return error_set(error, ERR_SYSTEM, "the HTTP server of the metrics does not start");
    }
    *ret = a;
    return ERR_OK;
}

void admin_stop(struct admin *a) {
    if (a == NULL)
        return;
    MHD_stop_daemon(a->daemon);
    free(a);
}

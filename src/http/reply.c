#include "fileservice/http/reply.h"

#include "fileservice/base/json.h"

#include <string.h>

#include "fileservice/base/banned.h"

void reply_init(struct reply *r, unsigned status) {
    memset(r, 0, sizeof *r);
    r->status = status;
    buf_init(&r->headers, REPLY_HEADERS_MAX_BYTES);
    buf_init(&r->body, REPLY_BODY_MAX_BYTES);
}

void reply_done(struct reply *r) {
    buf_done_secret(&r->headers); /* they may hold a presigned URL */
    buf_done_secret(&r->body);
}

void reply_allow_body(struct reply *r, size_t bytes) { r->body.max = bytes; }

static bool is_header_value(struct span value) {
    for (size_t i = 0; i < value.n; i++)
        if ((unsigned char)value.p[i] < 0x20 || value.p[i] == 0x7F)
            return false;
    return true;
}

void reply_header(struct reply *r, const char *name, struct span value) {
    if (!is_header_value(value) || r->header_count == REPLY_HEADERS_MAX)
        return;
    buf_append_text(&r->headers, name);
    buf_append_byte(&r->headers, '\0');
    buf_append(&r->headers, value);
    buf_append_byte(&r->headers, '\0');
    r->header_count++;
}

void reply_each_header(const struct reply *r,
                       void (*each)(void *context, const char *name, const char *value),
                       void *context) {
    const char *at = buf_text(&r->headers);
    for (size_t i = 0; i < r->header_count; i++) {
        const char *value = at + strlen(at) + 1;
        each(context, at, value);
        at = value + strlen(value) + 1;
    }
}

unsigned reply_status(const struct error *error) {
    switch (error->err) {
    case ERR_OK:
        return 200;
    case ERR_BAD_INPUT:
        /* The kinds of bad requests that HTTP has a number of its own for. */
        if (strcmp(error->code, "MethodNotAllowed") == 0)
            return 405;
        if (strcmp(error->code, "UnsupportedMediaType") == 0)
            return 415;
        if (strcmp(error->code, "InvalidRange") == 0)
            return 416;
        return 400;
    case ERR_NOT_FOUND:
        return 404;
    case ERR_DENIED:
        return strcmp(error->code, "Unauthorized") == 0 ? 401 : 403;
    case ERR_PRECONDITION:
        return 412;
    case ERR_CONFLICT:
        return 409;
    case ERR_TOO_LARGE:
        return 413;
    case ERR_BUSY:
    case ERR_NO_MEMORY:
        return 503;
    case ERR_UNREACHABLE:
    case ERR_UPSTREAM:
    case ERR_CREDENTIALS:
        return 502;
    case ERR_TIMEOUT:
        return 504;
    case ERR_LIMIT:
    case ERR_CANCELLED:
    case ERR_SYSTEM:
    case ERR_INTERNAL:
        break;
    }
    return 500;
}

/* The code for a program, when nobody gave one. */
static const char *default_code(unsigned status) {
    switch (status) {
    case 400:
        return "BadRequest";
    case 401:
        return "Unauthorized";
    case 403:
        return "AccessDenied";
    case 404:
        return "NotFound";
    case 405:
        return "MethodNotAllowed";
    case 409:
        return "Conflict";
    case 412:
        return "PreconditionFailed";
    case 413:
        return "EntityTooLarge";
    case 415:
        return "UnsupportedMediaType";
    case 416:
        return "InvalidRange";
    case 502:
        return "BadGateway";
    case 503:
        return "ServiceUnavailable";
    case 504:
        return "GatewayTimeout";
    default:
        return "InternalError";
    }
}

void reply_error(struct reply *r, const struct error *error, const char *request_id) {
    struct error copy = *error; /* it may live inside *r */
    unsigned status = reply_status(&copy);
    const char *code = copy.code[0] != '\0' ? copy.code : default_code(status);
    reply_done(r);
    reply_init(r, status);
    r->error = copy;
    reply_header(r, "Content-Type", SPAN("application/json"));
    if (status == 503)
        reply_header(r, "Retry-After", SPAN("2"));
    if (status == 401)
        reply_header(r, "WWW-Authenticate", SPAN("Bearer realm=\"fileservice\""));
    buf_append_text(&r->body, "{\"message\":");
    json_append_string(&r->body, span_of(copy.message));
    buf_append_text(&r->body, ",\"code\":");
    json_append_string(&r->body, span_of(code));
    buf_append_text(&r->body, ",\"request_id\":");
    json_append_string(&r->body, span_of(request_id));
    buf_append_text(&r->body, "}\n");
}

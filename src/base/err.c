#include "fileservice/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fileservice/base/banned.h"

enum err error_set(struct error *e, enum err err, const char *format, ...) {
    if (e == NULL)
        return err;
    memset(e, 0, sizeof *e);
    e->err = err;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(e->message, sizeof e->message, format, arguments);
    va_end(arguments);
    return err;
}

const char *err_name(enum err err) {
    switch (err) {
    case ERR_OK:
        return "ok";
    case ERR_NO_MEMORY:
        return "no_memory";
    case ERR_LIMIT:
        return "limit";
    case ERR_BAD_INPUT:
        return "bad_input";
    case ERR_NOT_FOUND:
        return "not_found";
    case ERR_DENIED:
        return "denied";
    case ERR_PRECONDITION:
        return "precondition";
    case ERR_CONFLICT:
        return "conflict";
    case ERR_TOO_LARGE:
        return "too_large";
    case ERR_BUSY:
        return "busy";
    case ERR_UNREACHABLE:
        return "unreachable";
    case ERR_TIMEOUT:
        return "timeout";
    case ERR_UPSTREAM:
        return "upstream";
    case ERR_CREDENTIALS:
        return "credentials";
    case ERR_CANCELLED:
        return "cancelled";
    case ERR_SYSTEM:
        return "system";
    case ERR_INTERNAL:
        return "internal";
    }
    return "unknown";
}

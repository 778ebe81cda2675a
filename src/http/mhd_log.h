/* What libmicrohttpd says of itself, as debug lines. Private to the room. */
#ifndef FILESERVICE_SRC_HTTP_MHD_LOG_H
#define FILESERVICE_SRC_HTTP_MHD_LOG_H

#include <stdarg.h>

/* MHD_OPTION_EXTERNAL_LOGGER; `context` is a word of the door, "http" or "admin". */
__attribute__((format(printf, 2, 0))) void mhd_log(void *context, const char *format,
                                                   va_list arguments);

#endif

#include "mhd_log.h"

#include "fileservice/base/log.h"

#include <stdio.h>
#include <string.h>

#include "fileservice/base/banned.h"

void mhd_log(void *context, const char *format, va_list arguments) {
    char text[256];
    (void)vsnprintf(text, sizeof text, format, arguments);
    text[strcspn(text, "\n")] = '\0';
    log_message(LOG_DEBUG, "%s: %s", (const char *)context, text);
}

#include "page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

size_t page_count_lines(const char *page, const char *prefix) {
    size_t n = 0;
    for (const char *p = page; p != NULL && *p != '\0'; p = strchr(p, '\n') + 1)
        n += strncmp(p, prefix, strlen(prefix)) == 0;
    return n;
}

void page_assert_has(const char *page, const char *text) {
    if (strstr(page, text) == NULL)
        fail_msg("%s is missing in:\n%s", text, page);
}

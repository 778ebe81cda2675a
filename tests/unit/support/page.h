/* Looking at a page of metrics. */
#ifndef FILESERVICE_TESTS_UNIT_SUPPORT_PAGE_H
#define FILESERVICE_TESTS_UNIT_SUPPORT_PAGE_H

#include <stddef.h>

#define PAGE_MAX_BYTES 1048576

size_t page_count_lines(const char *page, const char *prefix);
void page_assert_has(const char *page, const char *text); /* fails with the page when it does not */

#endif

/* Allocations that fail: the n-th of a run, for n = 1, 2, … until a run has fewer than n. For tests
 * whose .wrap file names malloc, calloc, realloc, strdup, curl_easy_init, curl_slist_append and
 * curl_multi_add_handle; what is inside of curl is left out: 7.88 divides by zero when it has no memory
 * for a hash table. Any thread. */
#ifndef FILESERVICE_TESTS_UNIT_SUPPORT_FAILING_H
#define FILESERVICE_TESTS_UNIT_SUPPORT_FAILING_H

#include <stdbool.h>

/* A run begins, in which the n-th allocation fails; 0: none does. */
void failing_begin(unsigned n);
/* It ends. Whether it came to the n-th allocation. */
bool failing_end(void);
unsigned failing_which(void); /* the n of the run, for a message */

/* This thread's allocations do not count: a server's. */
void failing_leave_out_thread(void);

/* For functions that a test wraps itself: counts one, and says whether it is to fail. */
bool failing_now(void);

#endif

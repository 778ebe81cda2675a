/* Bytes that must not stay in memory. libc only. */
#ifndef FILESERVICE_BASE_SECRET_H
#define FILESERVICE_BASE_SECRET_H

#include <stddef.h>

/* Overwrites `n` bytes; the compiler may not remove it. `p` may be NULL when n is 0. */
void secret_wipe(void *p, size_t n);

/* Wipes a NUL-terminated heap string and frees it. NULL is fine. */
void secret_free(char *text);

#endif

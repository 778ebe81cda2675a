/* Bytes as lower-case hexadecimal text. Pure. */
#ifndef FILESERVICE_BASE_HEX_H
#define FILESERVICE_BASE_HEX_H

#include <stddef.h>

/* Writes 2 * n digits and a NUL. */
void hex_encode(const unsigned char *bytes, size_t n, char *out);

#endif

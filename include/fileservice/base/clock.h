/* Time: reading it, and writing and reading its text forms. Formatting is pure. */
#ifndef FILESERVICE_BASE_CLOCK_H
#define FILESERVICE_BASE_CLOCK_H

#include "fileservice/base/span.h"

#include <stdint.h>

uint64_t clock_monotonic_ms(void); /* for deadlines and durations; any thread */
uint64_t clock_monotonic_us(void); /* the same clock, finer */
int64_t clock_wall_ms(void);       /* milliseconds since 1970 UTC; any thread */

#define CLOCK_RFC3339_BYTES 25 /* "2026-11-24T12:00:00.000Z" and NUL */
#define CLOCK_AMZ_BYTES 17     /* "20261124T120000Z" and NUL */

void clock_format_rfc3339_ms(int64_t wall_ms, char out[CLOCK_RFC3339_BYTES]);
void clock_format_rfc3339_s(int64_t wall_ms, char out[CLOCK_RFC3339_BYTES]);
void clock_format_amz(int64_t wall_ms, char out[CLOCK_AMZ_BYTES]);

/* "2026-11-24T12:00:00Z", with or without a fraction; "Z" or "+00:00". */
bool clock_parse_rfc3339(struct span text, int64_t *ret_wall_ms);
/* "Tue, 24 Nov 2026 12:00:00 GMT" (IMF-fixdate, RFC 9110 §5.6.7). */
bool clock_parse_http_date(struct span text, int64_t *ret_wall_ms);

#endif

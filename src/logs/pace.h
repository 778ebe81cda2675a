/* How often an operator is told of what goes on: at growing intervals, from LOGS_PACE_EVERY_MS up to
 * LOGS_PACE_MOST_MS, since a line that tells of lost lines may itself be lost. Pure. Private to the room. */
#ifndef FILESERVICE_SRC_LOGS_PACE_H
#define FILESERVICE_SRC_LOGS_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define LOGS_PACE_EVERY_MS 10000
#define LOGS_PACE_MOST_MS 3600000 /* an hour */

/* Zeroed at the start. */
struct pace {
    uint64_t told_ms;  /* monotonic; 0: never */
    uint64_t every_ms; /* the least time until it is told again */
};

/* Whether so much time has gone by that it may be told (again). */
bool pace_is_time(const struct pace *p, uint64_t now_ms);
/* It is told now. */
void pace_told(struct pace *p, uint64_t now_ms);
/* There is nothing to tell: after an interval of that, the next begin short again. */
void pace_quiet(struct pace *p, uint64_t now_ms);

#endif

#include "pace.h"

#include "fileservice/base/banned.h"

bool pace_is_time(const struct pace *p, uint64_t now_ms) {
    return p->told_ms == 0 || now_ms - p->told_ms >= p->every_ms;
}

void pace_told(struct pace *p, uint64_t now_ms) {
    uint64_t last_ms = p->every_ms > 0 ? p->every_ms : LOGS_PACE_EVERY_MS;
    p->told_ms = now_ms;
    p->every_ms = last_ms < LOGS_PACE_MOST_MS / 2 ? last_ms * 2 : LOGS_PACE_MOST_MS;
}

void pace_quiet(struct pace *p, uint64_t now_ms) {
    if (pace_is_time(p, now_ms))
        p->every_ms = LOGS_PACE_EVERY_MS;
}

#include "report.h"

#include "fileservice/base/banned.h"

void report_failure(struct report *r, const struct logs_cloudwatch_options *options,
                    unsigned failures, const struct error *error) {
    if (failures == 0)
        r->failing++;
    if (failures + 1 < REPORT_OUTAGE_FAILURES || r->outage)
        return;
    r->outage = true;
    if (options->on_outage != NULL)
        options->on_outage(error);
}

void report_success(struct report *r, bool had_failed) {
    if (had_failed)
        r->failing--;
}

static uint64_t all_rejected(const struct logs_cloudwatch_counts *c) {
    uint64_t n = 0;
    for (size_t i = 0; i < LOGS_REJECT_COUNT; i++)
        n += c->rejected[i];
    return n;
}

/* Whether it is time, given that there is something to tell. */
static bool is_time(const struct report *r, struct queue *queue, uint64_t now_ms, bool stopping) {
    if (stopping)
        return !r->last_words;
    /* The end of an outage does not wait long: outages are seldom. */
    bool over = r->outage && now_ms - r->pace.told_ms >= LOGS_PACE_EVERY_MS;
    bool settled = queue_has_room(queue) || now_ms - r->since_ms >= LOGS_PACE_EVERY_MS;
    return settled && (over || pace_is_time(&r->pace, now_ms));
}

void report_look(struct report *r, const struct logs_cloudwatch_options *options,
                 struct queue *queue, uint64_t now_ms, bool stopping) {
    struct logs_cloudwatch_counts c = queue_counts(queue);
    uint64_t dropped = c.dropped - r->told_dropped;
    uint64_t rejected = all_rejected(&c) - r->told_rejected;
    if (r->failing > 0 || (dropped == 0 && rejected == 0 && !r->outage)) {
        r->since_ms = 0;
        pace_quiet(&r->pace, now_ms);
        return;
    }
    if (r->since_ms == 0)
        r->since_ms = now_ms;
    if (!is_time(r, queue, now_ms, stopping))
        return;
    r->last_words = stopping;
    r->since_ms = 0;
    pace_told(&r->pace, now_ms);
    r->told_dropped = c.dropped;
    r->told_rejected += rejected;
    if (rejected > 0 && options->on_rejected != NULL)
        options->on_rejected(rejected);
    if ((dropped > 0 || r->outage) && options->on_recovery != NULL)
        options->on_recovery(dropped);
    r->outage = false;
}

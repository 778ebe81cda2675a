#include "fileservice/logs/batch.h"

#include "fileservice/base/json.h"

#include <stdlib.h>

#include "fileservice/base/banned.h"

#define MARK_MAX_BYTES 48 /* "[truncated 18446744073709551615 bytes]" and some */

size_t logs_batch_size(const struct logs_event *events, size_t count) {
    uint64_t bytes = 0;
    int64_t first = 0;
    int64_t last = 0;
    for (size_t i = 0; i < count; i++) {
        const struct logs_event *e = &events[i];
        /* The clock may step back: the span is of the earliest and the latest, wherever they stand. */
        first = i == 0 || e->wall_ms < first ? e->wall_ms : first;
        last = i == 0 || e->wall_ms > last ? e->wall_ms : last;
        bytes += e->message.n + LOGS_BATCH_EVENT_BYTES;
        if (i > 0 && (i == LOGS_BATCH_MAX_EVENTS || bytes > LOGS_BATCH_MAX_BYTES ||
                      last - first > LOGS_BATCH_MAX_SPAN_MS))
            return i;
    }
    return count;
}

/* The longest front of s with at most `max` bytes that ends between two characters. */
static size_t boundary(struct span s, size_t max) {
    size_t n = max;
    while (n > 0 && n < s.n && ((unsigned char)s.p[n] & 0xC0) == 0x80)
        n--;
    return n;
}

void logs_batch_append_message(struct buf *out, struct span message) {
    if (message.n == 0) {
        buf_append_byte(out, '-');
    } else if (message.n <= LOGS_EVENT_MAX_BYTES) {
        buf_append(out, message);
    } else {
        size_t kept = boundary(message, LOGS_EVENT_MAX_BYTES - MARK_MAX_BYTES);
        buf_append(out, (struct span){message.p, kept});
        buf_append_format(out, "[truncated %zu bytes]", message.n - kept);
    }
}

static int compare_times(const void *left, const void *right) {
    const struct logs_event *const *a = left;
    const struct logs_event *const *b = right;
    if ((*a)->wall_ms != (*b)->wall_ms)
        return (*a)->wall_ms < (*b)->wall_ms ? -1 : 1;
    return *a < *b ? -1 : *a > *b; /* stable: they all stand in one array */
}

static bool is_ascending(const struct logs_event *events, size_t count) {
    for (size_t i = 1; i < count; i++)
        if (events[i].wall_ms < events[i - 1].wall_ms)
            return false;
    return true;
}

static void append_event(struct buf *out, const struct logs_event *e, bool first) {
    buf_append_text(out, first ? "{\"timestamp\":" : ",{\"timestamp\":");
    buf_append_u64(out, e->wall_ms > 0 ? (uint64_t)e->wall_ms : 0);
    buf_append_text(out, ",\"message\":");
    json_append_string(out, e->message);
    buf_append_byte(out, '}');
}

static enum err append_sorted(struct buf *out, const struct logs_event *events, size_t count) {
    const struct logs_event **sorted = calloc(count, sizeof(void *));
    if (sorted == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        sorted[i] = &events[i];
    qsort(sorted, count, sizeof(void *), compare_times);
    for (size_t i = 0; i < count; i++)
        append_event(out, sorted[i], i == 0);
    free(sorted);
    return ERR_OK;
}

enum err logs_batch_body(const char *group, const char *stream, const struct logs_event *events,
                         size_t count, struct buf *out) {
    enum err e = ERR_OK;
    buf_append_text(out, "{\"logGroupName\":");
    json_append_string(out, span_of(group));
    buf_append_text(out, ",\"logStreamName\":");
    json_append_string(out, span_of(stream));
    buf_append_text(out, ",\"logEvents\":[");
    if (is_ascending(events,
                     count)) /* unless a clock stepped back, or workers overtook one another */
        for (size_t i = 0; i < count; i++)
            append_event(out, &events[i], i == 0);
    else
        e = append_sorted(out, events, count);
    buf_append_text(out, "]}");
    return e != ERR_OK ? e : buf_error(out);
}

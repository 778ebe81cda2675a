#include "fileservice/base/clock.h"

#include <string.h>
#include <time.h>

#include "fileservice/base/banned.h"

uint64_t clock_monotonic_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t clock_monotonic_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

int64_t clock_wall_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Years outside 0000 to 9999 have no four-digit form; they become the nearest one that has. */
static struct tm broken_down(int64_t wall_ms) {
    const int64_t first_s = -62167219200;
    const int64_t last_s = 253402300799;
    int64_t s = wall_ms >= 0 ? wall_ms / 1000 : -((-wall_ms + 999) / 1000);
    time_t t = (time_t)(s < first_s ? first_s : s > last_s ? last_s : s);
    struct tm tm;
    memset(&tm, 0, sizeof tm);
    gmtime_r(&t, &tm);
    return tm;
}

/* Writes n digits and returns where they end: every request formats a time or four, and printf would
 * cost more than all the rest of a log line. */
static char *put_digits(char *out, unsigned value, size_t n) {
    for (size_t i = n; i > 0; i--) {
        out[i - 1] = (char)('0' + value % 10);
        value /= 10;
    }
    return out + n;
}

static char *put_text(char *out, const char *text) {
    while (*text != '\0')
        *out++ = *text++;
    return out;
}

/* "2026-11-24T12:00:00" with the given separators. */
static char *put_time(char *out, const struct tm *tm, const char *dash, const char *colon) {
    out = put_digits(out, (unsigned)(tm->tm_year + 1900), 4);
    out = put_text(out, dash);
    out = put_digits(out, (unsigned)(tm->tm_mon + 1), 2);
    out = put_text(out, dash);
    out = put_digits(out, (unsigned)tm->tm_mday, 2);
    out = put_text(out, "T");
    out = put_digits(out, (unsigned)tm->tm_hour, 2);
    out = put_text(out, colon);
    out = put_digits(out, (unsigned)tm->tm_min, 2);
    out = put_text(out, colon);
    return put_digits(out, (unsigned)tm->tm_sec, 2);
}

void clock_format_rfc3339_ms(int64_t wall_ms, char out[CLOCK_RFC3339_BYTES]) {
    struct tm tm = broken_down(wall_ms);
    unsigned ms = (unsigned)((wall_ms % 1000 + 1000) % 1000);
    char *end = put_time(out, &tm, "-", ":");
    end = put_text(end, ".");
    end = put_digits(end, ms, 3);
    end = put_text(end, "Z");
    *end = '\0';
}

void clock_format_rfc3339_s(int64_t wall_ms, char out[CLOCK_RFC3339_BYTES]) {
    clock_format_rfc3339_ms(wall_ms, out);
    out[19] = 'Z';
    out[20] = '\0';
}

void clock_format_amz(int64_t wall_ms, char out[CLOCK_AMZ_BYTES]) {
    struct tm tm = broken_down(wall_ms);
    char *end = put_time(out, &tm, "", "");
    end = put_text(end, "Z");
    *end = '\0';
}

/* Exactly `n` digits off the front of *s. */
static bool take_number(struct span *s, size_t n, int *ret) {
    uint64_t value = 0;
    if (s->n < n || !span_to_u64((struct span){s->p, n}, &value))
        return false;
    *s = span_from(*s, n);
    *ret = (int)value;
    return true;
}

static bool take_text(struct span *s, struct span text) {
    if (!span_starts(*s, text))
        return false;
    *s = span_from(*s, text.n);
    return true;
}

/* timegm() accepts day 31 of any month and moves on; a text that does so is wrong. */
static bool to_wall_ms(struct tm tm, int64_t *ret) {
    struct tm copy = tm;
    time_t t = timegm(&copy);
    if (copy.tm_mday != tm.tm_mday || copy.tm_mon != tm.tm_mon || copy.tm_hour != tm.tm_hour ||
        copy.tm_min != tm.tm_min)
        return false;
    *ret = (int64_t)t * 1000;
    return true;
}

static bool take_time_of_day(struct span *s, struct tm *tm) {
    return take_number(s, 2, &tm->tm_hour) && take_text(s, SPAN(":")) &&
           take_number(s, 2, &tm->tm_min) && take_text(s, SPAN(":")) &&
           take_number(s, 2, &tm->tm_sec);
}

/* ".123456": milliseconds, the rest is cut. */
static bool take_fraction(struct span *s, int *ms) {
    *ms = 0;
    if (!take_text(s, SPAN(".")))
        return true;
    int scale = 100;
    size_t digits = 0;
    while (s->n > 0 && s->p[0] >= '0' && s->p[0] <= '9') {
        *ms += (s->p[0] - '0') * scale;
        scale /= 10;
        digits++;
        *s = span_from(*s, 1);
    }
    return digits > 0;
}

bool clock_parse_rfc3339(struct span text, int64_t *ret_wall_ms) {
    struct tm tm;
    memset(&tm, 0, sizeof tm);
    int ms = 0;
    if (!take_number(&text, 4, &tm.tm_year) || !take_text(&text, SPAN("-")) ||
        !take_number(&text, 2, &tm.tm_mon) || !take_text(&text, SPAN("-")) ||
        !take_number(&text, 2, &tm.tm_mday) || !take_text(&text, SPAN("T")) ||
        !take_time_of_day(&text, &tm) || !take_fraction(&text, &ms) ||
        (!span_eq(text, SPAN("Z")) && !span_eq(text, SPAN("+00:00"))))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    if (!to_wall_ms(tm, ret_wall_ms))
        return false;
    *ret_wall_ms += ms;
    return true;
}

bool clock_parse_http_date(struct span text, int64_t *ret_wall_ms) {
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm tm;
    memset(&tm, 0, sizeof tm);
    size_t comma = span_find(text, ',');
    text = span_from(text, comma + 1);
    if (comma != 3 || !take_text(&text, SPAN(" ")) || !take_number(&text, 2, &tm.tm_mday) ||
        !take_text(&text, SPAN(" ")) || text.n < 3)
        return false;
    for (tm.tm_mon = 0; tm.tm_mon < 12; tm.tm_mon++)
        if (memcmp(months + 3 * (size_t)tm.tm_mon, text.p, 3) == 0)
            break;
    text = span_from(text, 3);
    if (tm.tm_mon == 12 || !take_text(&text, SPAN(" ")) || !take_number(&text, 4, &tm.tm_year) ||
        !take_text(&text, SPAN(" ")) || !take_time_of_day(&text, &tm) ||
        !span_eq(text, SPAN(" GMT")))
        return false;
    tm.tm_year -= 1900;
    return to_wall_ms(tm, ret_wall_ms);
}

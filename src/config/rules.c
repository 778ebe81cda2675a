#include "settings.h"

#include <arpa/inet.h>
#include <string.h>

#include "fileservice/base/banned.h"

#define RULE_PATH_MAX_BYTES 4095     /* PATH_MAX without the NUL */
#define RULE_KEY_MAX_BYTES 8192      /* ours: session tokens have no documented limit */
#define RULE_REGION_MAX_BYTES 32     /* ours; AWS's longest has 14 */
#define RULE_OWNER_BYTES 12          /* an AWS account id */
#define RULE_LOG_GROUP_MAX_BYTES 512 /* CloudWatch Logs API, CreateLogGroup */
#define RULE_BUCKET_MIN_BYTES 3      /* S3 user guide, "Bucket naming rules" */
#define RULE_BUCKET_MAX_BYTES 63
#define RULE_PREFIX_MAX_BYTES 40 /* leaves 23 bytes for the name that clients see */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
static bool is_alnum(char c) { return is_digit(c) || is_lower(c) || (c >= 'A' && c <= 'Z'); }

/* min to max bytes, each a letter of `kind` or one of `more`. */
static bool is_made_of(struct span s, size_t min, size_t max, bool (*kind)(char),
                       struct span more) {
    if (s.n < min || s.n > max)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!kind(s.p[i]) && span_find(more, s.p[i]) == more.n)
            return false;
    return true;
}

static bool is_lower_alnum(char c) { return is_digit(c) || is_lower(c); }
static bool is_visible(char c) { return (unsigned char)c > 0x20 && c != 0x7F; }

bool rule_is_path(struct span s) {
    return is_made_of(s, 1, RULE_PATH_MAX_BYTES, is_visible, SPAN(" "));
}

bool rule_is_key(struct span s) {
    return is_made_of(s, 1, RULE_KEY_MAX_BYTES, is_visible, SPAN(""));
}

bool rule_is_region(struct span s) {
    return is_made_of(s, 1, RULE_REGION_MAX_BYTES, is_lower_alnum, SPAN("-"));
}

bool rule_is_owner(struct span s) {
    return is_made_of(s, RULE_OWNER_BYTES, RULE_OWNER_BYTES, is_digit, SPAN(""));
}

bool rule_is_log_group(struct span s) {
    return is_made_of(s, 1, RULE_LOG_GROUP_MAX_BYTES, is_alnum, SPAN("_./#-")) &&
           !span_starts(s, SPAN("aws/"));
}

bool rule_is_host(struct span s) {
    char text[INET6_ADDRSTRLEN];
    unsigned char address[16];
    if (s.n == 0 || s.n >= sizeof text || memchr(s.p, '\0', s.n) != NULL)
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    return span_eq(s, SPAN("localhost")) || inet_pton(AF_INET, text, address) == 1 ||
           inet_pton(AF_INET6, text, address) == 1;
}

static bool is_ipv4(struct span s) {
    return rule_is_host(s) && span_find(s, ':') == s.n && span_find(s, '.') < s.n;
}

bool rule_is_bucket(struct span s) {
    if (!is_made_of(s, RULE_BUCKET_MIN_BYTES, RULE_BUCKET_MAX_BYTES, is_lower_alnum, SPAN(".-")))
        return false;
    for (size_t i = 1; i < s.n; i++)
        if (s.p[i] == '.' && s.p[i - 1] == '.')
            return false;
    return is_lower_alnum(s.p[0]) && is_lower_alnum(s.p[s.n - 1]) && !is_ipv4(s);
}

bool rule_is_bucket_prefix(struct span s) {
    return is_made_of(s, 0, RULE_PREFIX_MAX_BYTES, is_lower_alnum, SPAN(".-")) &&
           (s.n == 0 || is_lower_alnum(s.p[0]));
}

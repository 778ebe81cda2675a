#include "settings.h"

#include <string.h>

#include "fileservice/base/banned.h"

#define GIB UINT64_C(1073741824)
#define WORKERS_MAX 256
#define MAX_CONNECTIONS_MAX 1000000
#define PART_MAX_BYTES (5 * GIB) /* S3's largest part */

static const struct setting_word environments[] = {{"production", CONFIG_PRODUCTION},
                                                   {"testing", CONFIG_TESTING},
                                                   {"development", CONFIG_DEVELOPMENT},
                                                   {NULL, 0}};
static const struct setting_word addressings[] = {{"auto", CONFIG_ADDRESSING_AUTO},
                                                  {"path", CONFIG_ADDRESSING_PATH},
                                                  {"virtual", CONFIG_ADDRESSING_VIRTUAL},
                                                  {NULL, 0}};
static const struct setting_word levels[] = {{"debug", LOG_DEBUG}, {"info", LOG_INFO},
                                             {"warn", LOG_WARN},   {"warning", LOG_WARN},
                                             {"error", LOG_ERROR}, {NULL, 0}};
static const struct setting_word formats[] = {{"json", LOG_JSON}, {"text", LOG_TEXT}, {NULL, 0}};
/* CloudWatch Logs API reference, PutRetentionPolicy; 0: not set */
static const struct setting_word retentions[] = {
    {"0", 0},       {"1", 1},       {"3", 3},       {"5", 5},       {"7", 7},       {"14", 14},
    {"30", 30},     {"60", 60},     {"90", 90},     {"120", 120},   {"150", 150},   {"180", 180},
    {"365", 365},   {"400", 400},   {"545", 545},   {"731", 731},   {"1096", 1096}, {"1827", 1827},
    {"2192", 2192}, {"2557", 2557}, {"2922", 2922}, {"3288", 3288}, {"3653", 3653}, {NULL, 0}};
static const struct setting_word booleans[] = {
    {"true", 1}, {"false", 0}, {"1", 1}, {"0", 0}, {NULL, 0}};

static void derive_s3_endpoint(const struct config *c, unsigned cpus, struct buf *out) {
    (void)cpus;
    if (c->region == NULL)
        return;
    bool china = span_starts(span_of(c->region), SPAN("cn-"));
    buf_append_format(out, "https://s3.%s.amazonaws.com%s", c->region, china ? ".cn" : "");
}

static void derive_public_endpoint(const struct config *c, unsigned cpus, struct buf *out) {
    (void)cpus;
    if (c->s3_endpoint.port != 0)
        url_append_origin(out, &c->s3_endpoint);
}

static void derive_logs_endpoint(const struct config *c, unsigned cpus, struct buf *out) {
    (void)cpus;
    if (c->region == NULL)
        return;
    bool china = span_starts(span_of(c->region), SPAN("cn-"));
    buf_append_format(out, "https://logs.%s.amazonaws.com%s", c->region, china ? ".cn" : "");
}

static void derive_workers(const struct config *c, unsigned cpus, struct buf *out) {
    (void)c;
    unsigned most = cpus > WORKERS_MAX ? WORKERS_MAX : cpus;
    buf_append_u64(out, most < 1 ? 1 : most);
}

static void derive_log_level(const struct config *c, unsigned cpus, struct buf *out) {
    (void)cpus;
    buf_append_text(out, c->environment == CONFIG_DEVELOPMENT ? "debug" : "info");
}

static void derive_log_format(const struct config *c, unsigned cpus, struct buf *out) {
    (void)cpus;
    buf_append_text(out, c->environment == CONFIG_DEVELOPMENT ? "text" : "json");
}

#define FIELD(field)                                                                               \
    .offset = offsetof(struct config, field), .size = sizeof(((struct config *)0)->field)
#define NUMBER(n, field, standard, least, most)                                                    \
    {                                                                                              \
        .name = (n), .kind = SETTING_NUMBER, FIELD(field), .initial = (standard), .min = (least),  \
        .max = (most)                                                                              \
    }
#define WORD(n, field, standard, list)                                                             \
    { .name = (n), .kind = SETTING_WORD, FIELD(field), .initial = (standard), .words = (list) }

#define RULE_KEY "must be 1 to 8192 visible characters, no blanks among them"
#define RULE_HOST "must be an IP address or localhost"

/* In the order of README.md. A default that is derived stands below what it is derived from. */
const struct setting settings[] = {
    {.name = "AWS_ACCESS_KEY_ID", FIELD(access_key_id), .is_good = rule_is_key, .rule = RULE_KEY},
    {.name = "AWS_SECRET_ACCESS_KEY",
     .secret = true,
     FIELD(secret_access_key),
     .is_good = rule_is_key,
     .rule = RULE_KEY},
    {.name = "AWS_SESSION_TOKEN",
     .secret = true,
     FIELD(session_token),
     .is_good = rule_is_key,
     .rule = RULE_KEY},
    {.name = "AWS_DEFAULT_REGION",
     .other_name = "AWS_REGION",
     .required = true,
     FIELD(region),
     .is_good = rule_is_region,
     .rule = "must be a region like us-east-1: 1 to 32 of a-z, 0-9 and -"},
    {.name = "S3_EXPECTED_BUCKET_OWNER",
     FIELD(expected_bucket_owner),
     .is_good = rule_is_owner,
     .rule = "must be an account id of 12 digits"},
    {.name = "AWS_S3_ENDPOINT",
     .other_name = "AWS_ENDPOINT_URL_S3",
     .kind = SETTING_ENDPOINT,
     FIELD(s3_endpoint),
     .derive = derive_s3_endpoint},
    {.name = "AWS_S3_PUBLIC_ENDPOINT",
     .kind = SETTING_ENDPOINT,
     FIELD(s3_public_endpoint),
     .derive = derive_public_endpoint},
    WORD("AWS_S3_ADDRESSING_STYLE", s3_addressing, "auto", addressings),
    {.name = "AWS_CLOUDWATCH_LOGS_ENDPOINT",
     .kind = SETTING_ENDPOINT,
     FIELD(logs_endpoint),
     .derive = derive_logs_endpoint},
    {.name = "AWS_CLOUDWATCH_LOGS_LOG_GROUP",
     FIELD(log_group),
     .is_good = rule_is_log_group,
     .rule = "must be 1 to 512 of A-Z, a-z, 0-9 and _./#- and must not begin with aws/"},
    WORD("AWS_CLOUDWATCH_LOGS_RETENTION_DAYS", log_retention_days, "30", retentions),
    NUMBER("LOG_QUEUE_BYTES", log_queue_bytes, "8388608", CONFIG_LOG_QUEUE_MIN_BYTES, GIB),

    {.name = "CORS_ORIGINS", .kind = SETTING_ORIGINS, FIELD(cors_origins), .initial = "*"},
    WORD("ENVIRONMENT", environment, "production", environments),
    {.name = "HOST", FIELD(host), .initial = "0.0.0.0", .is_good = rule_is_host, .rule = RULE_HOST},
    NUMBER("PORT", port, "5000", 1, UINT16_MAX),
    {.name = "ADMIN_HOST",
     FIELD(admin_host),
     .initial = "127.0.0.1",
     .is_good = rule_is_host,
     .rule = RULE_HOST},
    NUMBER("ADMIN_PORT", admin_port, "9464", 0, UINT16_MAX),
    {.name = "WORKERS",
     .kind = SETTING_NUMBER,
     FIELD(workers),
     .derive = derive_workers,
     .min = 1,
     .max = WORKERS_MAX},
    NUMBER("MAX_CONNECTIONS", max_connections, "10000", 1, MAX_CONNECTIONS_MAX),
    // NOLINTNEXTLINE(bugprone-sizeof-expression): the size of the field, a pointer, is meant
    {.name = "TRUSTED_PROXIES", .kind = SETTING_CIDRS, FIELD(trusted_proxies)},

    {.name = "BUCKET_PREFIX",
     FIELD(bucket_prefix),
     .initial = "",
     .is_good = rule_is_bucket_prefix,
     .rule = "must be at most 40 of a-z, 0-9, . and - and begin with a letter or digit"},
    {.name = "BUCKET_ALLOWLIST",
     .kind = SETTING_LIST,
     FIELD(bucket_allowlist),
     .is_good = rule_is_bucket,
     .rule = "must be a bucket name: 3 to 63 of a-z, 0-9, . and -, beginning and ending with a "
             "letter or digit"},
    WORD("BUCKET_AUTO_CREATE", bucket_auto_create, "true", booleans),
    NUMBER("PRESIGN_EXPIRES_SECONDS", presign_expires_s, "86400", 1, CONFIG_EXPIRES_MAX_SECONDS),
    NUMBER("UPLOAD_MAX_BYTES", upload_max_bytes, "53687091200", 1,
           CONFIG_PARTS_MAX *PART_MAX_BYTES),
    NUMBER("UPLOAD_PART_BYTES", upload_part_bytes, "8388608", CONFIG_PART_MIN_BYTES,
           PART_MAX_BYTES),
    NUMBER("UPLOAD_MEMORY_BYTES", upload_memory_bytes, "268435456",
           UINT64_C(4) * CONFIG_PART_MIN_BYTES, 1024 * GIB),
    NUMBER("UPLOAD_SWEEP_AGE_HOURS", upload_sweep_age_hours, "0", 0, 8760),
    {.name = "API_KEYS",
     .kind = SETTING_LIST,
     .secret = true,
     FIELD(api_keys),
     .is_good = rule_is_key,
     .rule = RULE_KEY},
    {.name = "API_KEYS_FILE",
     FIELD(api_keys_file),
     .is_good = rule_is_path,
     .rule = "must be the path of a file"},

    NUMBER("CLIENT_HEADER_TIMEOUT_SECONDS", client_header_timeout_s, "15", 1, 3600),
    NUMBER("CLIENT_IDLE_TIMEOUT_SECONDS", client_idle_timeout_s, "75", 1, 86400),
    NUMBER("CLIENT_MIN_BYTES_PER_SECOND", client_min_bytes_per_s, "1024", 0, GIB),
    NUMBER("S3_CONNECT_TIMEOUT_MS", s3_connect_timeout_ms, "3000", 1, 600000),
    NUMBER("S3_TIMEOUT_MS", s3_timeout_ms, "30000", 1, 3600000),
    NUMBER("S3_MAX_ATTEMPTS", s3_max_attempts, "3", 1, 10),
    NUMBER("SHUTDOWN_TIMEOUT_SECONDS", shutdown_timeout_s, "25", 1, 3600),
    NUMBER("SHUTDOWN_DELAY_SECONDS", shutdown_delay_s, "2", 0, 3600),

    {.name = "LOG_LEVEL",
     .kind = SETTING_WORD,
     FIELD(log_level),
     .derive = derive_log_level,
     .words = levels},
    {.name = "LOG_FORMAT",
     .kind = SETTING_WORD,
     FIELD(log_format),
     .derive = derive_log_format,
     .words = formats},
};
const size_t settings_count = sizeof settings / sizeof *settings;

const struct setting *settings_find(const char *name) {
    for (size_t i = 0; i < settings_count; i++)
        if (strcmp(settings[i].name, name) == 0)
            return &settings[i];
    return NULL;
}

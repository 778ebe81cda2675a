#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fileservice/base/banned.h"

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))
#define ROWS_MAX 64
#define TEXT_MAX_BYTES 65536

/* A made-up environment with one made-up file. */
struct environment {
    const char *rows[ROWS_MAX][2];
    size_t count;
    const char *file; /* content; NULL: no such file */
    enum err file_error;
    unsigned cpus; /* 0: 3 */
};

static void put(struct environment *e, const char *name, const char *value) {
    assert_true(e->count < ROWS_MAX);
    e->rows[e->count][0] = name;
    e->rows[e->count++][1] = value;
}

static const char *get(void *context, const char *name) {
    const struct environment *e = context;
    for (size_t i = e->count; i-- > 0;)
        if (strcmp(e->rows[i][0], name) == 0)
            return e->rows[i][1];
    return strcmp(name, "AWS_DEFAULT_REGION") == 0 ? "us-east-1" : NULL;
}

static enum err read_file(void *context, const char *path, struct buf *out) {
    const struct environment *e = context;
    assert_string_equal(path, "/keys");
    if (e->file_error != ERR_OK)
        return e->file_error;
    buf_append_text(out, e->file);
    return buf_error(out);
}

/* Reads, and prints either the settings or the faults into `text`. */
static enum err read_into(const struct environment *e, struct config *c, struct buf *text) {
    struct config_source source = {get, read_file, (void *)(uintptr_t)e, e->cpus ? e->cpus : 3};
    memset(c, 0, sizeof *c);
    buf_init(text, TEXT_MAX_BYTES);
    enum err got = config_read(&source, c, text);
    if (got == ERR_OK) {
        assert_int_equal(text->n, 0);
        config_print(c, text);
    } else {
        static const struct config untouched;
        assert_memory_equal(c, &untouched, sizeof untouched);
        assert_true(text->n > 0);
    }
    assert_int_equal(buf_error(text), ERR_OK);
    return got;
}

static size_t count_lines(const char *text) {
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

static bool has_line_that_starts(const char *text, const char *start) {
    const char *at = text;
    while ((at = strstr(at, start)) != NULL) {
        if (at == text || at[-1] == '\n')
            return true;
        at++;
    }
    return false;
}

/* Reads and expects the line NAME=want, or with want NULL exactly one fault, of NAME. */
static void check(const struct environment *e, const char *name, const char *want) {
    struct config c;
    struct buf text;
    char line[1024];
    enum err got = read_into(e, &c, &text);
    (void)snprintf(line, sizeof line, "%s%s%s%s", name, want == NULL ? ": " : "=",
                   want == NULL ? "" : want, want == NULL ? "" : "\n");
    if (got != (want == NULL ? ERR_BAD_INPUT : ERR_OK) ||
        !has_line_that_starts(buf_text(&text), line) ||
        (want == NULL && count_lines(buf_text(&text)) != 1))
        fail_msg("%s: wanted %s, got %s", name, line, buf_text(&text));
    buf_done(&text);
    config_done(&c);
}

static void check_value(const char *name, const char *value, const char *want) {
    struct environment e = {.count = 0};
    put(&e, name, value);
    check(&e, name, want);
}

static const char defaults[] = "AWS_ACCESS_KEY_ID=\n"
                               "AWS_SECRET_ACCESS_KEY=\n"
                               "AWS_SESSION_TOKEN=\n"
                               "AWS_DEFAULT_REGION=us-east-1\n"
                               "S3_EXPECTED_BUCKET_OWNER=\n"
                               "AWS_S3_ENDPOINT=https://s3.us-east-1.amazonaws.com\n"
                               "AWS_S3_PUBLIC_ENDPOINT=https://s3.us-east-1.amazonaws.com\n"
                               "AWS_S3_ADDRESSING_STYLE=auto\n"
                               "AWS_CLOUDWATCH_LOGS_ENDPOINT=https://logs.us-east-1.amazonaws.com\n"
                               "AWS_CLOUDWATCH_LOGS_LOG_GROUP=\n"
                               "AWS_CLOUDWATCH_LOGS_RETENTION_DAYS=30\n"
                               "LOG_QUEUE_BYTES=8388608\n"
                               "CORS_ORIGINS=*\n"
                               "ENVIRONMENT=production\n"
                               "HOST=0.0.0.0\n"
                               "PORT=5000\n"
                               "ADMIN_HOST=127.0.0.1\n"
                               "ADMIN_PORT=9464\n"
                               "WORKERS=3\n"
                               "MAX_CONNECTIONS=10000\n"
                               "TRUSTED_PROXIES=\n"
                               "BUCKET_PREFIX=\n"
                               "BUCKET_ALLOWLIST=\n"
                               "BUCKET_AUTO_CREATE=true\n"
                               "PRESIGN_EXPIRES_SECONDS=86400\n"
                               "UPLOAD_MAX_BYTES=53687091200\n"
                               "UPLOAD_PART_BYTES=8388608\n"
                               "UPLOAD_MEMORY_BYTES=268435456\n"
                               "UPLOAD_SWEEP_AGE_HOURS=0\n"
                               "API_KEYS=\n"
                               "API_KEYS_FILE=\n"
                               "CLIENT_HEADER_TIMEOUT_SECONDS=15\n"
                               "CLIENT_IDLE_TIMEOUT_SECONDS=75\n"
                               "CLIENT_MIN_BYTES_PER_SECOND=1024\n"
                               "S3_CONNECT_TIMEOUT_MS=3000\n"
                               "S3_TIMEOUT_MS=30000\n"
                               "S3_MAX_ATTEMPTS=3\n"
                               "SHUTDOWN_TIMEOUT_SECONDS=25\n"
                               "SHUTDOWN_DELAY_SECONDS=2\n"
                               "LOG_LEVEL=info\n"
                               "LOG_FORMAT=json\n";

static void every_default_is_as_promised(void **state) {
    (void)state;
    struct environment e = {.count = 0};
    struct config c;
    struct buf text;
    assert_int_equal(read_into(&e, &c, &text), ERR_OK);
    assert_string_equal(buf_text(&text), defaults);
    assert_null(c.access_key_id);
    assert_null(c.log_group);
    assert_string_equal(c.bucket_prefix, "");
    assert_true(c.cors_any);
    assert_int_equal(c.cors_origins.count, 0);
    assert_false(c.s3_endpoint_custom);
    assert_false(c.s3_public_endpoint_custom);
    assert_true(c.s3_endpoint.tls);
    assert_int_equal(c.s3_endpoint.port, 443);
    assert_int_equal(c.environment, CONFIG_PRODUCTION);
    assert_int_equal(c.log_level, LOG_INFO);
    assert_int_equal(c.upload_max_bytes, UINT64_C(50) << 30);
    config_done(&c);
    buf_done(&text);
}

static void an_empty_value_counts_as_unset(void **state) {
    (void)state;
    struct environment e = {.count = 0};
    struct config c;
    struct buf text;
    for (size_t i = 0; i < settings_count; i++)
        if (!settings[i].required)
            put(&e, settings[i].name, "");
    assert_int_equal(read_into(&e, &c, &text), ERR_OK);
    assert_string_equal(buf_text(&text), defaults);
    config_done(&c);
    buf_done(&text);
}

static void a_number_outside_its_bounds_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint64_t min;
        uint64_t max;
        const char *with; /* another setting, so that no check across settings is in the way */
        const char *value;
    } rows[] = {
        {"PORT", 1, 65535, NULL, NULL},
        {"ADMIN_PORT", 0, 65535, NULL, NULL},
        {"WORKERS", 1, 256, NULL, NULL},
        {"MAX_CONNECTIONS", 1, 1000000, NULL, NULL},
        {"PRESIGN_EXPIRES_SECONDS", 1, 604800, NULL, NULL},
        {"UPLOAD_MAX_BYTES", 1, 53687091200000, "UPLOAD_MEMORY_BYTES", "21474836480"},
        {"UPLOAD_PART_BYTES", 5242880, 5368709120, "UPLOAD_MEMORY_BYTES", "21474836480"},
        {"CLIENT_HEADER_TIMEOUT_SECONDS", 1, 3600, NULL, NULL},
        {"CLIENT_IDLE_TIMEOUT_SECONDS", 1, 86400, NULL, NULL},
        {"CLIENT_MIN_BYTES_PER_SECOND", 0, 1073741824, NULL, NULL},
        {"S3_CONNECT_TIMEOUT_MS", 1, 600000, NULL, NULL},
        {"S3_TIMEOUT_MS", 1, 3600000, NULL, NULL},
        {"S3_MAX_ATTEMPTS", 1, 10, NULL, NULL},
        {"SHUTDOWN_TIMEOUT_SECONDS", 1, 3600, "SHUTDOWN_DELAY_SECONDS", "0"},
        {"SHUTDOWN_DELAY_SECONDS", 0, 3600, "SHUTDOWN_TIMEOUT_SECONDS", "3600"},
        {"UPLOAD_MEMORY_BYTES", 20971520, 1099511627776, NULL, NULL},
        {"UPLOAD_SWEEP_AGE_HOURS", 0, 8760, NULL, NULL},
        {"LOG_QUEUE_BYTES", 1048576, 1073741824, NULL, NULL},
    };
    size_t numbers = 0;
    for (size_t i = 0; i < settings_count; i++)
        numbers += settings[i].kind == SETTING_NUMBER;
    assert_int_equal(numbers, COUNT(rows));
    for (size_t i = 0; i < COUNT(rows); i++) {
        const uint64_t values[] = {rows[i].min - 1, rows[i].min, rows[i].max, rows[i].max + 1};
        for (size_t k = 0; k < COUNT(values); k++) {
            struct environment e = {.count = 0};
            char text[32];
            if (k == 0 && rows[i].min == 0)
                continue;
            (void)snprintf(text, sizeof text, "%llu", (unsigned long long)values[k]);
            put(&e, rows[i].name, text);
            if (rows[i].with != NULL)
                put(&e, rows[i].with, rows[i].value);
            if (strcmp(rows[i].name, "UPLOAD_MEMORY_BYTES") == 0) {
                put(&e, "UPLOAD_PART_BYTES", "5242880");
                put(&e, "UPLOAD_MAX_BYTES", "1000");
            }
            check(&e, rows[i].name, k == 0 || k == 3 ? NULL : text);
        }
    }
}

static void what_is_no_plain_number_is_refused(void **state) {
    (void)state;
    static const char *const values[] = {"-1",  "+5", " 5",  "5 ",   "5\n",
                                         "0x5", "5s", "5.0", "five", "18446744073709551616"};
    for (size_t i = 0; i < settings_count; i++)
        for (size_t k = 0; settings[i].kind == SETTING_NUMBER && k < COUNT(values); k++)
            check_value(settings[i].name, values[k], NULL);
}

static void a_value_is_read_or_refused_by_its_rule(void **state) {
    (void)state;
    static const char digits40[] = "0123456789012345678901234567890123456789";
    static const struct {
        const char *name;
        const char *in;
        const char *want; /* printed; NULL: refused */
    } rows[] = {
        {"AWS_DEFAULT_REGION", "eu-central-1", "eu-central-1"},
        {"AWS_DEFAULT_REGION", "EU", NULL},
        {"AWS_DEFAULT_REGION", "a.b", NULL},
        {"AWS_DEFAULT_REGION", "abcdefghijklmnopqrstuvwxyz-01234",
         "abcdefghijklmnopqrstuvwxyz-01234"},
        {"AWS_DEFAULT_REGION", "abcdefghijklmnopqrstuvwxyz-012345", NULL},
        {"S3_EXPECTED_BUCKET_OWNER", "123456789012", "123456789012"},
        {"S3_EXPECTED_BUCKET_OWNER", "12345678901", NULL},
        {"S3_EXPECTED_BUCKET_OWNER", "1234567890123", NULL},
        {"S3_EXPECTED_BUCKET_OWNER", "12345678901x", NULL},
        {"AWS_S3_ENDPOINT", "http://LocalHost:4566/", "http://localhost:4566"},
        {"AWS_S3_ENDPOINT", "https://s3.example:443", "https://s3.example"},
        {"AWS_S3_ENDPOINT", "s3.example", NULL},
        {"AWS_S3_ENDPOINT", "https://user:pass@s3.example", NULL},
        {"AWS_S3_ENDPOINT", "https://s3.example/path", NULL},
        {"AWS_S3_PUBLIC_ENDPOINT", "https://[::1]:9000", "https://[::1]:9000"},
        {"AWS_S3_PUBLIC_ENDPOINT", "ftp://a", NULL},
        {"AWS_S3_ADDRESSING_STYLE", "path", "path"},
        {"AWS_S3_ADDRESSING_STYLE", "VIRTUAL", "virtual"},
        {"AWS_S3_ADDRESSING_STYLE", "paths", NULL},
        {"AWS_CLOUDWATCH_LOGS_RETENTION_DAYS", "0", "0"},
        {"AWS_CLOUDWATCH_LOGS_RETENTION_DAYS", "3653", "3653"},
        {"AWS_CLOUDWATCH_LOGS_RETENTION_DAYS", "2", NULL},
        {"AWS_CLOUDWATCH_LOGS_RETENTION_DAYS", "-1", NULL},
        {"AWS_CLOUDWATCH_LOGS_ENDPOINT", "http://127.0.0.1:4566", "http://127.0.0.1:4566"},
        {"AWS_CLOUDWATCH_LOGS_ENDPOINT", "nothing", NULL},
        {"AWS_CLOUDWATCH_LOGS_LOG_GROUP", "/a/B-1_.#", "/a/B-1_.#"},
        {"AWS_CLOUDWATCH_LOGS_LOG_GROUP", "aws/lambda", NULL},
        {"AWS_CLOUDWATCH_LOGS_LOG_GROUP", "/aws/lambda", "/aws/lambda"},
        {"AWS_CLOUDWATCH_LOGS_LOG_GROUP", "a b", NULL},
        {"CORS_ORIGINS", " * ", "*"},
        {"CORS_ORIGINS", "HTTPS://App.Example, http://localhost:3000",
         "https://app.example,http://localhost:3000"},
        {"CORS_ORIGINS", "https://a:443,http://b:80,http://c:443",
         "https://a,http://b,http://c:443"},
        {"CORS_ORIGINS", "capacitor://localhost,chrome-extension://abc",
         "capacitor://localhost,chrome-extension://abc"},
        {"CORS_ORIGINS", "https://a,*", NULL},
        {"CORS_ORIGINS", "https://a/", NULL},
        {"CORS_ORIGINS", "https://a/b", NULL},
        {"CORS_ORIGINS", "https://", NULL},
        {"CORS_ORIGINS", "a.example", NULL},
        {"CORS_ORIGINS", "null", NULL},
        {"CORS_ORIGINS", "https://u@a", NULL},
        {"CORS_ORIGINS", "https://a:0", NULL},
        {"CORS_ORIGINS", "1x://a", NULL},
        {"CORS_ORIGINS", "://a", NULL},
        {"CORS_ORIGINS", " , ", NULL},
        {"ENVIRONMENT", "development", "development"},
        {"ENVIRONMENT", "testing", "testing"},
        {"ENVIRONMENT", "staging", NULL},
        {"HOST", "::", "::"},
        {"HOST", "localhost", "localhost"},
        {"HOST", "10.1.2.3", "10.1.2.3"},
        {"HOST", "[::]", NULL},
        {"HOST", "10.1.2", NULL},
        {"HOST", "example.com", NULL},
        {"ADMIN_HOST", "::1", "::1"},
        {"ADMIN_HOST", "127.0.0.1:9464", NULL},
        {"TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8::/32", "10.0.0.0/8,2001:db8::/32"},
        {"TRUSTED_PROXIES", "10.1.2.3/8", "10.0.0.0/8"},
        {"TRUSTED_PROXIES", "10.1.2.3/12", "10.0.0.0/12"},
        {"TRUSTED_PROXIES", "10.1.2.3,::1", "10.1.2.3/32,::1/128"},
        {"TRUSTED_PROXIES", "0.0.0.0/0,::/0", "0.0.0.0/0,::/0"},
        {"TRUSTED_PROXIES", "::ffff:10.0.0.0/104", "10.0.0.0/8"},
        {"TRUSTED_PROXIES", "10.0.0.0/33", NULL},
        {"TRUSTED_PROXIES", "::/129", NULL},
        {"TRUSTED_PROXIES", "10.0.0.0/", NULL},
        {"TRUSTED_PROXIES", "/8", NULL},
        {"TRUSTED_PROXIES", "10.0.0.0/-1", NULL},
        {"TRUSTED_PROXIES", "10.0.0/8", NULL},
        {"TRUSTED_PROXIES", "proxy", NULL},
        {"TRUSTED_PROXIES", ",", NULL},
        {"BUCKET_PREFIX", "team-a.", "team-a."},
        {"BUCKET_PREFIX", digits40, digits40},
        {"BUCKET_PREFIX", "01234567890123456789012345678901234567890", NULL},
        {"BUCKET_PREFIX", "-a", NULL},
        {"BUCKET_PREFIX", "A", NULL},
        {"BUCKET_PREFIX", "a_b", NULL},
        {"BUCKET_ALLOWLIST", " one ,two,,three ", "one,two,three"},
        {"BUCKET_ALLOWLIST", "one\ntwo", "one,two"},
        {"BUCKET_ALLOWLIST", "a.b-c", "a.b-c"},
        {"BUCKET_ALLOWLIST", "ab", NULL},
        {"BUCKET_ALLOWLIST", "One", NULL},
        {"BUCKET_ALLOWLIST", "a..b", NULL},
        {"BUCKET_ALLOWLIST", "abc-", NULL},
        {"BUCKET_ALLOWLIST", "10.0.0.1", NULL},
        {"BUCKET_ALLOWLIST", "one two", NULL},
        {"BUCKET_ALLOWLIST", " ", NULL},
        {"BUCKET_AUTO_CREATE", "false", "false"},
        {"BUCKET_AUTO_CREATE", "0", "false"},
        {"BUCKET_AUTO_CREATE", "1", "true"},
        {"BUCKET_AUTO_CREATE", "yes", NULL},
        {"LOG_LEVEL", "debug", "debug"},
        {"LOG_LEVEL", "WARNING", "warn"},
        {"LOG_LEVEL", "error", "error"},
        {"LOG_LEVEL", "trace", NULL},
        {"LOG_FORMAT", "text", "text"},
        {"LOG_FORMAT", "xml", NULL},
        {"API_KEYS", "one,two", "<hidden>"},
        {"API_KEYS", "one two", NULL},
        {"API_KEYS", "one\ttwo", NULL},
        {"API_KEYS", "one\x01", NULL},
        {"API_KEYS", " , ", NULL},
        {"API_KEYS_FILE", "/ke\nys", NULL},
        {"AWS_SESSION_TOKEN", "a/b+c=", "<hidden>"},
        {"AWS_SESSION_TOKEN", "token\n", NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        check_value(rows[i].name, rows[i].in, rows[i].want);
}

static void a_text_beyond_its_length_is_refused(void **state) {
    (void)state;
    static const struct {
        bool (*rule)(struct span s);
        size_t min;
        size_t max;
    } rows[] = {
        {rule_is_path, 1, 4095},        {rule_is_key, 1, 8192},      {rule_is_region, 1, 32},
        {rule_is_owner, 12, 12},        {rule_is_log_group, 1, 512}, {rule_is_bucket, 3, 63},
        {rule_is_bucket_prefix, 0, 40},
    };
    char ones[8200];
    memset(ones, '1', sizeof ones);
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t n = 0; n <= sizeof ones; n++)
            assert_int_equal(rows[i].rule((struct span){ones, n}),
                             n >= rows[i].min && n <= rows[i].max);
}

static void the_first_name_wins_over_the_other(void **state) {
    (void)state;
    struct environment e = {.count = 0};
    put(&e, "AWS_DEFAULT_REGION", "");
    put(&e, "AWS_REGION", "eu-west-1");
    put(&e, "AWS_ENDPOINT_URL_S3", "http://other:1");
    check(&e, "AWS_DEFAULT_REGION", "eu-west-1");
    check(&e, "AWS_S3_ENDPOINT", "http://other:1");
    put(&e, "AWS_DEFAULT_REGION", "eu-west-2");
    put(&e, "AWS_S3_ENDPOINT", "http://first:2");
    check(&e, "AWS_DEFAULT_REGION", "eu-west-2");
    check(&e, "AWS_S3_ENDPOINT", "http://first:2");
    put(&e, "AWS_DEFAULT_REGION", "");
    put(&e, "AWS_REGION", "EU");
    check(&e, "AWS_REGION", NULL); /* the fault names what was set */
}

static void a_missing_region_is_one_fault(void **state) {
    (void)state;
    struct environment e = {.count = 0};
    put(&e, "AWS_DEFAULT_REGION", "");
    check(&e, "AWS_DEFAULT_REGION", NULL);
}

static void endpoints_follow_the_region(void **state) {
    (void)state;
    struct environment e = {.count = 0};
    put(&e, "AWS_DEFAULT_REGION", "cn-north-1");
    check(&e, "AWS_S3_ENDPOINT", "https://s3.cn-north-1.amazonaws.com.cn");
    check(&e, "AWS_CLOUDWATCH_LOGS_ENDPOINT", "https://logs.cn-north-1.amazonaws.com.cn");
    put(&e, "AWS_S3_ENDPOINT", "http://minio:9000");
    check(&e, "AWS_S3_PUBLIC_ENDPOINT", "http://minio:9000");
    put(&e, "AWS_S3_PUBLIC_ENDPOINT", "https://files.example");
    check(&e, "AWS_S3_PUBLIC_ENDPOINT", "https://files.example");

    struct config c;
    struct buf text;
    assert_int_equal(read_into(&e, &c, &text), ERR_OK);
    assert_true(c.s3_endpoint_custom);
    assert_true(c.s3_public_endpoint_custom);
    assert_string_equal(c.s3_endpoint.host, "minio");
    assert_int_equal(c.s3_endpoint.port, 9000);
    config_done(&c);
    buf_done(&text);
}

static void logs_follow_the_environment(void **state) {
    (void)state;
    struct environment e = {.count = 0};
    put(&e, "ENVIRONMENT", "testing");
    check(&e, "LOG_LEVEL", "info");
    check(&e, "LOG_FORMAT", "json");
    put(&e, "ENVIRONMENT", "development");
    check(&e, "LOG_LEVEL", "debug");
    check(&e, "LOG_FORMAT", "text");
    put(&e, "LOG_LEVEL", "error");
    put(&e, "LOG_FORMAT", "json");
    check(&e, "LOG_LEVEL", "error");
    check(&e, "LOG_FORMAT", "json");
}

static void workers_never_pass_their_maximum(void **state) {
    (void)state;
    struct environment e = {.cpus = 1000};
    check(&e, "WORKERS", "256");
    e.cpus = 1;
    check(&e, "WORKERS", "1");
}

static void half_a_pair_of_keys_is_refused(void **state) {
    (void)state;
    struct environment e = {.count = 0};
    put(&e, "AWS_ACCESS_KEY_ID", "AKIDEXAMPLE");
    check(&e, "AWS_SECRET_ACCESS_KEY", NULL);
    put(&e, "AWS_SECRET_ACCESS_KEY", "secret");
    check(&e, "AWS_ACCESS_KEY_ID", "AKIDEXAMPLE");
    check(&e, "AWS_SECRET_ACCESS_KEY", "<hidden>");
    put(&e, "AWS_ACCESS_KEY_ID", "");
    check(&e, "AWS_ACCESS_KEY_ID", NULL);
}

static void a_part_must_fit_a_quarter_of_the_memory(void **state) {
    (void)state;
    static const struct {
        const char *memory;
        const char *part;
        const char *max;
        const char *fault; /* NULL: good */
    } rows[] = {
        {"33554432", "8388608", "53687091200", NULL},
        {"33554431", "8388608", "53687091200", "UPLOAD_PART_BYTES"},
        {"33554432", "8388609", "53687091200", "UPLOAD_PART_BYTES"},
        {"33554432", "8388608", "83886080000", NULL}, /* 10,000 parts of 8 MiB */
        {"33554432", "8388608", "83886080001", "UPLOAD_MAX_BYTES"},
        {"37748736", "8388608", "83886080001", NULL},
        {"20971520", "5242880", "52428800000", NULL}, /* 10,000 parts of 5 MiB */
        {"20971520", "5242880", "52428800001", "UPLOAD_MAX_BYTES"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct environment e = {.count = 0};
        put(&e, "UPLOAD_MEMORY_BYTES", rows[i].memory);
        put(&e, "UPLOAD_PART_BYTES", rows[i].part);
        put(&e, "UPLOAD_MAX_BYTES", rows[i].max);
        if (rows[i].fault != NULL)
            check(&e, rows[i].fault, NULL);
        else
            check(&e, "UPLOAD_MAX_BYTES", rows[i].max);
    }
}

static void a_fault_of_the_part_size_names_what_it_hangs_on(void **state) {
    (void)state;
    struct environment e = {.count = 0};
    struct config c;
    struct buf text;
    put(&e, "UPLOAD_MEMORY_BYTES", "20971520");
    put(&e, "UPLOAD_PART_BYTES", "6291456");
    put(&e, "UPLOAD_MAX_BYTES", "62914560000");
    put(&e, "SHUTDOWN_TIMEOUT_SECONDS", "1");
    assert_int_equal(read_into(&e, &c, &text), ERR_BAD_INPUT);
    assert_string_equal(
        buf_text(&text),
        "UPLOAD_PART_BYTES: must be at most 5242880, a quarter of UPLOAD_MEMORY_BYTES\n"
        "UPLOAD_MAX_BYTES: an upload of that size in 10000 parts needs parts of 6291456 bytes, "
        "more than a quarter of UPLOAD_MEMORY_BYTES; must be at most 52428800000, or "
        "UPLOAD_MEMORY_BYTES at least 25165824\n"
        "SHUTDOWN_DELAY_SECONDS: must be at most SHUTDOWN_TIMEOUT_SECONDS, which is 1\n");
    buf_done(&text);
}

static void the_delay_must_fit_the_shutdown(void **state) {
    (void)state;
    struct environment e = {.count = 0};
    put(&e, "SHUTDOWN_TIMEOUT_SECONDS", "9");
    put(&e, "SHUTDOWN_DELAY_SECONDS", "9");
    check(&e, "SHUTDOWN_DELAY_SECONDS", "9");
    put(&e, "SHUTDOWN_DELAY_SECONDS", "10");
    check(&e, "SHUTDOWN_DELAY_SECONDS", NULL);
}

static void keys_of_a_file_are_added(void **state) {
    (void)state;
    struct environment e = {.file = "\r\n two\r\nthree,\n\nfour"};
    struct config c;
    struct buf text;
    put(&e, "API_KEYS", "one");
    put(&e, "API_KEYS_FILE", "/keys");
    assert_int_equal(read_into(&e, &c, &text), ERR_OK);
    static const char *const want[] = {"one", "two", "three", "four"};
    assert_int_equal(c.api_keys.count, COUNT(want));
    for (size_t i = 0; i < COUNT(want); i++)
        assert_string_equal(c.api_keys.items[i], want[i]);
    config_done(&c);
    buf_done(&text);
}

static void a_useless_file_of_keys_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *file;
        enum err error;
    } rows[] = {
        {"", ERR_OK},          {" \n\n", ERR_OK},  {"a key\n", ERR_OK},
        {NULL, ERR_NOT_FOUND}, {NULL, ERR_SYSTEM}, {NULL, ERR_LIMIT},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct environment e = {.file = rows[i].file, .file_error = rows[i].error};
        put(&e, "API_KEYS_FILE", "/keys");
        check(&e, "API_KEYS_FILE", NULL);
    }
}

static void all_faults_come_at_once(void **state) {
    (void)state;
    struct environment e = {.file_error = ERR_NOT_FOUND};
    struct config c;
    struct buf text;
    for (size_t i = 0; i < settings_count; i++)
        put(&e, settings[i].name, "\x02 bad \x02");
    put(&e, "API_KEYS_FILE", "/keys");
    assert_int_equal(read_into(&e, &c, &text), ERR_BAD_INPUT);
    assert_int_equal(count_lines(buf_text(&text)), settings_count);
    for (size_t i = 0; i < settings_count; i++) {
        char start[64];
        (void)snprintf(start, sizeof start, "%s: ", settings[i].name);
        if (!has_line_that_starts(buf_text(&text), start))
            fail_msg("no fault of %s in:\n%s", settings[i].name, buf_text(&text));
    }
    assert_null(strchr(buf_text(&text), '\x02'));
    buf_done(&text);
}

static void a_secret_is_never_shown(void **state) {
    (void)state;
    struct environment e = {.file = "fourthSECRET fourthSECRET"};
    struct config c;
    struct buf text;
    put(&e, "AWS_ACCESS_KEY_ID", "AKIDEXAMPLE");
    put(&e, "AWS_SECRET_ACCESS_KEY", "firstSECRET \n");
    put(&e, "AWS_SESSION_TOKEN", "secondSECRET \n");
    put(&e, "API_KEYS", "good,thirdSECRET thirdSECRET");
    put(&e, "API_KEYS_FILE", "/keys");
    put(&e, "AWS_S3_ENDPOINT", "https://user:fifthSECRET@host");
    assert_int_equal(read_into(&e, &c, &text), ERR_BAD_INPUT);
    assert_null(strstr(buf_text(&text), "SECRET "));
    assert_null(strstr(buf_text(&text), "SECRET@"));
    assert_null(strstr(buf_text(&text), "good"));
    assert_int_equal(count_lines(buf_text(&text)), 5);
    buf_done(&text);

    e.file = "fourthSECRET";
    put(&e, "AWS_SECRET_ACCESS_KEY", "firstSECRET");
    put(&e, "AWS_SESSION_TOKEN", "secondSECRET");
    put(&e, "API_KEYS", "thirdSECRET");
    put(&e, "AWS_S3_ENDPOINT", "");
    assert_int_equal(read_into(&e, &c, &text), ERR_OK);
    assert_null(strstr(buf_text(&text), "tSECRET"));
    assert_null(strstr(buf_text(&text), "dSECRET"));
    assert_null(strstr(buf_text(&text), "hSECRET"));
    assert_string_equal(c.secret_access_key, "firstSECRET");
    assert_string_equal(c.session_token, "secondSECRET");
    assert_int_equal(c.api_keys.count, 2);
    config_done(&c);
    buf_done(&text);
}

static void a_network_is_stored_as_ipv6(void **state) {
    (void)state;
    static const unsigned char v4[16] = {[10] = 0xFF, [11] = 0xFF, 172, 16, 0, 0};
    static const unsigned char v6[16] = {0x20, 0x01, 0x0d, 0xb8, 0x80};
    struct environment e = {.count = 0};
    struct config c;
    struct buf text;
    put(&e, "TRUSTED_PROXIES", "172.31.255.255/12,2001:db8:ffff::/33");
    assert_int_equal(read_into(&e, &c, &text), ERR_OK);
    assert_int_equal(c.trusted_proxy_count, 2);
    assert_memory_equal(c.trusted_proxies[0].address, v4, 16);
    assert_int_equal(c.trusted_proxies[0].prefix_bits, 108);
    assert_memory_equal(c.trusted_proxies[1].address, v6, 16);
    assert_int_equal(c.trusted_proxies[1].prefix_bits, 33);
    config_done(&c);
    buf_done(&text);
}

/* What is printed, read again, prints the same. */
static void printed_settings_read_the_same(void **state) {
    (void)state;
    struct environment e = {.count = 0};
    struct environment again = {.count = 0};
    struct config c;
    struct buf first;
    struct buf second;
    put(&e, "CORS_ORIGINS", "HTTPS://A:443,http://b:81,app://x");
    put(&e, "TRUSTED_PROXIES", "10.9.9.9/8,::1,2001:db8::/32,1.2.3.4");
    put(&e, "BUCKET_ALLOWLIST", "one, two");
    put(&e, "BUCKET_PREFIX", "p-");
    put(&e, "LOG_LEVEL", "warning");
    put(&e, "BUCKET_AUTO_CREATE", "0");
    put(&e, "AWS_S3_ENDPOINT", "http://[::1]:80/");
    assert_int_equal(read_into(&e, &c, &first), ERR_OK);
    config_done(&c);
    char *copy = strdup(buf_text(&first));
    char *rest = copy;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        char *name = strsep(&line, "=");
        if (line != NULL)
            put(&again, name, line);
    }
    assert_int_equal(again.count, settings_count);
    assert_int_equal(read_into(&again, &c, &second), ERR_OK);
    assert_string_equal(buf_text(&first), buf_text(&second));
    config_done(&c);
    free(copy);
    buf_done(&first);
    buf_done(&second);
}

/* Every prefix of a list is read or refused with one fault of its own name. */
static void a_cut_list_is_read_or_refused(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"CORS_ORIGINS", "https://a.example:8443,http://[::1]:3000,app+x.y-z://h"},
        {"TRUSTED_PROXIES", "10.0.0.0/8,2001:db8::/32,::ffff:1.2.3.4,fe80::1/128"},
        {"BUCKET_ALLOWLIST", "one,two.three,\n,x-y"},
        {"API_KEYS", "one,two three\nfour"},
        {"AWS_S3_ENDPOINT", "https://[2001:db8::1]:9000/"},
        {"HOST", "2001:db8::ffff:1.2.3.4"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t n = 0; n <= strlen(rows[i][1]); n++) {
            struct environment e = {.count = 0};
            struct config c;
            struct buf text;
            char *prefix = strndup(rows[i][1], n);
            put(&e, rows[i][0], prefix);
            if (read_into(&e, &c, &text) != ERR_OK) {
                assert_int_equal(count_lines(buf_text(&text)), 1);
                assert_int_equal(strncmp(buf_text(&text), rows[i][0], strlen(rows[i][0])), 0);
            }
            config_done(&c);
            buf_done(&text);
            free(prefix);
        }
    }
}

static void a_list_has_a_ceiling(void **state) {
    (void)state;
    struct buf keys;
    buf_init(&keys, SETTING_VALUE_MAX_BYTES);
    for (int i = 0; i < SETTING_ITEMS_MAX; i++)
        buf_append_text(&keys, "k,");
    check_value("API_KEYS", buf_text(&keys), "<hidden>");
    buf_append_text(&keys, "k");
    check_value("API_KEYS", buf_text(&keys), NULL);
    buf_done(&keys);
}

static void done_is_harmless_on_nothing(void **state) {
    (void)state;
    struct config c;
    memset(&c, 0, sizeof c);
    config_done(NULL);
    config_done(&c);
    config_done(&c);
}

static void the_process_is_a_source(void **state) {
    (void)state;
    char path[64];
    struct config_source source = config_source_environment();
    struct buf text;
    int fd = memfd_create("keys", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "a\0b\n", 4), 4);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    assert_true(source.cpus >= 1);
    assert_int_equal(setenv("FILESERVICE_TEST", "here", 1), 0);
    assert_string_equal(source.get(source.context, "FILESERVICE_TEST"), "here");
    assert_null(source.get(source.context, "FILESERVICE_TEST_UNSET"));
    buf_init(&text, 4);
    assert_int_equal(source.read_file(source.context, path, &text), ERR_OK);
    assert_int_equal(text.n, 4);
    assert_memory_equal(text.p, "a\0b\n", 4);
    assert_int_equal(source.read_file(source.context, path, &text), ERR_LIMIT);
    buf_clear(&text);
    assert_int_equal(source.read_file(source.context, "/", &text), ERR_SYSTEM);
    close(fd);
    assert_int_equal(source.read_file(source.context, path, &text), ERR_NOT_FOUND);
    buf_done(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_default_is_as_promised),
        cmocka_unit_test(an_empty_value_counts_as_unset),
        cmocka_unit_test(a_number_outside_its_bounds_is_refused),
        cmocka_unit_test(what_is_no_plain_number_is_refused),
        cmocka_unit_test(a_value_is_read_or_refused_by_its_rule),
        cmocka_unit_test(a_text_beyond_its_length_is_refused),
        cmocka_unit_test(the_first_name_wins_over_the_other),
        cmocka_unit_test(a_missing_region_is_one_fault),
        cmocka_unit_test(endpoints_follow_the_region),
        cmocka_unit_test(logs_follow_the_environment),
        cmocka_unit_test(workers_never_pass_their_maximum),
        cmocka_unit_test(half_a_pair_of_keys_is_refused),
        cmocka_unit_test(a_part_must_fit_a_quarter_of_the_memory),
        cmocka_unit_test(a_fault_of_the_part_size_names_what_it_hangs_on),
        cmocka_unit_test(the_delay_must_fit_the_shutdown),
        cmocka_unit_test(keys_of_a_file_are_added),
        cmocka_unit_test(a_useless_file_of_keys_is_refused),
        cmocka_unit_test(all_faults_come_at_once),
        cmocka_unit_test(a_secret_is_never_shown),
        cmocka_unit_test(a_network_is_stored_as_ipv6),
        cmocka_unit_test(printed_settings_read_the_same),
        cmocka_unit_test(a_cut_list_is_read_or_refused),
        cmocka_unit_test(a_list_has_a_ceiling),
        cmocka_unit_test(done_is_harmless_on_nothing),
        cmocka_unit_test(the_process_is_a_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The settings: environment in, one immutable struct out.
 *
 * config_read() looks at every setting and reports everything that is wrong at once, one line each;
 * a program that starts has settings that were all checked. Source of names, defaults and meanings:
 * README.md, "Settings". After reading, the struct is never changed and any thread may read it.
 */
#ifndef FILESERVICE_CONFIG_CONFIG_H
#define FILESERVICE_CONFIG_CONFIG_H

#include "fileservice/base/buf.h"
#include "fileservice/base/log.h"
#include "fileservice/base/url.h"

#include <stdint.h>

#define CONFIG_EXIT_CODE 78           /* EX_CONFIG of sysexits.h */
#define CONFIG_PART_MIN_BYTES 5242880 /* 5 MiB: S3's smallest part but the last */
#define CONFIG_PARTS_MAX 10000        /* S3's most parts of one upload */
#define CONFIG_LOG_QUEUE_MIN_BYTES                                                                 \
    1048576 /* some lines of the longest kind, for both streams; ours */
#define CONFIG_EXPIRES_MAX_SECONDS 604800 /* 7 days: SigV4's longest presigned URL */

enum config_environment { CONFIG_DEVELOPMENT, CONFIG_TESTING, CONFIG_PRODUCTION };
enum config_addressing {
    CONFIG_ADDRESSING_AUTO,
    CONFIG_ADDRESSING_PATH,
    CONFIG_ADDRESSING_VIRTUAL
};

/* Strings, owned by the struct. */
struct config_list {
    char **items;
    size_t count;
};

struct config_cidr {
    unsigned char address[16]; /* IPv4 as ::ffff:a.b.c.d */
    unsigned prefix_bits;      /* 0 to 128 */
};

struct config {
    /* AWS. Strings are NULL when unset unless said otherwise. */
    char *access_key_id;
    char *secret_access_key; /* secret */
    char *session_token;     /* secret */
    char *region;            /* never NULL */
    char *expected_bucket_owner;
    bool s3_endpoint_custom;
    struct url_endpoint s3_endpoint; /* AWS's own for the region when not custom */
    bool s3_public_endpoint_custom;
    struct url_endpoint s3_public_endpoint; /* as s3_endpoint when not set */
    enum config_addressing s3_addressing;
    struct url_endpoint logs_endpoint;
    char *log_group;             /* NULL: CloudWatch off */
    uint32_t log_retention_days; /* of a group that is made; 0: not set */
    uint64_t log_queue_bytes;

    /* The door. */
    bool cors_any;
    struct config_list cors_origins;
    enum config_environment environment;
    char *host;
    uint16_t port;
    char *admin_host;
    uint16_t admin_port; /* 0: off */
    unsigned workers;
    unsigned max_connections;
    struct config_cidr *trusted_proxies;
    size_t trusted_proxy_count;
    struct config_list api_keys; /* secret; empty: open */
    char *api_keys_file;         /* where some of api_keys came from, or NULL */

    /* Buckets and uploads. */
    char *bucket_prefix; /* never NULL, "" when empty */
    struct config_list bucket_allowlist;
    bool bucket_auto_create;
    uint32_t presign_expires_s;
    uint64_t upload_max_bytes;
    uint64_t upload_part_bytes;
    uint64_t upload_memory_bytes;
    uint32_t upload_sweep_age_hours; /* 0: off */

    /* Waiting. */
    uint32_t client_header_timeout_s;
    uint32_t client_idle_timeout_s;
    uint32_t client_min_bytes_per_s;
    uint32_t s3_connect_timeout_ms;
    uint32_t s3_timeout_ms;
    uint32_t s3_max_attempts;
    uint32_t shutdown_timeout_s;
    uint32_t shutdown_delay_s;

    enum log_level log_level;
    enum log_format log_format;
};

/* Where settings come from: `get` returns a setting's value or NULL; `read_file` appends a file's
 * content. Arguments, so that a test can set both. */
struct config_source {
    const char *(*get)(void *context, const char *name);
    enum err (*read_file)(void *context, const char *path, struct buf *out);
    void *context;
    unsigned cpus; /* default of WORKERS; at least 1 */
};

/* The process's environment and files. `out` of read_file has the ceiling of 1 MiB. */
struct config_source config_source_environment(void);

/* Reads and checks everything. On success `*ret` is filled and `faults` is empty. On ERR_BAD_INPUT
 * `faults` has one line ("NAME: what is wrong and what is allowed\n") for each thing wrong and `*ret`
 * is untouched. Values of secrets never appear in a fault. An empty value counts as unset. */
enum err config_read(const struct config_source *source, struct config *ret, struct buf *faults)
    __attribute__((warn_unused_result));

/* Appends "NAME=value\n" for every effective setting, secrets as "<hidden>". */
void config_print(const struct config *c, struct buf *out);

/* Wipes secrets, frees; NULL and a zeroed struct are fine. */
void config_done(struct config *c);

#endif

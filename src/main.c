/* Reads the settings, starts everything, accepts connections, waits for a signal, drains, stops. */
#include "fileservice/base/clock.h"
#include "fileservice/base/log.h"
#include "fileservice/config/config.h"
#include "fileservice/handlers/handlers.h"
#include "fileservice/http/admin.h"
#include "fileservice/http/worker.h"
#include "fileservice/s3/s3_metrics.h"
#include "fileservice/s3/sweep.h"
#include "fileservice/s3/upload.h"

#include "accept.h"
#include "logging.h"
#include "observe.h"
#include "telemetry.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "fileservice/base/banned.h"

#define MAIN_SETTINGS_MAX_BYTES 1048576
#define MAIN_LAST_MS 5000  /* of the shutdown, half of it at most: for aborts and the log flush */
#define MAIN_POLL_MS 50    /* how often the drain looks whether it is done */
#define MAIN_STDOUT_MS 300 /* of the shutdown, the very last: for standard output */
#define MAIN_FLUSH_POLL_MS 5
#define MAIN_FAILED_START_MS 2000 /* for the logs of a start that failed */

struct program {
    int64_t started_wall_ms;
    struct config config;
    struct logging logging;
    struct credentials_source *credentials;
    struct auth *auth;
    struct budget *budget;
    struct s3_options s3_options;
    struct s3_sweep_options sweep_options;
    struct s3_sweep *sweep; /* on the first worker's loop; NULL: off */
    struct handlers_readiness readiness;
    atomic_uint busy_uploads;
    struct worker **workers;
    struct handlers_app *apps;
    struct s3_metrics **s3_metrics; /* one a worker */
    unsigned worker_count;
    int signal_fd;
    int listen_fd;
    uint64_t end_ms; /* monotonic; when the shutdown must be over */
    struct acceptor acceptor;
    struct telemetry telemetry;
    struct admin *admin; /* NULL: off */
};

/* Settings */

static const char usage[] =
    "fileservice: an HTTP door to S3. All settings are environment variables.\n"
    "  --help          this text\n"
    "  --version       the version\n"
    "  --check-config  print the effective settings, secrets hidden, and exit\n";

static int print_config(const struct config *c) {
    struct buf text;
    buf_init(&text, MAIN_SETTINGS_MAX_BYTES);
    config_print(c, &text);
    bool good = buf_error(&text) == ERR_OK && fputs(buf_text(&text), stdout) >= 0;
    buf_done(&text);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Reads the settings; on faults says each on standard error. */
static bool read_config(struct config *c) {
    struct config_source source = config_source_environment();
    struct buf faults;
    buf_init(&faults, MAIN_SETTINGS_MAX_BYTES);
    enum err e = config_read(&source, c, &faults);
    if (e != ERR_OK)
        (void)fprintf(stderr, "%s",
                      faults.n > 0 ? buf_text(&faults) : "The settings cannot be read.\n");
    buf_done(&faults);
    return e == ERR_OK;
}

/* Three quarters of the descriptors are for clients, a quarter is kept for S3. */
static bool raise_descriptor_limit(const struct config *c) {
    struct rlimit limit;
    rlim_t need = (rlim_t)c->max_connections / 3 * 4 + 64;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= need)
        return true;
    limit.rlim_cur = need;
    if (limit.rlim_max < need)
        limit.rlim_max = need;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return true;
    (void)fprintf(
        stderr, "MAX_CONNECTIONS: %u needs %llu file descriptors, more than RLIMIT_NOFILE allows\n",
        c->max_connections, (unsigned long long)need);
    return false;
}

/* Starting */

static const char *get_variable(void *context, const char *name) {
    (void)context;
    return getenv(name); // NOLINT(concurrency-mt-unsafe): nobody sets variables
}

static void on_credentials_failure(void *context, const struct error *error) {
    (void)context;
    log_message(LOG_WARN, "credentials could not be had: %s", error->message);
}

static enum err start_credentials(struct program *p, struct error *error) {
    struct credentials_options options = {
        .access_key_id = p->config.access_key_id,
        .secret_access_key = p->config.secret_access_key,
        .session_token = p->config.session_token,
        .region = p->config.region,
        .get = get_variable,
        .on_failure = on_credentials_failure,
    };
    return credentials_source_start(&options, &p->credentials, error);
}

static void on_orphan(const char *bucket, const struct error *error) {
    struct log_field fields[] = {
        {"bucket", span_of(bucket), 0},
        {"s3_request_id", span_of(error->request_id), 0},
        {"error", span_of(error->message), 0},
    };
    log_event(LOG_ERROR, LOG_STREAM_DEFAULT, "parts of an upload may be left on S3", fields,
              sizeof fields / sizeof *fields);
}

static void on_swept(struct span bucket, unsigned aborted, const struct error *error) {
    struct log_field fields[] = {
        {"bucket", bucket, 0},
        {"aborted", {NULL, 0}, (int64_t)aborted},
        {"error", span_of(error == NULL ? "" : error->message), 0},
    };
    log_event(error == NULL ? LOG_INFO : LOG_WARN, LOG_STREAM_DEFAULT,
              "abandoned uploads were swept", fields, error == NULL ? 2 : 3);
}

static enum err start_sweep(struct program *p) {
    if (p->config.upload_sweep_age_hours == 0)
        return ERR_OK;
    p->sweep_options = (struct s3_sweep_options){
        .age_hours = p->config.upload_sweep_age_hours,
        .buckets = (const char *const *)p->config.bucket_allowlist.items,
        .bucket_count = p->config.bucket_allowlist.count,
        .on_bucket = on_swept,
    };
    return s3_sweep_start(&p->apps[0].s3, &p->sweep_options, &p->sweep);
}

static void set_s3_options(struct program *p) {
    const struct config *c = &p->config;
    static const enum s3_addressing addressing[] = {
        [CONFIG_ADDRESSING_AUTO] = S3_ADDRESS_AUTO,
        [CONFIG_ADDRESSING_PATH] = S3_ADDRESS_PATH,
        [CONFIG_ADDRESSING_VIRTUAL] = S3_ADDRESS_VIRTUAL,
    };
    p->s3_options = (struct s3_options){
        .endpoint = c->s3_endpoint,
        .public_endpoint = c->s3_public_endpoint,
        .custom_endpoint = c->s3_endpoint_custom,
        .custom_public_endpoint = c->s3_public_endpoint_custom || c->s3_endpoint_custom,
        .addressing = addressing[c->s3_addressing],
        .region = c->region,
        .bucket_prefix = c->bucket_prefix,
        .expected_bucket_owner = c->expected_bucket_owner,
        .bucket_auto_create = c->bucket_auto_create,
        .upload_max_bytes = c->upload_max_bytes,
        .upload_part_bytes = c->upload_part_bytes,
    };
}

static enum err make_app(struct program *p, unsigned i, struct error *error) {
    struct worker *w = p->workers[i];
    struct handlers_app *app = &p->apps[i];
    struct loop *loop = worker_loop(w);
    p->s3_metrics[i] = s3_metrics_new();
    if (p->s3_metrics[i] == NULL)
        return error_set(error, ERR_NO_MEMORY, "no memory for the metrics");
    app->config = &p->config;
    app->readiness = &p->readiness;
    app->s3 = (struct s3_client){
        .aws = {.loop = loop,
                .credentials = p->credentials,
                .service = "s3",
                .region = p->config.region,
                .max_attempts = p->config.s3_max_attempts,
                .connect_ms = p->config.s3_connect_timeout_ms,
                .silence_ms = p->config.s3_timeout_ms,
                .on_call = observe_s3_call,
                .on_call_context = p->s3_metrics[i]},
        .options = &p->s3_options,
        .budget = p->budget,
        .busy_uploads = &p->busy_uploads,
        .on_orphan = on_orphan,
    };
    retry_bucket_init(&app->s3.aws.bucket);
    list_init(&app->s3.uploads);
    unsigned idle = p->config.max_connections / 4 / p->worker_count + 1;
    enum err e = transport_new(loop, idle, &app->s3.aws.transport, error);
    if (e == ERR_OK)
        worker_set_app(w, app);
    return e;
}

static enum err start_workers(struct program *p, struct error *error) {
    struct worker_options options = {
        .config = &p->config,
        .auth = p->auth,
        .handlers = handlers_table,
        .handler_count = handlers_table_count,
    };
    p->worker_count = p->config.workers;
    p->workers = calloc(p->worker_count, sizeof(struct worker *));
    p->apps = calloc(p->worker_count, sizeof *p->apps);
    p->s3_metrics = calloc(p->worker_count, sizeof(struct s3_metrics *));
    if (p->workers == NULL || p->apps == NULL || p->s3_metrics == NULL)
        return error_set(error, ERR_NO_MEMORY, "no memory for the workers");
    for (unsigned i = 0; i < p->worker_count; i++) {
        enum err e = worker_new(&options, &p->workers[i], error);
        if (e == ERR_OK)
            e = make_app(p, i, error);
        if (e == ERR_OK && i == 0 && start_sweep(p) != ERR_OK)
            e = error_set(error, ERR_NO_MEMORY, "no memory for the sweep of uploads");
        if (e == ERR_OK)
            e = worker_start(p->workers[i], error);
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

static void set_acceptor(struct program *p) {
    p->acceptor = (struct acceptor){
        .listen_fd = p->listen_fd,
        .signal_fd = p->signal_fd,
        .workers = p->workers,
        .worker_count = p->worker_count,
        .max = p->config.max_connections,
    };
}

static enum err start_admin(struct program *p, struct error *error) {
    const struct config *c = &p->config;
    int fd = -1;
    if (c->admin_port == 0)
        return ERR_OK;
    p->telemetry = (struct telemetry){
        .started_wall_ms = p->started_wall_ms,
        .workers = p->workers,
        .s3_metrics = p->s3_metrics,
        .worker_count = p->worker_count,
        .acceptor = &p->acceptor,
        .busy_uploads = &p->busy_uploads,
        .draining = &p->readiness.draining,
        .budget = p->budget,
        .budget_bytes = c->upload_memory_bytes,
        .credentials = p->credentials,
        .cloudwatch = p->logging.cloudwatch,
        .console = p->logging.console,
    };
    struct admin_options options = {telemetry_render, &p->telemetry};
    enum err e = accept_listen(c->admin_host, c->admin_port, "ADMIN_PORT", &fd, error);
    return e == ERR_OK ? admin_start(&options, fd, &p->admin, error) : e;
}

static void start_signals(struct program *p) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    /* Before any thread: all of them inherit the mask, and only main hears. */
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    p->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
}

static enum err start(struct program *p, struct error *error) {
    const struct config *c = &p->config;
    enum err e = transport_global_init();
    if (e != ERR_OK)
        return error_set(error, e, "the HTTP client cannot be initialised");
    e = logging_start(&p->logging, c, error);
    if (e == ERR_OK)
        e = start_credentials(p, error);
    if (e == ERR_OK)
        e = logging_start_shipper(&p->logging, c, p->credentials, error);
    if (e != ERR_OK)
        return e;
    p->auth = auth_new((const char *const *)c->api_keys.items, c->api_keys.count);
    p->budget = budget_new(c->upload_memory_bytes);
    if (p->auth == NULL || p->budget == NULL)
        return error_set(error, ERR_NO_MEMORY, "no memory to start");
    set_s3_options(p);
    e = accept_listen(c->host, c->port, "PORT", &p->listen_fd, error);
    if (e == ERR_OK)
        e = start_workers(p, error);
    if (e == ERR_OK) {
        set_acceptor(p);
        e = start_admin(p, error);
    }
    if (e == ERR_OK && c->api_keys.count == 0 && c->environment == CONFIG_PRODUCTION)
        log_message(LOG_WARN, "no API keys are set: everybody who reaches this port may use it");
    return e;
}

/* Running and ending */

static bool signal_came(const struct program *p, int timeout_ms) {
    struct signalfd_siginfo info;
    struct pollfd fd = {.fd = p->signal_fd, .events = POLLIN};
    return poll(&fd, 1, timeout_ms) > 0 &&
           read(p->signal_fd, &info, sizeof info) == (ssize_t)sizeof info;
}

static unsigned connections(const struct program *p) {
    unsigned n = 0;
    for (unsigned i = 0; i < p->worker_count; i++)
        n += worker_connections(p->workers[i]);
    return n;
}

/* Waits until there is nothing left to do or the time is over. False after a second signal. */
static bool wait_for_clients(const struct program *p, uint64_t deadline_ms) {
    while (connections(p) > 0 || atomic_load(&p->busy_uploads) > 0) {
        if (clock_monotonic_ms() >= deadline_ms)
            return true;
        if (signal_came(p, MAIN_POLL_MS))
            return false;
    }
    return true;
}

/* True when the drain ended in order; false after a second signal. */
static bool drain(struct program *p) {
    const struct config *c = &p->config;
    uint64_t begin_ms = clock_monotonic_ms();
    uint64_t total_ms = (uint64_t)c->shutdown_timeout_s * 1000;
    uint64_t last_ms = total_ms / 2 < MAIN_LAST_MS ? total_ms / 2 : MAIN_LAST_MS;
    uint64_t deadline_ms = begin_ms + total_ms - last_ms;
    uint64_t delay_ms = (uint64_t)c->shutdown_delay_s * 1000;
    delay_ms = delay_ms < total_ms - last_ms ? delay_ms : total_ms - last_ms;
    p->end_ms = begin_ms + total_ms;
    log_message(LOG_INFO, "shutting down: draining for at most %u s", c->shutdown_timeout_s);
    atomic_store(&p->readiness.draining, true);
    for (unsigned i = 0; i < p->worker_count; i++)
        worker_drain(p->workers[i]);
    if (!accept_run(&p->acceptor, (uint32_t)delay_ms))
        return false;
    close(p->listen_fd);
    p->listen_fd = -1;
    for (unsigned i = 0; i < p->worker_count; i++)
        worker_close_idle(p->workers[i]);
    if (!wait_for_clients(p, deadline_ms))
        return false;
    for (unsigned i = 0; i < p->worker_count; i++)
        worker_break(p->workers[i]);
    return wait_for_clients(p, deadline_ms + last_ms / 2);
}

/* What is left of the shutdown, less what comes after. */
static unsigned time_left_ms(const struct program *p, uint64_t reserve_ms) {
    uint64_t now = clock_monotonic_ms();
    return p->end_ms > now + reserve_ms ? (unsigned)(p->end_ms - now - reserve_ms) : 0;
}

/* Lines of the drain are shipped too. False after a second signal. */
static bool flush_cloudwatch(struct program *p) {
    log_message(LOG_INFO, "stopped");
    logging_flush(&p->logging, time_left_ms(p, MAIN_STDOUT_MS));
    while (!logging_is_flushed(&p->logging))
        if (signal_came(p, MAIN_FLUSH_POLL_MS))
            return false;
    return true;
}

/* A writer that cannot come back is not waited for. False after a second signal. */
static bool flush_stdout(struct program *p) {
    unsigned left_ms = time_left_ms(p, 0);
    left_ms = left_ms > MAIN_STDOUT_MS ? left_ms : MAIN_STDOUT_MS;
    uint64_t give_up_ms = clock_monotonic_ms() + left_ms + MAIN_STDOUT_MS;
    logging_flush_stdout(&p->logging, left_ms);
    while (!logging_is_stdout_flushed(&p->logging) && clock_monotonic_ms() < give_up_ms)
        if (signal_came(p, MAIN_FLUSH_POLL_MS))
            return false;
    return true;
}

static void free_workers(struct program *p) {
    for (unsigned i = 0; p->workers != NULL && i < p->worker_count; i++) {
        worker_free(p->workers[i]);
        if (p->s3_metrics != NULL)
            s3_metrics_free(p->s3_metrics[i]);
    }
    free(p->workers);
    free(p->apps);
    free(p->s3_metrics);
}

/* Threads end in the order in which they need each other; whoever may log does so before its sink goes.
 * False after a second signal: then nothing is to be waited for or freed. */
static bool stop(struct program *p) {
    for (unsigned i = 0; p->workers != NULL && i < p->worker_count; i++)
        if (p->workers[i] != NULL)
            worker_stop(p->workers[i]);
    s3_sweep_free(p->sweep);
    for (unsigned i = 0; p->workers != NULL && i < p->worker_count; i++) {
        if (p->apps != NULL && p->apps[i].s3.aws.transport != NULL) {
            s3_uploads_end(&p->apps[i].s3);
            transport_free(p->apps[i].s3.aws.transport);
            aws_client_done(&p->apps[i].s3.aws);
        }
    }
    if (!flush_cloudwatch(p)) /* with the admin door open: what the flush costs can be seen */
        return false;
    admin_stop(p->admin);
    free_workers(p);
    credentials_source_stop(p->credentials);
    if (!flush_stdout(p))
        return false;
    logging_stop(&p->logging);
    budget_free(p->budget);
    auth_free(p->auth);
    if (p->listen_fd >= 0)
        close(p->listen_fd);
    if (p->signal_fd >= 0)
        close(p->signal_fd);
    transport_global_done();
    return true;
}

static int serve(struct program *p) {
    struct error error;
    if (start(p, &error) != ERR_OK) {
        (void)fprintf(stderr, "fileservice does not start: %s\n", error.message);
        p->end_ms = clock_monotonic_ms() + MAIN_FAILED_START_MS;
        (void)stop(p);
        return EXIT_FAILURE;
    }
    log_message(LOG_INFO, "fileservice %s listens on %s:%u", FILESERVICE_VERSION, p->config.host,
                (unsigned)p->config.port);
    if (p->admin != NULL)
        log_message(LOG_INFO, "metrics are on %s:%u", p->config.admin_host,
                    (unsigned)p->config.admin_port);
    (void)accept_run(&p->acceptor, ACCEPT_FOREVER);
    if (!drain(p) || !stop(p))
        _exit(EXIT_FAILURE); /* a second signal: at once */
    return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
    struct program p = {.started_wall_ms = clock_wall_ms(), .signal_fd = -1, .listen_fd = -1};
    bool check = argc == 2 && strcmp(argv[1], "--check-config") == 0;
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return fputs(usage, stdout) >= 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return puts("fileservice " FILESERVICE_VERSION) >= 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    if (argc > 1 && !check) {
        (void)fputs(usage, stderr);
        return 64; /* EX_USAGE */
    }
    if (!read_config(&p.config))
        return CONFIG_EXIT_CODE;
    int code = CONFIG_EXIT_CODE;
    if (check) {
        code = print_config(&p.config);
    } else if (raise_descriptor_limit(&p.config)) {
        start_signals(&p);
        code = serve(&p);
    }
    config_done(&p.config);
    return code;
}

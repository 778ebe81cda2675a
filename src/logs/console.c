#include "fileservice/logs/console.h"

#include "pace.h"

#include "fileservice/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fileservice/base/banned.h"

#define CONSOLE_POLL_MS 100 /* how often a blocked writer looks whether it shall stop */
/* Lines are gathered for a moment: one wake-up and one write for many. */
#define CONSOLE_GATHER_MS 10
#define CONSOLE_GATHER_BYTES 32768

struct logs_console {
    struct logs_console_options options;
    pthread_t thread;
    /* the writer's */
    int fd;       /* options.fd, or the same open anew */
    size_t piece; /* bytes of one write */
    bool is_socket;
    bool mid_line;    /* a write ended within a line whose rest was lost */
    uint64_t told;    /* of the dropped lines, how many on_dropped was told of */
    struct pace pace; /* of telling */

    atomic_uint_least64_t deadline_ms; /* set by the flush; 0: none yet */
    atomic_bool flushed;               /* set by the writer, at its end */

    pthread_mutex_t mutex;
    pthread_cond_t wake;
    /* any thread, under mutex */
    struct buf waiting; /* whole lines */
    uint64_t dropped;   /* over the whole life */
    bool stopping;
    bool closed; /* nothing is written any more */
};

/* Time and level of a line of LOG_TEXT in colours; the rest as it is. */
static void append_coloured(struct buf *b, const struct log_line *line) {
    static const char *const colours[] = {
        [LOG_DEBUG] = "\033[2m", /* faint */
        [LOG_INFO] = "\033[32m", /* green */
        [LOG_WARN] = "\033[33m", /* yellow */
        [LOG_ERROR] = "\033[31m" /* red */
    };
    const size_t level_at = LOG_TEXT_TIME_BYTES + 1;
    const size_t level_end = level_at + LOG_TEXT_LEVEL_BYTES;
    if (line->text.n < level_end) {
        buf_append(b, line->text);
        return;
    }
    buf_append_text(b, "\033[2m");
    buf_append(b, (struct span){line->text.p, LOG_TEXT_TIME_BYTES});
    buf_append_text(b, "\033[0m ");
    buf_append_text(b, colours[line->level]);
    buf_append(b, (struct span){line->text.p + level_at, LOG_TEXT_LEVEL_BYTES});
    buf_append_text(b, "\033[0m");
    buf_append(b, span_from(line->text, level_end));
}

/* False when there is no room, or no memory: what waits is kept, the line is not. */
static bool append_line(struct logs_console *c, const struct log_line *line) {
    struct buf *b = &c->waiting;
    size_t before = b->n;
    if (c->options.colours)
        append_coloured(b, line);
    else
        buf_append(b, line->text);
    buf_append_byte(b, '\n');
    if (buf_error(b) == ERR_OK)
        return true;
    b->n = before;
    b->error = ERR_OK;
    return false;
}

static void console_write(void *context, const struct log_line *line) {
    struct logs_console *c = context;
    pthread_mutex_lock(&c->mutex);
    size_t before = c->waiting.n;
    if (c->closed || line->text.n == 0 || !append_line(c, line))
        c->dropped++;
    /* The writer sleeps until there is something, then until there is much or the moment is over. */
    bool first = before == 0 && c->waiting.n > 0;
    bool much = before < CONSOLE_GATHER_BYTES && c->waiting.n >= CONSOLE_GATHER_BYTES;
    if (first || much)
        pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->mutex);
}

/* Waits for more lines, at most so long. The mutex is held. */
static void wait_for_lines(struct logs_console *c, unsigned timeout_ms, size_t bytes) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    while (!c->stopping && c->waiting.n < bytes)
        if (pthread_cond_timedwait(&c->wake, &c->mutex, &until) == ETIMEDOUT)
            break;
}

/* Always before a flush, until the deadline after it. */
static bool is_time_left(struct logs_console *c) {
    uint64_t deadline_ms = atomic_load(&c->deadline_ms);
    return deadline_ms == 0 || clock_monotonic_ms() < deadline_ms;
}

/* The descriptor is shared with whoever started us, so its flags are not ours to change. A pipe or a
 * terminal is opened anew, for flags of our own; where that is denied, poll() says when a write of up to
 * PIPE_BUF bytes will not block, which is true as long as nobody else writes there. */
static void open_output(struct logs_console *c) {
    enum { PIECE = 65536, BLOCKING_PIECE = 4096 /* PIPE_BUF */ };
    struct stat s;
    c->fd = c->options.fd;
    c->piece = PIECE;
    if (fstat(c->fd, &s) != 0)
        return;
    c->is_socket = S_ISSOCK(s.st_mode);
    if (!S_ISFIFO(s.st_mode) && !S_ISCHR(s.st_mode))
        return;
    char path[32];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", c->options.fd);
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0)
        c->fd = fd;
    else
        c->piece = BLOCKING_PIECE;
}

static ssize_t write_piece(const struct logs_console *c, struct span s) {
    size_t n = s.n < c->piece ? s.n : c->piece;
    return c->is_socket ? send(c->fd, s.p, n, MSG_DONTWAIT | MSG_NOSIGNAL) : write(c->fd, s.p, n);
}

/* Writes all of it; returns what could not be written. */
static struct span write_out(struct logs_console *c, struct span s) {
    while (s.n > 0 && is_time_left(c)) {
        struct pollfd p = {.fd = c->fd, .events = POLLOUT};
        if (poll(&p, 1, CONSOLE_POLL_MS) <= 0)
            continue;
        ssize_t n = write_piece(c, s);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            break;
        s = span_from(s, n > 0 ? (size_t)n : 0);
    }
    return s;
}

static uint64_t count_lines(struct span s) {
    uint64_t n = 0;
    for (size_t at = span_find(s, '\n'); at < s.n; at = span_find(s, '\n')) {
        n++;
        s = span_from(s, at + 1);
    }
    return n;
}

/* Tells of dropped lines, while there is room for one more. What goes on is told of at growing intervals:
 * the line that tells of it may itself be dropped. The mutex is held, and released meanwhile: on_dropped
 * may log, which comes back to the sink. */
static void tell(struct logs_console *c) {
    uint64_t lines = c->dropped - c->told;
    uint64_t now_ms = clock_monotonic_ms();
    if (lines == 0)
        pace_quiet(&c->pace, now_ms);
    if (lines == 0 || !pace_is_time(&c->pace, now_ms) || c->stopping ||
        c->options.on_dropped == NULL || c->waiting.n > LOGS_CONSOLE_BUFFER_BYTES / 2)
        return;
    c->told = c->dropped;
    pace_told(&c->pace, now_ms);
    pthread_mutex_unlock(&c->mutex);
    c->options.on_dropped(lines);
    pthread_mutex_lock(&c->mutex);
}

/* Writes what waits; the mutex is held, but for the time of writing. False when it failed. */
static bool write_waiting(struct logs_console *c, struct buf *lines) {
    struct buf swap = *lines; /* both keep their memory */
    *lines = c->waiting;
    c->waiting = swap;
    buf_clear(&c->waiting);
    pthread_mutex_unlock(&c->mutex);
    if (c->mid_line)
        c->mid_line = write_out(c, SPAN("\n")).n > 0;
    struct span left = c->mid_line ? buf_span(lines) : write_out(c, buf_span(lines));
    if (left.n > 0 && left.n < lines->n)
        c->mid_line = left.p[-1] != '\n';
    pthread_mutex_lock(&c->mutex);
    c->dropped += count_lines(left);
    return left.n == 0;
}

static void *run(void *argument) {
    struct logs_console *c = argument;
    struct buf lines;
    buf_init(&lines, LOGS_CONSOLE_BUFFER_BYTES);
    (void)buf_reserve(&lines, LOGS_CONSOLE_BUFFER_BYTES); /* see logs_console_start() */
    pthread_mutex_lock(&c->mutex);
    while ((!c->stopping || c->waiting.n > 0) && is_time_left(c)) {
        if (c->waiting.n == 0) {
            pthread_cond_wait(&c->wake, &c->mutex);
            continue;
        }
        wait_for_lines(c, CONSOLE_GATHER_MS, CONSOLE_GATHER_BYTES);
        bool failed = !write_waiting(c, &lines);
        tell(c);
        if (failed)
            wait_for_lines(c, LOGS_CONSOLE_RETRY_MS, SIZE_MAX);
    }
    c->dropped += count_lines(buf_span(&c->waiting));
    c->closed = true;
    pthread_mutex_unlock(&c->mutex);
    buf_done(&lines);
    atomic_store(&c->flushed, true);
    return NULL;
}

static void free_parts(struct logs_console *c) {
    if (c->fd != c->options.fd)
        close(c->fd);
    buf_done(&c->waiting);
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->mutex);
    free(c);
}

struct logs_console *logs_console_start(const struct logs_console_options *options) {
    struct logs_console *c = calloc(1, sizeof *c);
    pthread_condattr_t clock;
    if (c == NULL)
        return NULL;
    c->options = *options;
    open_output(c);
    pthread_mutex_init(&c->mutex, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&c->wake, &clock);
    pthread_condattr_destroy(&clock);
    buf_init(&c->waiting, LOGS_CONSOLE_BUFFER_BYTES);
    /* All of it now, so that no line waits for a copy of the others. What is not used takes no memory. */
    if (buf_reserve(&c->waiting, LOGS_CONSOLE_BUFFER_BYTES) &&
        pthread_create(&c->thread, NULL, run, c) == 0)
        return c;
    free_parts(c);
    return NULL;
}

struct log_sink logs_console_sink(struct logs_console *c) {
    return (struct log_sink){console_write, c};
}

uint64_t logs_console_dropped(struct logs_console *c) {
    pthread_mutex_lock(&c->mutex);
    uint64_t lines = c->dropped;
    pthread_mutex_unlock(&c->mutex);
    return lines;
}

void logs_console_flush(struct logs_console *c, unsigned timeout_ms) {
    atomic_store(&c->deadline_ms, clock_monotonic_ms() + timeout_ms);
    pthread_mutex_lock(&c->mutex);
    c->stopping = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->mutex);
}

bool logs_console_is_flushed(const struct logs_console *c) { return atomic_load(&c->flushed); }

void logs_console_free(struct logs_console *c) {
    if (c == NULL)
        return;
    pthread_join(c->thread, NULL);
    free_parts(c);
}

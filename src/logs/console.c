#include "fileservice/logs/console.h"

#include "fileservice/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
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

    pthread_mutex_t mutex;
    pthread_cond_t wake;
    /* any thread, under mutex */
    struct buf waiting; /* whole lines */
    uint64_t dropped;   /* over the whole life */
    uint64_t told;      /* of these, how many on_dropped was told of */
    bool stopping;
    uint64_t deadline_ms; /* once stopping */
    bool gone;            /* nothing is written any more: the reader went away, or we stopped */
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
    if (c->gone || line->text.n == 0 || !append_line(c, line))
        c->dropped++;
    /* The writer sleeps until there is something, then until there is much or the moment is over. */
    bool first = before == 0 && c->waiting.n > 0;
    bool much = before < CONSOLE_GATHER_BYTES && c->waiting.n >= CONSOLE_GATHER_BYTES;
    if (first || much)
        pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->mutex);
}

/* The mutex is held. */
static void gather(struct logs_console *c) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += CONSOLE_GATHER_MS * 1000000L;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    while (!c->stopping && c->waiting.n < CONSOLE_GATHER_BYTES)
        if (pthread_cond_timedwait(&c->wake, &c->mutex, &until) == ETIMEDOUT)
            break;
}

/* True while there is time: always before a stop, until the deadline after it. */
static bool may_wait(struct logs_console *c) {
    pthread_mutex_lock(&c->mutex);
    bool good = !c->stopping || clock_monotonic_ms() < c->deadline_ms;
    pthread_mutex_unlock(&c->mutex);
    return good;
}

/* Writes all of it; returns what could not be written. The descriptor may be blocking (it is shared
 * with whoever started us, so its flags are not ours to change): poll() says when a write of up to
 * PIPE_BUF bytes will not block. */
static struct span write_out(struct logs_console *c, struct span s) {
    enum { PIECE = 4096 /* PIPE_BUF */ };
    while (s.n > 0) {
        struct pollfd p = {.fd = c->options.fd, .events = POLLOUT};
        int ready = poll(&p, 1, CONSOLE_POLL_MS);
        if (ready == 0 || (ready < 0 && errno == EINTR)) {
            if (!may_wait(c))
                break;
            continue;
        }
        ssize_t n = write(c->options.fd, s.p, s.n < PIECE ? s.n : PIECE);
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

/* The mutex is held, and released meanwhile: on_dropped may log, which comes back to the sink. */
static void tell(struct logs_console *c) {
    uint64_t lines = c->dropped - c->told;
    if (lines == 0 || c->gone || c->stopping)
        return;
    c->told = c->dropped;
    pthread_mutex_unlock(&c->mutex);
    if (c->options.on_dropped != NULL)
        c->options.on_dropped(lines);
    pthread_mutex_lock(&c->mutex);
}

static void *run(void *argument) {
    struct logs_console *c = argument;
    struct buf lines;
    buf_init(&lines, LOGS_CONSOLE_BUFFER_BYTES);
    (void)buf_reserve(&lines, LOGS_CONSOLE_BUFFER_BYTES); /* see logs_console_start() */
    pthread_mutex_lock(&c->mutex);
    while (!c->stopping || c->waiting.n > 0) {
        if (c->waiting.n == 0) {
            pthread_cond_wait(&c->wake, &c->mutex);
            continue;
        }
        gather(c);
        struct buf swap = lines; /* both keep their memory */
        lines = c->waiting;
        c->waiting = swap;
        buf_clear(&c->waiting);
        pthread_mutex_unlock(&c->mutex);
        struct span left = write_out(c, buf_span(&lines));
        pthread_mutex_lock(&c->mutex);
        if (left.n > 0) {
            c->dropped += count_lines(left) + count_lines(buf_span(&c->waiting));
            buf_clear(&c->waiting);
            c->gone = true;
        }
        tell(c);
    }
    c->gone = true;
    pthread_mutex_unlock(&c->mutex);
    buf_done(&lines);
    return NULL;
}

static void free_parts(struct logs_console *c) {
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

uint64_t logs_console_stop(struct logs_console *c, unsigned timeout_ms) {
    pthread_mutex_lock(&c->mutex);
    c->stopping = true;
    c->deadline_ms = clock_monotonic_ms() + timeout_ms;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->mutex);
    pthread_join(c->thread, NULL);
    return logs_console_dropped(c);
}

void logs_console_free(struct logs_console *c) {
    if (c != NULL)
        free_parts(c);
}

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
    int fd;
    enum log_format format;
    pthread_t thread;

    pthread_mutex_t mutex;
    pthread_cond_t wake;
    /* any thread, under mutex */
    struct buf waiting; /* whole lines */
    uint64_t dropped;   /* over the whole life */
    uint64_t unsaid;    /* of these, how many no line has told of yet */
    bool stopping;
    uint64_t deadline_ms; /* once stopping */
    bool gone;            /* the reader went away */
};

static void append_line(struct buf *b, struct span text) {
    buf_append(b, text);
    buf_append_byte(b, '\n');
}

static void append_dropped(struct logs_console *c) {
    struct log_field field = {"dropped", {NULL, 0}, (int64_t)c->unsaid};
    struct buf line;
    buf_init(&line, LOG_LINE_MAX_BYTES);
    log_format_line(&line, c->format, clock_wall_ms(), LOG_WARN, LOG_STREAM_DEFAULT,
                    "log lines were dropped on standard output: its reader is too slow", &field, 1);
    append_line(&c->waiting, buf_span(&line));
    buf_done(&line);
    c->unsaid = 0;
}

static void console_write(void *context, const struct log_line *line) {
    struct logs_console *c = context;
    pthread_mutex_lock(&c->mutex);
    if (c->gone || line->text.n + 1 > LOGS_CONSOLE_BUFFER_BYTES - c->waiting.n) {
        c->dropped++;
        c->unsaid++;
    } else {
        append_line(&c->waiting, line->text);
        if (buf_error(&c->waiting) !=
            ERR_OK) { /* no memory: what waits is kept, this line is not */
            c->waiting.error = ERR_OK;
            c->dropped++;
            c->unsaid++;
        }
        /* The writer sleeps until there is something, then until there is much or the moment is over. */
        bool first = c->waiting.n == line->text.n + 1;
        bool much = c->waiting.n >= CONSOLE_GATHER_BYTES &&
                    c->waiting.n - line->text.n - 1 < CONSOLE_GATHER_BYTES;
        if (first || much)
            pthread_cond_signal(&c->wake);
    }
    pthread_mutex_unlock(&c->mutex);
}

/* The mutex is held. */
static void gather(struct logs_console *c) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
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
        struct pollfd p = {.fd = c->fd, .events = POLLOUT};
        int ready = poll(&p, 1, CONSOLE_POLL_MS);
        if (ready == 0 || (ready < 0 && errno == EINTR)) {
            if (!may_wait(c))
                break;
            continue;
        }
        ssize_t n = write(c->fd, s.p, s.n < PIECE ? s.n : PIECE);
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

static void *run(void *argument) {
    struct logs_console *c = argument;
    struct buf lines;
    buf_init(&lines, (size_t)2 * LOGS_CONSOLE_BUFFER_BYTES);
    pthread_mutex_lock(&c->mutex);
    while (!c->stopping || c->waiting.n > 0) {
        if (c->waiting.n == 0) {
            pthread_cond_wait(&c->wake, &c->mutex);
            continue;
        }
        gather(c);
        bool said = c->unsaid > 0;
        if (said)
            append_dropped(c);   /* it stands last, and is no line of the callers */
        struct buf swap = lines; /* both keep their memory */
        lines = c->waiting;
        c->waiting = swap;
        buf_clear(&c->waiting);
        pthread_mutex_unlock(&c->mutex);
        struct span left = write_out(c, buf_span(&lines));
        pthread_mutex_lock(&c->mutex);
        if (left.n > 0) {
            c->dropped += count_lines(left) - (said ? 1 : 0) + count_lines(buf_span(&c->waiting));
            buf_clear(&c->waiting);
            c->gone = true;
        }
    }
    pthread_mutex_unlock(&c->mutex);
    buf_done(&lines);
    return NULL;
}

struct logs_console *logs_console_start(int fd, enum log_format format) {
    struct logs_console *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->fd = fd;
    c->format = format;
    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->wake, NULL);
    /* Twice: the line that tells of dropped ones must always fit. */
    buf_init(&c->waiting, (size_t)2 * LOGS_CONSOLE_BUFFER_BYTES);
    if (pthread_create(&c->thread, NULL, run, c) == 0)
        return c;
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->mutex);
    free(c);
    return NULL;
}

struct log_sink logs_console_sink(struct logs_console *c) {
    return (struct log_sink){console_write, c};
}

uint64_t logs_console_stop(struct logs_console *c, unsigned timeout_ms) {
    if (c == NULL)
        return 0;
    pthread_mutex_lock(&c->mutex);
    c->stopping = true;
    c->deadline_ms = clock_monotonic_ms() + timeout_ms;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->mutex);
    pthread_join(c->thread, NULL);
    uint64_t dropped = c->dropped;
    buf_done(&c->waiting);
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->mutex);
    free(c);
    return dropped;
}

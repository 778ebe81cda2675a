/* Standard output: complete, in order, never waited for. */
#include "fileservice/logs/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char big[65536];

static bool open_is_denied; /* the terminal is somebody else's */

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...) {
    errno = EACCES;
    return open_is_denied ? -1 : __real_open(path, flags);
}

static uint64_t told; /* by on_dropped; read after the flush */
static struct logs_console *telling;

static void on_dropped(uint64_t lines) {
    told += lines;
    struct log_sink sink = logs_console_sink(telling);
    struct log_line line = {1, LOG_WARN, LOG_STREAM_DEFAULT, SPAN("{\"dropped\":1}")};
    sink.write(sink.context, &line); /* as the front end does when it logs this */
}

static struct logs_console *start(int fd) {
    struct logs_console_options options = {.fd = fd, .on_dropped = on_dropped};
    told = 0;
    telling = logs_console_start(&options);
    return telling;
}

/* Within the time, and not much longer. */
static void flush(struct logs_console *c, unsigned timeout_ms) {
    struct timespec moment = {0, 1000000};
    logs_console_flush(c, timeout_ms);
    for (unsigned i = 0; i < timeout_ms + 5000 && !logs_console_is_flushed(c); i++)
        nanosleep(&moment, NULL);
    assert_true(logs_console_is_flushed(c));
}

static uint64_t stop(struct logs_console *c, unsigned timeout_ms) {
    flush(c, timeout_ms);
    uint64_t dropped = logs_console_dropped(c);
    logs_console_free(c);
    return dropped;
}

static void write_line(struct logs_console *c, struct span text) {
    struct log_sink sink = logs_console_sink(c);
    struct log_line line = {1, LOG_INFO, LOG_STREAM_DEFAULT, text};
    sink.write(sink.context, &line);
}

static void lines_come_out_whole_and_in_order(void **state) {
    (void)state;
    int fds[2];
    char text[64];
    assert_int_equal(pipe(fds), 0);
    struct logs_console *c = start(fds[1]);
    assert_non_null(c);
    for (int i = 0; i < 1000; i++) {
        int n = snprintf(text, sizeof text, "line %d", i);
        write_line(c, (struct span){text, (size_t)n});
    }
    assert_int_equal(stop(c, 5000), 0);
    close(fds[1]);
    FILE *in = fdopen(fds[0], "r");
    assert_non_null(in);
    for (int i = 0; i < 1000; i++) {
        char want[64];
        (void)snprintf(want, sizeof want, "line %d\n", i);
        assert_non_null(fgets(text, sizeof text, in));
        assert_string_equal(text, want);
    }
    assert_null(fgets(text, sizeof text, in));
    (void)fclose(in);
}

static void a_reader_that_does_not_read_costs_lines_and_not_time(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct logs_console *c = start(fds[1]);
    assert_non_null(c);
    memset(big, 'x', sizeof big);
    uint64_t written = 0;
    for (; written < 512; written++) /* four times what the buffer holds */
        write_line(c, (struct span){big, sizeof big});
    uint64_t dropped = stop(c, 100);
    assert_true(dropped > 0 && dropped <= written);
    close(fds[0]);
    close(fds[1]);
}

/* Reads until "dropped" was seen, or the end. */
static bool reads_dropped(int fd) {
    static char all[32 << 20];
    size_t n = 0;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, 10000) > 0 && n < sizeof all - 1) {
        ssize_t got = read(fd, all + n, sizeof all - 1 - n);
        if (got <= 0)
            return false;
        n += (size_t)got;
        all[n] = '\0';
        if (memmem(all, n, "\"dropped\":", 10) != NULL)
            return true;
    }
    return false;
}

static void a_line_says_how_many_were_dropped(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct logs_console *c = start(fds[1]);
    assert_non_null(c);
    memset(big, 'x', sizeof big);
    for (int i = 0; i < 512; i++)
        write_line(c, (struct span){big, sizeof big});
    /* The reader comes back; the next line finds the writer awake. */
    fcntl(fds[0], F_SETPIPE_SZ, 1 << 20);
    char drain[65536];
    for (size_t n = 0; n < LOGS_CONSOLE_BUFFER_BYTES / 2;) {
        ssize_t got = read(fds[0], drain, sizeof drain);
        assert_true(got > 0);
        n += (size_t)got;
    }
    write_line(c, SPAN("after"));
    assert_true(reads_dropped(fds[0]));
    uint64_t dropped = stop(c, 5000);
    assert_true(dropped > 0);
    assert_int_equal(told, dropped);
    close(fds[0]);
    close(fds[1]);
}

static void a_reader_that_went_away_ends_writing_and_not_the_process(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct logs_console *c = start(fds[1]);
    assert_non_null(c);
    close(fds[0]);
    write_line(c, SPAN("to nobody"));
    uint64_t dropped = stop(c, 1000);
    assert_int_equal(dropped, 1);
    close(fds[1]);
}

static void lines_after_the_flush_are_counted_and_not_written(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct logs_console *c = start(fds[1]);
    assert_non_null(c);
    write_line(c, SPAN("in time"));
    flush(c, 1000);
    assert_int_equal(logs_console_dropped(c), 0);
    write_line(c, SPAN("late"));
    assert_int_equal(logs_console_dropped(c), 1);
    logs_console_free(c);
    char text[64];
    assert_int_equal(read(fds[0], text, sizeof text), 8);
    close(fds[0]);
    close(fds[1]);
}

static void read_all(int fd, struct buf *out) {
    char piece[65536];
    ssize_t n;
    while ((n = read(fd, piece, sizeof piece)) > 0)
        buf_append(out, (struct span){piece, (size_t)n});
    assert_int_equal(buf_error(out), ERR_OK);
}

static void wait_dropped(struct logs_console *c, uint64_t lines) {
    struct timespec moment = {0, 1000000};
    for (unsigned i = 0; i < 10000 && logs_console_dropped(c) < lines; i++)
        nanosleep(&moment, NULL);
    assert_int_equal(logs_console_dropped(c), lines);
}

/* A disk that is full for a while: the limit of a file's size stands for it. */
static void a_write_that_fails_ends_nothing_but_what_it_was_to_write(void **state) {
    (void)state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    int fd = memfd_create("disk", 0);
    assert_true(fd >= 0);
    struct rlimit small = {.rlim_cur = 10, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct logs_console_options options = {.fd = fd};
    struct logs_console *c = logs_console_start(&options);
    assert_non_null(c);
    write_line(c, SPAN("first"));
    write_line(c, SPAN("second, cut off")); /* after 4 of its bytes */
    wait_dropped(c, 1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    write_line(c, SPAN("third"));
    assert_int_equal(stop(c, 5000), 1);
    struct buf text;
    buf_init(&text, 1000);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    read_all(fd, &text);
    assert_string_equal(buf_text(&text), "first\nseco\nthird\n");
    buf_done(&text);
    close(fd);
}

/* 4 KiB every 20 ms: there is always room for a piece, and never an end. */
static void *read_slowly(void *argument) {
    struct timespec moment = {0, 20000000};
    char piece[4096];
    while (read(*(int *)argument, piece, sizeof piece) > 0)
        nanosleep(&moment, NULL);
    return NULL;
}

static void a_slow_reader_cannot_hold_the_end(void **state) {
    (void)state;
    int fds[2];
    pthread_t reader;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(pthread_create(&reader, NULL, read_slowly, &fds[0]), 0);
    struct logs_console *c = start(fds[1]);
    assert_non_null(c);
    memset(big, 'x', sizeof big);
    for (int i = 0; i < 64; i++)
        write_line(c, (struct span){big, sizeof big});
    struct timespec begin;
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    uint64_t dropped = stop(c, 200);
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_true(dropped > 0);
    assert_true(end.tv_sec - begin.tv_sec < 5);
    close(fds[1]);
    pthread_join(reader, NULL);
    close(fds[0]);
}

/* POLLOUT is true of a terminal that nobody looks at, and a write to it blocks. */
static void a_terminal_that_nobody_reads_cannot_hold_the_end(void **state) {
    (void)state;
    int ours = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(ours >= 0);
    assert_int_equal(grantpt(ours), 0);
    assert_int_equal(unlockpt(ours), 0);
    char name[128];
    assert_int_equal(ptsname_r(ours, name, sizeof name), 0);
    int theirs = open(name, O_RDWR | O_NOCTTY);
    assert_true(theirs >= 0);
    struct logs_console *c = start(theirs);
    assert_non_null(c);
    memset(big, 'x', sizeof big);
    for (int i = 0; i < 4; i++)
        write_line(c, (struct span){big, sizeof big});
    assert_int_equal(stop(c, 200), 4);
    close(theirs);
    close(ours);
}

static void a_socket_is_written_too(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    struct logs_console *c = start(fds[1]);
    assert_non_null(c);
    write_line(c, SPAN("to the journal"));
    assert_int_equal(stop(c, 1000), 0);
    close(fds[1]);
    struct buf text;
    buf_init(&text, 1000);
    read_all(fds[0], &text);
    assert_string_equal(buf_text(&text), "to the journal\n");
    buf_done(&text);
    close(fds[0]);
    /* And one that nobody reads does not hold the end. */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    c = start(fds[1]);
    assert_non_null(c);
    memset(big, 'x', sizeof big);
    for (int i = 0; i < 32; i++)
        write_line(c, (struct span){big, sizeof big});
    assert_true(stop(c, 200) > 0);
    close(fds[0]);
    close(fds[1]);
}

static void output_that_cannot_be_opened_anew_is_written_all_the_same(void **state) {
    (void)state;
    int fds[2];
    open_is_denied = true;
    assert_int_equal(pipe(fds), 0);
    struct logs_console *c = start(fds[1]);
    assert_non_null(c);
    memset(big, 'x', sizeof big);
    write_line(c, (struct span){big, 20000});
    write_line(c, SPAN("last"));
    assert_int_equal(stop(c, 5000), 0);
    close(fds[1]);
    struct buf text;
    buf_init(&text, 30000);
    read_all(fds[0], &text);
    assert_int_equal(text.n, 20000 + 1 + 5);
    assert_memory_equal(text.p + 20001, "last\n", 5);
    buf_done(&text);
    close(fds[0]);
    /* And one that nobody reads does not hold the end. */
    assert_int_equal(pipe(fds), 0);
    c = start(fds[1]);
    assert_non_null(c);
    for (int i = 0; i < 4; i++)
        write_line(c, (struct span){big, sizeof big});
    assert_true(stop(c, 200) > 0);
    close(fds[0]);
    close(fds[1]);
    open_is_denied = false;
}

static void the_flags_of_a_shared_descriptor_stay(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    int before = fcntl(fds[1], F_GETFL);
    struct logs_console *c = start(fds[1]);
    assert_non_null(c);
    write_line(c, SPAN("x"));
    assert_int_equal(fcntl(fds[1], F_GETFL), before);
    assert_int_equal(stop(c, 1000), 0);
    assert_int_equal(fcntl(fds[1], F_GETFL), before);
    close(fds[0]);
    close(fds[1]);
}

static void a_terminal_gets_the_level_in_colour_and_the_text_as_it_is(void **state) {
    static const struct {
        enum log_level level;
        const char *line;
        const char *want;
    } rows[] = {
        {LOG_INFO, "12:00:00.000 info  hello a=b",
         "\033[2m12:00:00.000\033[0m \033[32minfo \033[0m hello a=b\n"},
        {LOG_ERROR, "12:00:00.000 error hello",
         "\033[2m12:00:00.000\033[0m \033[31merror\033[0m hello\n"},
        {LOG_WARN, "short", "short\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int fds[2];
        char text[128] = "";
        assert_int_equal(pipe(fds), 0);
        struct logs_console_options options = {.fd = fds[1], .colours = true};
        struct logs_console *c = logs_console_start(&options);
        assert_non_null(c);
        struct log_sink sink = logs_console_sink(c);
        struct log_line line = {1, rows[i].level, LOG_STREAM_DEFAULT, span_of(rows[i].line)};
        sink.write(sink.context, &line);
        assert_int_equal(stop(c, 1000), 0);
        assert_true(read(fds[0], text, sizeof text - 1) > 0);
        assert_string_equal(text, rows[i].want);
        close(fds[0]);
        close(fds[1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_out_whole_and_in_order),
        cmocka_unit_test(a_reader_that_does_not_read_costs_lines_and_not_time),
        cmocka_unit_test(a_line_says_how_many_were_dropped),
        cmocka_unit_test(a_reader_that_went_away_ends_writing_and_not_the_process),
        cmocka_unit_test(a_write_that_fails_ends_nothing_but_what_it_was_to_write),
        cmocka_unit_test(a_slow_reader_cannot_hold_the_end),
        cmocka_unit_test(a_terminal_that_nobody_reads_cannot_hold_the_end),
        cmocka_unit_test(a_socket_is_written_too),
        cmocka_unit_test(output_that_cannot_be_opened_anew_is_written_all_the_same),
        cmocka_unit_test(the_flags_of_a_shared_descriptor_stay),
        cmocka_unit_test(lines_after_the_flush_are_counted_and_not_written),
        cmocka_unit_test(a_terminal_gets_the_level_in_colour_and_the_text_as_it_is),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

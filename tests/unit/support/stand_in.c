#include "stand_in.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOK_MS 20 /* how often the thread looks whether it shall end */
#define REQUEST_MS 5000

struct stand_in {
    int listener;
    uint16_t port;
    stand_in_answer *answer;
    void *context;
    atomic_bool stopping;
    pthread_t thread;
};

/* Reads more; false at the end, on an error, or when nothing comes. */
static bool receive(int fd, struct buf *b) {
    char piece[65536];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, REQUEST_MS) <= 0)
        return false;
    ssize_t n = recv(fd, piece, sizeof piece, 0);
    if (n <= 0)
        return false;
    buf_append(b, (struct span){piece, (size_t)n});
    return buf_error(b) == ERR_OK;
}

struct span stand_in_header(const struct stand_in_request *r, const char *name) {
    struct span head = r->head;
    struct span line;
    while (span_cut(&head, '\n', &line)) {
        size_t colon = span_find(line, ':');
        if (colon < line.n && span_eq_nocase((struct span){line.p, colon}, span_of(name)))
            return span_trim(span_from(line, colon + 1));
    }
    return (struct span){NULL, 0};
}

static bool read_request(int fd, struct buf *b, struct stand_in_request *r) {
    char *end;
    while ((end = strstr(buf_text(b), "\r\n\r\n")) == NULL)
        if (!receive(fd, b))
            return false;
    size_t head_n = (size_t)(end - b->p) + 4;
    uint64_t length = 0;
    struct stand_in_request peek = {.head = {b->p, head_n}};
    (void)!span_to_u64(stand_in_header(&peek, "Content-Length"), &length);
    if (span_starts(stand_in_header(&peek, "Expect"), SPAN("100")))
        (void)!send(fd, "HTTP/1.1 100 Continue\r\n\r\n", 25, MSG_NOSIGNAL);
    while (b->n - head_n < length)
        if (!receive(fd, b))
            return false;
    struct span rest = {b->p, head_n};
    r->body = (struct span){b->p + head_n, (size_t)length};
    struct span line;
    return span_cut(&rest, '\n', &line) && span_cut(&line, ' ', &r->method) &&
           span_cut(&line, ' ', &r->target) && (r->head = rest, true);
}

static void serve(struct stand_in *s, int fd) {
    struct stand_in_request r;
    struct buf request;
    struct buf answer;
    buf_init(&request, STAND_IN_REQUEST_MAX_BYTES);
    buf_init(&answer, (size_t)4 * STAND_IN_REQUEST_MAX_BYTES);
    if (read_request(fd, &request, &r)) {
        s->answer(s->context, &r, &answer);
        for (struct span rest = buf_span(&answer); rest.n > 0;) {
            ssize_t n = send(fd, rest.p, rest.n, MSG_NOSIGNAL);
            if (n <= 0)
                break;
            rest = span_from(rest, (size_t)n);
        }
    }
    buf_done(&request);
    buf_done(&answer);
    close(fd);
}

static void *run(void *argument) {
    struct stand_in *s = argument;
    while (!atomic_load(&s->stopping)) {
        struct pollfd p = {.fd = s->listener, .events = POLLIN};
        if (poll(&p, 1, LOOK_MS) <= 0)
            continue;
        int fd = accept(s->listener, NULL, NULL);
        if (fd >= 0)
            serve(s, fd);
    }
    return NULL;
}

struct stand_in *stand_in_start(stand_in_answer *answer, void *context) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof address;
    struct stand_in *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->answer = answer;
    s->context = context;
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(s->listener, 16) != 0 ||
        getsockname(s->listener, (struct sockaddr *)&address, &n) != 0 ||
        pthread_create(&s->thread, NULL, run, s) != 0) {
        close(s->listener);
        free(s);
        return NULL;
    }
    s->port = ntohs(address.sin_port);
    return s;
}

uint16_t stand_in_port(const struct stand_in *s) { return s->port; }

void stand_in_stop(struct stand_in *s) {
    atomic_store(&s->stopping, true);
    pthread_join(s->thread, NULL);
    close(s->listener);
    free(s);
}

void stand_in_say(struct buf *answer, int status, const char *body) {
    buf_append_format(answer,
                      "HTTP/1.1 %d Scripted\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                      status, strlen(body), body);
}

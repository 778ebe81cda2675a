#include "fileservice/net/transport.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "fileservice/base/banned.h"

#define TRANSPORT_POOL_MAX 256             /* idle easy handles kept, about 5 KiB each */
#define TRANSPORT_CONNECTION_IDLE_S 20L    /* longer idle ones are often dead: S3 closes them */
#define TRANSPORT_CONNECTION_LIFE_S 300L   /* so that DNS changes are followed */
#define TRANSPORT_SMALL_BODY_BYTES 65536   /* sent with the head; curl's own limit */
#define TRANSPORT_SINK_BUFFER_BYTES 65536L /* what one read of a streamed body brings at most */
#define TRANSPORT_BUFFER_BYTES 16384L      /* the same for answers that are gathered */
#define TRANSPORT_SILENCE_CHECKS 4         /* silence is looked for this often within its limit */

struct transport {
    struct loop *loop;
    CURLM *multi;
    struct loop_timer timer; /* curl's one timer */
    struct loop_task kick;   /* curl's timer at 0: in this step, not the next */
    struct loop_task reap;   /* collects finished transfers */
    CURL *pool[TRANSPORT_POOL_MAX];
    size_t pool_count;
    struct socket **sockets; /* by descriptor */
    size_t socket_count;
};

/* What is known of a descriptor that curl waits on, or once did. A connection that has answered is
 * `kept`: it stays with the kernel between two requests, and curl calls on_close before its end. Others
 * (a connection that is being made, the resolver's pipe) may be closed without a word. */
struct socket {
    struct loop_watch watch;
    struct transport *transport;
    bool kept;
};

struct transfer {
    struct transport *transport;
    CURL *easy;
    struct curl_slist *headers; /* an array, linked */
    transport_done *done;
    void *context;

    const struct span *body;
    size_t body_count;
    size_t body_index; /* piece that is sent now */
    size_t body_offset;

    struct transport_sink sink; /* on_head is NULL when there is none */
    bool sinking;               /* the body goes to the sink */
    bool held;                  /* the sink took none: curl keeps what it has read */
    bool refused;               /* the sink wanted no more */
    CURLcode broken;            /* why it ends although curl does not say so itself */

    struct buf head;
    bool head_is_whole;
    curl_socket_t fd; /* the last one that curl waited on for bytes; -1 before */
    struct buf received;
    struct loop_timer silence;
    uint64_t silence_step_ms;
    uint64_t progress; /* bytes either way at the last check */
    unsigned quiet_checks;
    bool timed_out;
    char reason[CURL_ERROR_SIZE];
};

enum err transport_global_init(void) {
    return curl_global_init(CURL_GLOBAL_ALL) == CURLE_OK ? ERR_OK : ERR_SYSTEM;
}

void transport_global_done(void) { curl_global_cleanup(); }

/* curl's sockets and timer on our loop */

static void socket_ready(struct loop_watch *watch, uint32_t events) {
    struct socket *s = CONTAINER_OF(watch, struct socket, watch);
    struct transport *t = s->transport;
    int mask = 0;
    if (events & (EPOLLIN | EPOLLRDHUP))
        mask |= CURL_CSELECT_IN;
    if (events & EPOLLOUT)
        mask |= CURL_CSELECT_OUT;
    if (events & (EPOLLERR | EPOLLHUP))
        mask |= CURL_CSELECT_ERR;
    int running;
    curl_multi_socket_action(t->multi, watch->fd, mask, &running); /* may free s */
    loop_post(t->loop, &t->reap);
}

static struct socket *socket_find(const struct transport *t, curl_socket_t fd) {
    return fd >= 0 && (size_t)fd < t->socket_count ? t->sockets[fd] : NULL;
}

/* The row of a descriptor, made when it is the first time. NULL when there is no memory. */
static struct socket *socket_of(struct transport *t, curl_socket_t fd) {
    if ((size_t)fd >= t->socket_count) {
        size_t count = (size_t)fd * 2 + 64;
        struct socket **longer = realloc(t->sockets, count * sizeof(struct socket *));
        if (longer == NULL)
            return NULL;
        memset(longer + t->socket_count, 0, (count - t->socket_count) * sizeof(struct socket *));
        t->sockets = longer;
        t->socket_count = count;
    }
    struct socket *s = t->sockets[fd];
    if (s == NULL)
        s = calloc(1, sizeof *s);
    if (s == NULL || t->sockets[fd] == s)
        return s;
    s->transport = t;
    s->watch = (struct loop_watch){.fd = fd, .ready = socket_ready};
    t->sockets[fd] = s;
    return s;
}

static int on_close(void *context, curl_socket_t fd) {
    struct transport *t = context;
    struct socket *s = socket_find(t, fd);
    if (s != NULL) {
        loop_watch_closing(t->loop, &s->watch);
        s->kept = false;
    }
    return close(fd);
}

static void socket_forget(struct transport *t, struct socket *s) {
    if (s == NULL)
        return;
    if (s->kept) {
        loop_watch_rest(t->loop, &s->watch);
        return;
    }
    enum err ended = loop_watch_set(t->loop, &s->watch, 0);
    (void)ended; /* ending never fails */
}

/* Ends a transfer with an error of curl's, from the loop. */
static void give_up(struct transfer *x, CURLcode code) {
    x->broken = code;
    enum err started = loop_timer_start(x->transport->loop, &x->silence, 0);
    (void)started; /* it has its place already */
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *assigned) {
    struct transport *t = context;
    struct transfer *x = NULL;
    (void)assigned;
    if (what == CURL_POLL_REMOVE) {
        socket_forget(t, socket_find(t, fd));
        return 0;
    }
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&x);
    if (x != NULL && (what & CURL_POLL_IN) != 0)
        x->fd = fd;
    struct socket *s = socket_of(t, fd);
    uint32_t events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0u) |
                      (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0u);
    /* What cannot be watched ends its transfer. curl itself is not told: a callback that fails makes it
     * give up every transfer of the handle, and 7.88 crashes over it. */
    if ((s == NULL || loop_watch_set(t->loop, &s->watch, events) != ERR_OK) && x != NULL)
        give_up(x, CURLE_OUT_OF_MEMORY);
    return 0;
}

static void advance(struct transport *t) {
    int running;
    curl_multi_socket_action(t->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    loop_post(t->loop, &t->reap);
}

static void timer_fired(struct loop_timer *timer) {
    advance(CONTAINER_OF(timer, struct transport, timer));
}

static void kick_run(struct loop_task *task) {
    advance(CONTAINER_OF(task, struct transport, kick));
}

static int on_timer(CURLM *multi, long ms, void *context) {
    (void)multi;
    struct transport *t = context;
    loop_timer_stop(t->loop, &t->timer);
    if (ms < 0)
        return 0;
    if (ms == 0 || loop_timer_start(t->loop, &t->timer, (uint64_t)ms) != ERR_OK)
        loop_post(t->loop, &t->kick); /* better too early than never */
    return 0;
}

/* One transfer's bytes */

static size_t on_read(char *out, size_t size, size_t count, void *context) {
    struct transfer *x = context;
    size_t room = size * count;
    size_t n = 0;
    while (n < room && x->body_index < x->body_count) {
        struct span rest = span_from(x->body[x->body_index], x->body_offset);
        size_t take = rest.n < room - n ? rest.n : room - n;
        if (take > 0)
            memcpy(out + n, rest.p, take);
        n += take;
        x->body_offset += take;
        if (take == rest.n) {
            x->body_index++;
            x->body_offset = 0;
        }
    }
    return n;
}

/* curl sends the body again when a kept connection turns out to be dead: only from the start. */
static int on_seek(void *context, curl_off_t offset, int origin) {
    struct transfer *x = context;
    if (origin != SEEK_SET || offset != 0)
        return CURL_SEEKFUNC_CANTSEEK;
    x->body_index = 0;
    x->body_offset = 0;
    return CURL_SEEKFUNC_OK;
}

/* The head of a success goes to the sink before its body. */
static bool end_head(struct transfer *x) {
    long status = 0;
    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    struct socket *s = socket_find(x->transport, x->fd);
    if (s != NULL)
        s->kept = true; /* a connection: it has answered */
    x->head_is_whole = status >= 200;
    x->sinking = x->sink.on_head != NULL && status >= 200 && status < 300;
    if (x->sinking)
        x->refused = !x->sink.on_head(x->sink.context, (int)status, buf_span(&x->head));
    return !x->refused;
}

static size_t on_head(char *line, size_t size, size_t count, void *context) {
    struct transfer *x = context;
    struct span s = {line, size * count};
    if (x->head_is_whole)
        return s.n; /* trailers of a chunked body: nobody asks for them */
    if (span_starts(s, SPAN("HTTP/")))
        buf_clear(&x->head); /* a 100 Continue came before */
    else
        buf_append(&x->head, s);
    bool good = buf_error(&x->head) == ERR_OK;
    if (good && span_trim(s).n == 0)
        good = end_head(x);
    return good ? s.n : 0;
}

static size_t on_write(char *data, size_t size, size_t count, void *context) {
    struct transfer *x = context;
    if (x->sinking) {
        x->held = !x->sink.on_data(x->sink.context, (struct span){data, size * count});
        return x->held ? CURL_WRITEFUNC_PAUSE : size * count;
    }
    buf_append(&x->received, (struct span){data, size * count});
    return buf_error(&x->received) == ERR_OK ? size * count : 0;
}

/* Easy handles: options that never change are set once, at birth. */

static CURL *easy_new(struct transport *t) {
    CURL *e = curl_easy_init();
    if (e == NULL)
        return NULL;
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L); /* the signature covers Host */
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_PROXY, "");
    curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L); /* a cancel must not join the resolver thread */
    curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, TRANSPORT_CONNECTION_IDLE_S);
    curl_easy_setopt(e, CURLOPT_MAXLIFETIME_CONN, TRANSPORT_CONNECTION_LIFE_S);
    curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_head);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, t);
    return e;
}

static CURL *easy_take(struct transport *t) {
    return t->pool_count > 0 ? t->pool[--t->pool_count] : easy_new(t);
}

/* A handle that met an error may stay poisoned (curl 7.88 after CURLE_SEND_FAIL_REWIND). */
static void easy_give(struct transport *t, CURL *e, bool healthy) {
    if (healthy && t->pool_count < TRANSPORT_POOL_MAX)
        t->pool[t->pool_count++] = e;
    else
        curl_easy_cleanup(e);
}

static void transfer_free(struct transfer *x, bool healthy) {
    struct transport *t = x->transport;
    loop_timer_stop(t->loop, &x->silence);
    if (x->easy != NULL) {
        curl_multi_remove_handle(t->multi, x->easy);
        curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, NULL);
        curl_easy_setopt(x->easy, CURLOPT_ERRORBUFFER, NULL);
        easy_give(t, x->easy, healthy);
    }
    free(x->headers);
    buf_done_secret(&x->head);
    buf_done_secret(&x->received);
    free(x);
}

/* Endings */

static enum err error_of(const struct transfer *x, CURLcode code, long status) {
    if (code == CURLE_OK)
        return status == 0 ? ERR_UNREACHABLE : ERR_OK;
    if (buf_error(&x->head) != ERR_OK)
        return buf_error(&x->head);
    if (buf_error(&x->received) != ERR_OK)
        return buf_error(&x->received);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return ERR_TIMEOUT;
    return code == CURLE_OUT_OF_MEMORY ? ERR_NO_MEMORY : ERR_UNREACHABLE;
}

static void finish(struct transfer *x, CURLcode code) {
    long status = 0;
    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    enum err err = x->timed_out ? ERR_TIMEOUT
                   : x->refused ? ERR_CANCELLED
                                : error_of(x, code, status);
    struct transport_response response = {
        .status = err == ERR_OK ? (int)status : 0,
        .head = buf_span(&x->head),
        .body = buf_span(&x->received),
        .reason = x->reason[0] != '\0' ? x->reason : curl_easy_strerror(code),
    };
    if (x->timed_out)
        response.reason = "no answer in time";
    else if (err == ERR_UNREACHABLE && code == CURLE_OK)
        response.reason = "the answer had no status";
    x->done(x->context, err, &response);
    transfer_free(x, err == ERR_OK);
}

static void reap_run(struct loop_task *task) {
    struct transport *t = CONTAINER_OF(task, struct transport, reap);
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(t->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE)
            continue;
        struct transfer *x = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&x);
        finish(x, message->data.result);
    }
}

static uint64_t bytes_moved(const struct transfer *x) {
    curl_off_t up = 0;
    curl_off_t down = 0;
    curl_easy_getinfo(x->easy, CURLINFO_SIZE_UPLOAD_T, &up);
    curl_easy_getinfo(x->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
    return (uint64_t)up + (uint64_t)down + x->head.n;
}

static void silence_fired(struct loop_timer *timer) {
    struct transfer *x = CONTAINER_OF(timer, struct transfer, silence);
    uint64_t moved = bytes_moved(x);
    if (x->broken != CURLE_OK) {
        finish(x, x->broken);
        return;
    }
    /* While it is held it is not S3 that is silent. */
    x->quiet_checks = moved == x->progress && !x->held ? x->quiet_checks + 1 : 0;
    x->progress = moved;
    if (x->quiet_checks < TRANSPORT_SILENCE_CHECKS &&
        loop_timer_start(x->transport->loop, timer, x->silence_step_ms) == ERR_OK)
        return;
    x->timed_out = true;
    finish(x, CURLE_OPERATION_TIMEDOUT);
}

/* Beginning */

static bool has_content_type(const struct transport_request *r) {
    for (size_t i = 0; i < r->header_count; i++) {
        struct span line = span_of(r->headers[i]);
        line.n = span_find(line, ':');
        if (span_eq_nocase(line, SPAN("Content-Type")))
            return true;
    }
    return false;
}

/* curl's list of headers in one piece of memory: first the nodes, then their texts. */
static enum err set_headers(struct transfer *x, const struct transport_request *r) {
    static const char *const none[] = {"Expect:", "Content-Type:"}; /* what curl must not add */
    if (r->header_count > TRANSPORT_HEADERS_MAX)
        return ERR_LIMIT;
    size_t own = has_content_type(r) ? 1 : 2;
    size_t count = own + r->header_count;
    size_t text_n = 0;
    for (size_t i = 0; i < count; i++)
        text_n += strlen(i < own ? none[i] : r->headers[i - own]) + 1;
    x->headers = malloc(count * sizeof *x->headers + text_n);
    if (x->headers == NULL)
        return ERR_NO_MEMORY;
    char *text = (char *)(x->headers + count);
    for (size_t i = 0; i < count; i++) {
        const char *line = i < own ? none[i] : r->headers[i - own];
        size_t n = strlen(line) + 1;
        memcpy(text, line, n);
        x->headers[i] = (struct curl_slist){text, i + 1 < count ? &x->headers[i + 1] : NULL};
        text += n;
    }
    return curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->headers) == CURLE_OK ? ERR_OK
                                                                                 : ERR_NO_MEMORY;
}

/* A small body in one piece goes out together with the head, in one write. */
static CURLcode set_small_body(CURL *e, const struct transport_request *r, curl_off_t size) {
    const char *bytes = size == 0 ? "" : r->body[0].p;
    CURLcode c = curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, size);
    return c == CURLE_OK ? curl_easy_setopt(e, CURLOPT_POSTFIELDS, bytes) : c;
}

static CURLcode set_large_body(CURL *e, curl_off_t size) {
    CURLcode c = curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
    return c == CURLE_OK ? curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, size) : c;
}

static enum err set_method(CURL *e, const struct transport_request *r) {
    curl_off_t size = 0;
    for (size_t i = 0; i < r->body_count; i++)
        size += (curl_off_t)r->body[i].n;
    bool small = size == 0 || (r->body_count == 1 && size <= TRANSPORT_SMALL_BODY_BYTES);
    bool head = span_eq(span_of(r->method), SPAN("HEAD"));
    /* Both undo what an earlier use of the handle said of bodies. With POSTFIELDS left, curl does not ask
     * on_seek before it sends a body again: half of it would go out. */
    CURLcode c = curl_easy_setopt(e, CURLOPT_POSTFIELDS, NULL);
    if (c == CURLE_OK)
        c = curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
    if (c == CURLE_OK && r->has_body)
        c = small ? set_small_body(e, r, size) : set_large_body(e, size);
    if (c == CURLE_OK && head)
        c = curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
    if (c == CURLE_OK)
        c = curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, head ? NULL : r->method);
    return c == CURLE_OK ? ERR_OK : ERR_NO_MEMORY;
}

static enum err set_up(struct transfer *x, const struct transport_request *r) {
    CURL *e = x->easy;
    if (curl_easy_setopt(e, CURLOPT_URL, r->url) != CURLE_OK)
        return ERR_NO_MEMORY;
    curl_easy_setopt(e, CURLOPT_PRIVATE, x);
    curl_easy_setopt(e, CURLOPT_READDATA, x);
    curl_easy_setopt(e, CURLOPT_SEEKDATA, x);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, x->reason);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)r->connect_ms);
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE,
                     r->sink != NULL ? TRANSPORT_SINK_BUFFER_BYTES : TRANSPORT_BUFFER_BYTES);
    enum err err = set_method(e, r);
    if (err == ERR_OK)
        err = set_headers(x, r);
    if (err == ERR_OK)
        err = loop_timer_start(x->transport->loop, &x->silence, x->silence_step_ms);
    if (err == ERR_OK && curl_multi_add_handle(x->transport->multi, e) != CURLM_OK)
        err = ERR_NO_MEMORY;
    return err;
}

enum err transport_start(struct transport *t, const struct transport_request *request,
                         transport_done *done, void *context, struct transfer **ret) {
    struct transfer *x = calloc(1, sizeof *x);
    if (x == NULL)
        return ERR_NO_MEMORY;
    x->transport = t;
    x->done = done;
    x->context = context;
    x->body = request->body;
    x->body_count = request->body_count;
    if (request->sink != NULL)
        x->sink = *request->sink;
    x->fd = -1;
    x->silence.fire = silence_fired;
    x->silence_step_ms = request->silence_ms / TRANSPORT_SILENCE_CHECKS + 1;
    buf_init(&x->head, TRANSPORT_RESPONSE_HEAD_MAX_BYTES);
    buf_init(&x->received, request->response_max_bytes != 0 ? request->response_max_bytes
                                                            : TRANSPORT_RESPONSE_BODY_MAX_BYTES);
    x->easy = easy_take(t);
    enum err err = x->easy == NULL ? ERR_NO_MEMORY : set_up(x, request);
    if (err != ERR_OK) {
        transfer_free(x, false);
        return err;
    }
    *ret = x;
    return ERR_OK;
}

void transport_resume(struct transfer *transfer) {
    struct transfer *x = transfer;
    if (!x->held)
        return;
    x->held = false;
    CURLcode code = curl_easy_pause(x->easy, CURLPAUSE_CONT); /* gives what it kept to the sink */
    if (code != CURLE_OK)
        give_up(x, code);
    loop_post(x->transport->loop, &x->transport->kick);
}

void transport_cancel(struct transfer *transfer) { transfer_free(transfer, false); }

enum err transport_new(struct loop *loop, unsigned connections, struct transport **ret,
                       struct error *error) {
    struct transport *t = calloc(1, sizeof *t);
    if (t == NULL)
        return error_set(error, ERR_NO_MEMORY, "no memory for the HTTP client");
    t->loop = loop;
    t->timer.fire = timer_fired;
    loop_task_init(&t->kick, kick_run);
    loop_task_init(&t->reap, reap_run);
    t->multi = curl_multi_init();
    if (t->multi == NULL) {
        free(t);
        return error_set(error, ERR_NO_MEMORY, "no memory for the HTTP client");
    }
    curl_multi_setopt(t->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(t->multi, CURLMOPT_SOCKETDATA, t);
    curl_multi_setopt(t->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(t->multi, CURLMOPT_TIMERDATA, t);
    curl_multi_setopt(t->multi, CURLMOPT_MAXCONNECTS, (long)connections);
    curl_multi_setopt(t->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    *ret = t;
    return ERR_OK;
}

void transport_free(struct transport *t) {
    if (t == NULL)
        return;
    while (t->pool_count > 0)
        curl_easy_cleanup(t->pool[--t->pool_count]);
    curl_multi_cleanup(t->multi);
    loop_timer_stop(t->loop, &t->timer);
    loop_cancel(t->loop, &t->kick);
    loop_cancel(t->loop, &t->reap);
    for (size_t i = 0; i < t->socket_count; i++)
        free(t->sockets[i]);
    free(t->sockets);
    free(t);
}

struct span transport_header(struct span head, const char *name) {
    struct span want = span_of(name);
    struct span found = {NULL, 0};
    struct span line;
    while (span_cut(&head, '\n', &line)) {
        size_t colon = span_find(line, ':');
        if (colon < line.n && span_eq_nocase((struct span){line.p, colon}, want))
            found = span_trim(span_from(line, colon + 1));
    }
    return found;
}

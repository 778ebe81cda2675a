/* What the HTTP client leaves behind when a transfer is given up. */
#include "fileservice/net/transport.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct loop *loop;
static struct transport *transport;

static int set_up(void **state) {
    struct error error;
    (void)state;
    return transport_global_init() == ERR_OK && loop_new(&loop, &error) == ERR_OK &&
                   transport_new(loop, 4, &transport, &error) == ERR_OK
               ? 0
               : -1;
}

static int tear_down(void **state) {
    (void)state;
    transport_free(transport);
    loop_free(loop);
    transport_global_done();
    return 0;
}

static void stop_fired(struct loop_timer *timer) {
    (void)timer;
    loop_stop(loop);
}

static void run_for_ms(uint64_t ms) {
    struct loop_timer end = {.fire = stop_fired};
    assert_int_equal(loop_timer_start(loop, &end, ms), ERR_OK);
    loop_run(loop);
    loop_timer_stop(loop, &end);
}

static void never_done(void *context, enum err err, const struct transport_response *response) {
    (void)context;
    (void)err;
    (void)response;
    fail_msg("the transfer ended");
}

/* A server that lets nobody in: its backlog is full. */
static int start_full_server(uint16_t *port, int clients[], size_t count) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof address;
    int server = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(server, 0), 0);
    assert_int_equal(getsockname(server, (struct sockaddr *)&address, &n), 0);
    *port = ntohs(address.sin_port);
    for (size_t i = 0; i < count; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(clients[i], (struct sockaddr *)&address, sizeof address);
    }
    return server;
}

struct writable {
    struct loop_watch watch;
    bool heard;
};

static void writable_ready(struct loop_watch *watch, uint32_t events) {
    (void)events;
    CONTAINER_OF(watch, struct writable, watch)->heard = true;
    loop_stop(loop);
}

/* curl closes a socket that was never connected without telling, so its number is free: who gets it next
 * must be heard. */
static void a_connection_given_up_while_it_is_made_leaves_its_number_free(void **state) {
    char url[64];
    int clients[4];
    uint16_t port;
    struct transfer *transfer;
    struct transport_request request = {
        .method = "GET", .url = url, .connect_ms = 60000, .silence_ms = 60000};
    (void)state;
    int server = start_full_server(&port, clients, 4);
    int next = dup(server); /* the number that curl's socket will get */
    close(next);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", (unsigned)port);
    assert_int_equal(transport_start(transport, &request, never_done, NULL, &transfer), ERR_OK);
    run_for_ms(20);
    int other = dup(server);
    assert_int_not_equal(other, next); /* it is taken: curl is connecting */
    close(other);
    transport_cancel(transfer);

    int ends[2];
    assert_int_equal(pipe(ends), 0);
    int writer = ends[1] == next ? ends[1] : dup2(ends[1], next);
    assert_int_equal(writer, next);
    struct writable w = {{.fd = writer, .ready = writable_ready}, false};
    assert_int_equal(loop_watch_set(loop, &w.watch, EPOLLOUT), ERR_OK);
    run_for_ms(2000); /* at most: it is heard at once */
    assert_true(w.heard);
    assert_int_equal(loop_watch_set(loop, &w.watch, 0), ERR_OK);
    for (size_t i = 0; i < 4; i++)
        close(clients[i]);
    close(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_connection_given_up_while_it_is_made_leaves_its_number_free, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

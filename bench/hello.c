/* The least that libmicrohttpd can be: what GET / of fileservice is compared with.
 * hello <port> <threads>; ends by a signal. */
#include <microhttpd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state) {
    static const char body[] = "{\"message\":\"hello\"}\n";
    static int seen;
    (void)context;
    (void)url;
    (void)method;
    (void)version;
    (void)data;
    if (*state == NULL) {
        *state = &seen;
        return MHD_YES;
    }
    *size = 0;
    struct MHD_Response *r = MHD_create_response_from_buffer_static(sizeof body - 1, body);
    if (r == NULL)
        return MHD_NO;
    MHD_add_response_header(r, "Content-Type", "application/json");
    enum MHD_Result queued = MHD_queue_response(connection, MHD_HTTP_OK, r);
    MHD_destroy_response(r);
    return queued;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        (void)fputs("hello <port> <threads>\n", stderr);
        return 64;
    }
    struct MHD_Daemon *d = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD, (uint16_t)strtoul(argv[1], NULL, 10), NULL, NULL, answer,
        NULL, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)strtoul(argv[2], NULL, 10),
        MHD_OPTION_CONNECTION_LIMIT, 4000u, MHD_OPTION_END);
    if (d == NULL) {
        (void)fputs("hello does not start\n", stderr);
        return EXIT_FAILURE;
    }
    for (;;)
        pause();
}

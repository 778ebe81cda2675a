/* What is counted of requests, and that labels are bounded. */
#include "fileservice/http/http_metrics.h"

#include "page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *page_of(const struct http_metrics *const *tables, size_t count) {
    struct buf page;
    buf_init(&page, PAGE_MAX_BYTES);
    http_metrics_write(tables, count, &page);
    assert_int_equal(buf_error(&page), ERR_OK);
    return buf_steal(&page);
}

static void nothing_has_happened_yet(void **state) {
    struct http_metrics *m = http_metrics_new();
    (void)state;
    char *page = page_of((const struct http_metrics *const[]){m}, 1);
    assert_int_equal(page_count_lines(page, "# TYPE "), 4);
    assert_int_equal(page_count_lines(page, "fileservice_http_requests_total{"), 0);
    assert_int_equal(page_count_lines(page, "fileservice_http_request_duration_seconds"), 0);
    page_assert_has(page, "\nfileservice_http_received_bytes_total 0\n");
    page_assert_has(page, "\nfileservice_http_sent_bytes_total 0\n");
    free(page);
    http_metrics_free(m);
}

static void workers_are_added_up(void **state) {
    struct http_metrics *a = http_metrics_new();
    struct http_metrics *b = http_metrics_new();
    (void)state;
    http_metrics_request(a, ROUTE_OBJECT, ROUTER_PUT, 201, 3000);
    http_metrics_request(b, ROUTE_OBJECT, ROUTER_PUT, 201, 4000);
    http_metrics_request(b, ROUTE_OBJECT, ROUTER_PUT, 503, 2000000);
    http_metrics_request(b, ROUTE_NONE, ROUTER_OTHER, 404, 1);
    http_metrics_received(a, 1000);
    http_metrics_received(b, 24);
    http_metrics_sent(b, 7);
    char *page = page_of((const struct http_metrics *const[]){a, b}, 2);
    page_assert_has(page,
                    "fileservice_http_requests_total{route=\"/file/{bucket}/{key}\",method=\"PUT\","
                    "status=\"201\"} 2\n");
    page_assert_has(page,
                    "fileservice_http_requests_total{route=\"/file/{bucket}/{key}\",method=\"PUT\","
                    "status=\"503\"} 1\n");
    page_assert_has(page, "fileservice_http_requests_total{route=\"none\",method=\"OTHER\","
                          "status=\"404\"} 1\n");
    page_assert_has(page, "fileservice_http_request_duration_seconds_bucket{"
                          "route=\"/file/{bucket}/{key}\",method=\"PUT\",le=\"0.005\"} 2\n");
    page_assert_has(page, "fileservice_http_request_duration_seconds_sum{"
                          "route=\"/file/{bucket}/{key}\",method=\"PUT\"} 2.007000\n");
    page_assert_has(page, "fileservice_http_request_duration_seconds_count{"
                          "route=\"/file/{bucket}/{key}\",method=\"PUT\"} 3\n");
    page_assert_has(page, "\nfileservice_http_received_bytes_total 1024\n");
    page_assert_has(page, "\nfileservice_http_sent_bytes_total 7\n");
    assert_int_equal(page_count_lines(page, "fileservice_http_requests_total{"), 3);
    free(page);
    http_metrics_free(a);
    http_metrics_free(b);
}

/* Whatever is answered to whatever request: 7 routes, 7 methods, 22 statuses, and the page has room. */
static void labels_are_bounded(void **state) {
    static const enum router_method methods[] = {
        ROUTER_OTHER, ROUTER_GET,    ROUTER_HEAD,    ROUTER_POST,
        ROUTER_PUT,   ROUTER_DELETE, ROUTER_OPTIONS, (enum router_method)64};
    struct http_metrics *m = http_metrics_new();
    (void)state;
    for (unsigned route = 0; route < 10; route++)
        for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
            for (unsigned status = 0; status < 1000; status++)
                http_metrics_request(m, (enum route)route, methods[i], status, status);
    char *page = page_of((const struct http_metrics *const[]){m}, 1);
    assert_int_equal(page_count_lines(page, "fileservice_http_requests_total{"), 7 * 7 * 22);
    assert_int_equal(page_count_lines(page, "fileservice_http_request_duration_seconds_bucket{"),
                     7 * 7 * (METRICS_BOUND_COUNT + 1));
    page_assert_has(page, "{route=\"/\",method=\"GET\",status=\"other\"} 979\n");
    page_assert_has(page, "{route=\"/\",method=\"GET\",status=\"499\"} 1\n");
    assert_true(strlen(page) < PAGE_MAX_BYTES / 2);
    free(page);
    http_metrics_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_has_happened_yet),
        cmocka_unit_test(workers_are_added_up),
        cmocka_unit_test(labels_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

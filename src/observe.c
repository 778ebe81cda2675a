#include "observe.h"

#include "fileservice/base/log.h"

#include "fileservice/base/banned.h"

/* The status is `s3_status`, since `status` tells the line of a request from all others. Texts that are
 * empty are left out. */
static void log_call(const struct aws_report *r) {
    const struct trace *t = r->trace;
    struct log_field fields[] = {
        {"request_id", span_of(t->request_id), 0},
        {"trace_id", span_of(t->trace_id), 0},
        {"parent_id", span_of(t->parent_id), 0},
        {"operation", span_of(s3_operation_name(r->operation)), 0},
        {"s3_status", r->status == 0 ? SPAN("") : (struct span){NULL, 0}, r->status},
        {"duration_ms", {NULL, 0}, (int64_t)(r->duration_us / 1000)},
        {"attempts", {NULL, 0}, r->attempts},
        {"s3_request_id", r->request_id, 0},
        {"error", span_of(r->error->message), 0},
    };
    log_event(LOG_DEBUG, t->request_id[0] == '\0' ? LOG_STREAM_DEFAULT : LOG_STREAM_SERVICE,
              "S3 call", fields, sizeof fields / sizeof *fields);
}

void observe_s3_call(void *context, const struct aws_report *report) {
    s3_metrics_count(context, report);
    if (log_enabled(LOG_DEBUG))
        log_call(report);
}

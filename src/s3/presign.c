#include "fileservice/s3/presign.h"

#include "fileservice/base/banned.h"

static enum err append_url(const struct s3_options *o, const char *method, struct span bucket,
                           struct span key, const struct sigv4_scope *scope,
                           const struct sigv4_credentials *k, uint32_t expires_s, struct buf *url) {
    struct url_endpoint endpoint;
    struct buf path;
    struct buf host;
    buf_init(&path, S3_KEY_MAX_BYTES + 2 * S3_BUCKET_MAX_BYTES + 2);
    buf_init(&host, URL_HOST_MAX_BYTES + 16);
    enum err e = s3_address(o, true, bucket, key, &endpoint, &path);
    if (e == ERR_OK) {
        url_append_host(&host, &endpoint);
        struct sigv4_pair header = {SPAN("host"), buf_span(&host)};
        struct sigv4_request request = {
            .method = span_of(method),
            .path = buf_span(&path),
            .headers = &header,
            .header_count = 1,
            .payload_hash = SPAN(SIGV4_UNSIGNED_PAYLOAD),
            .s3 = true,
        };
        url_append_origin(url, &endpoint);
        sigv4_append_path(url, buf_span(&path));
        buf_append_byte(url, '?');
        e = buf_error(&host);
        if (e == ERR_OK)
            e = sigv4_presign_query(&request, scope, k, expires_s, url);
    }
    buf_done(&path);
    buf_done(&host);
    return e;
}

enum err s3_presign(struct s3_client *s3, const char *method, struct span bucket, struct span key,
                    uint32_t expires_s, int64_t wall_ms, struct buf *url, int64_t *expires_wall_ms,
                    struct error *error) {
    struct credentials *credentials = NULL;
    enum err e = credentials_get(s3->aws.credentials, &credentials, error);
    if (e != ERR_OK)
        return e;
    int64_t signed_ms = wall_ms + s3->aws.clock_skew_ms;
    int64_t left_s = INT64_MAX;
    if (credentials->expires_wall_ms != CREDENTIALS_NEVER)
        left_s = (credentials->expires_wall_ms - wall_ms) / 1000;
    if (left_s < 1) {
        credentials_unref(credentials);
        return error_set(error, ERR_CREDENTIALS, "The credentials of this service have expired.");
    }
    if ((int64_t)expires_s > left_s)
        expires_s = (uint32_t)left_s;
    struct sigv4_credentials k = aws_client_signing(&s3->aws, credentials);
    struct sigv4_scope scope = {span_of(s3->options->region), SPAN("s3"), signed_ms};
    e = append_url(s3->options, method, bucket, key, &scope, &k, expires_s, url);
    credentials_unref(credentials);
    if (e != ERR_OK)
        return error_set(error, e, "The download URL could not be built.");
    /* The signature says whole seconds: that is when the life begins. */
    *expires_wall_ms = (wall_ms / 1000 + (int64_t)expires_s) * 1000;
    return ERR_OK;
}

/* The signer against the examples that AWS publishes, and against botocore on random requests. */
#include "fileservice/aws/sigv4.h"
#include "fileservice/base/file.h"
#include "fileservice/base/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FILE_MAX_BYTES 16777216
#define FIELD_MAX_BYTES 65536
#define PAIRS_MAX 24
#define VECTORS_AT_LEAST 2000
#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* Examples of the S3 API reference, all of one time, key and host. */

static const struct sigv4_credentials example_credentials = {
    {"AKIAIOSFODNN7EXAMPLE", 20},
    {"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", 40},
    {NULL, 0},
    NULL};
static const struct sigv4_scope example_scope = {{"us-east-1", 9}, {"s3", 2}, 1369353600000};
#define EXAMPLE_HOST "examplebucket.s3.amazonaws.com"
#define EXAMPLE_DATE "20130524T000000Z"

static void expect_signature(const struct sigv4_request *r, const char *signed_headers,
                             const char *signature) {
    struct buf out;
    struct buf want;
    buf_init(&out, FIELD_MAX_BYTES);
    buf_init(&want, FIELD_MAX_BYTES);
    buf_append_format(&want,
                      "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/"
                      "aws4_request, SignedHeaders=%s, Signature=%s",
                      signed_headers, signature);
    assert_int_equal(sigv4_authorization(r, &example_scope, &example_credentials, &out), ERR_OK);
    assert_string_equal(buf_text(&out), buf_text(&want));
    buf_done(&out);
    buf_done(&want);
}

static void the_published_get_with_a_range(void **state) {
    (void)state;
    const struct sigv4_pair headers[] = {{SPAN("Host"), SPAN(EXAMPLE_HOST)},
                                         {SPAN("Range"), SPAN("bytes=0-9")},
                                         {SPAN("x-amz-content-sha256"), SPAN(EMPTY_HASH)},
                                         {SPAN("x-amz-date"), SPAN(EXAMPLE_DATE)}};
    const struct sigv4_request r = {SPAN("GET"), SPAN("/test.txt"), NULL, 0, headers,
                                    4,           SPAN(EMPTY_HASH),  true};
    expect_signature(&r, "host;range;x-amz-content-sha256;x-amz-date",
                     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

static void the_published_put(void **state) {
    (void)state;
    char hash[SIGV4_HEX_BYTES + 1];
    assert_int_equal(sigv4_hash_hex(SPAN("Welcome to Amazon S3."), hash), ERR_OK);
    const struct sigv4_pair headers[] = {{SPAN("Host"), SPAN(EXAMPLE_HOST)},
                                         {SPAN("Date"), SPAN("Fri, 24 May 2013 00:00:00 GMT")},
                                         {SPAN("x-amz-storage-class"), SPAN("REDUCED_REDUNDANCY")},
                                         {SPAN("x-amz-content-sha256"), span_of(hash)},
                                         {SPAN("x-amz-date"), SPAN(EXAMPLE_DATE)}};
    const struct sigv4_request r = {SPAN("PUT"), SPAN("/test$file.text"), NULL, 0, headers,
                                    5,           span_of(hash),           true};
    expect_signature(&r, "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

static void the_published_gets_with_parameters(void **state) {
    (void)state;
    const struct sigv4_pair headers[] = {{SPAN("Host"), SPAN(EXAMPLE_HOST)},
                                         {SPAN("x-amz-content-sha256"), SPAN(EMPTY_HASH)},
                                         {SPAN("x-amz-date"), SPAN(EXAMPLE_DATE)}};
    const struct sigv4_pair lifecycle[] = {{SPAN("lifecycle"), SPAN("")}};
    const struct sigv4_pair list[] = {{SPAN("prefix"), SPAN("J")}, {SPAN("max-keys"), SPAN("2")}};
    const struct sigv4_request first = {SPAN("GET"), SPAN("/"), lifecycle,        1,
                                        headers,     3,         SPAN(EMPTY_HASH), true};
    const struct sigv4_request second = {SPAN("GET"), SPAN("/"),        list, 2, headers,
                                         3,           SPAN(EMPTY_HASH), true};
    expect_signature(&first, "host;x-amz-content-sha256;x-amz-date",
                     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    expect_signature(&second, "host;x-amz-content-sha256;x-amz-date",
                     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

static void the_published_presigned_get(void **state) {
    (void)state;
    const struct sigv4_pair host = {SPAN("host"), SPAN(EXAMPLE_HOST)};
    const struct sigv4_request r = {
        SPAN("GET"), SPAN("/test.txt"), NULL, 0, &host, 1, SPAN(SIGV4_UNSIGNED_PAYLOAD), true};
    struct buf out;
    buf_init(&out, FIELD_MAX_BYTES);
    assert_int_equal(sigv4_presign_query(&r, &example_scope, &example_credentials, 86400, &out),
                     ERR_OK);
    assert_string_equal(
        buf_text(&out),
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2F"
        "us-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&"
        "X-Amz-SignedHeaders=host&X-Amz-Signature="
        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    buf_done(&out);
}

/* The vectors */

/* One line, decoded. Pairs point into `texts`. */
struct vector {
    bool query;
    struct sigv4_request request;
    struct sigv4_scope scope;
    struct sigv4_credentials credentials;
    uint64_t expires_s;
    struct span canonical;
    struct span to_sign;
    struct span signature;
    struct sigv4_pair parameters[PAIRS_MAX];
    struct sigv4_pair headers[PAIRS_MAX];
    struct buf texts[17 + 4 * PAIRS_MAX];
    size_t text_count;
};

static struct span decode(struct vector *v, struct span encoded) {
    struct buf *b = &v->texts[v->text_count++];
    buf_init(b, FIELD_MAX_BYTES);
    assert_int_equal(url_decode(b, encoded), ERR_OK);
    return buf_span(b);
}

static size_t decode_pairs(struct vector *v, struct span text, struct sigv4_pair *pairs) {
    size_t n = 0;
    struct span pair;
    while (text.n > 0 && span_cut(&text, '&', &pair)) {
        size_t equals = span_find(pair, '=');
        assert_true(n < PAIRS_MAX);
        pairs[n].name = decode(v, (struct span){pair.p, equals});
        pairs[n++].value = decode(v, span_from(pair, equals + 1));
    }
    return n;
}

static void read_vector(struct span line, struct vector *v) {
    struct span f[17];
    uint64_t wall_ms;
    memset(v, 0, sizeof *v);
    for (size_t i = 0; i < 17; i++)
        assert_true(span_cut(&line, '\t', &f[i]));
    v->query = span_eq(f[0], SPAN("Q"));
    v->request.s3 = span_eq(f[1], SPAN("1"));
    v->request.method = decode(v, f[2]);
    v->request.path = decode(v, f[3]);
    v->request.parameters = v->parameters;
    v->request.parameter_count = decode_pairs(v, f[4], v->parameters);
    v->request.headers = v->headers;
    v->request.header_count = decode_pairs(v, f[5], v->headers);
    v->request.payload_hash = decode(v, f[6]);
    v->scope.region = decode(v, f[7]);
    v->scope.service = decode(v, f[8]);
    assert_true(span_to_u64(f[9], &wall_ms));
    v->scope.wall_ms = (int64_t)wall_ms;
    v->credentials.access_key_id = decode(v, f[10]);
    v->credentials.secret_access_key = decode(v, f[11]);
    v->credentials.session_token = decode(v, f[12]);
    assert_true(span_to_u64(f[13], &v->expires_s));
    v->canonical = decode(v, f[14]);
    v->to_sign = decode(v, f[15]);
    v->signature = decode(v, f[16]);
}

static void expect(size_t number, const char *stage, struct span got, struct span want) {
    if (!span_eq(got, want))
        fail_msg("vector %zu, %s:\n%.*s\nwanted:\n%.*s", number, stage, (int)got.n, got.p,
                 (int)want.n, want.p);
}

/* A key that is remembered from one vector to the next signs like one that is derived: the memo knows
 * when it does not fit, but for the secret, which its keeper watches. */
static void check_remembered(size_t number, const struct vector *v) {
    static struct sigv4_memo memo;
    static char secret[FIELD_MAX_BYTES];
    static size_t secret_n;
    char signature[SIGV4_HEX_BYTES + 1];
    struct sigv4_credentials k = v->credentials;
    k.memo = &memo;
    if (!span_eq((struct span){secret, secret_n}, k.secret_access_key)) {
        sigv4_memo_clear(&memo);
        secret_n = k.secret_access_key.n;
        memcpy(secret, k.secret_access_key.p, secret_n);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sigv4_signature(v->to_sign, &v->scope, &k, signature), ERR_OK);
        expect(number, "signature with a remembered key", span_of(signature), v->signature);
    }
    /* What is remembered is used: nothing but the memo knows the secret now. */
    k.secret_access_key = SPAN("");
    assert_int_equal(sigv4_signature(v->to_sign, &v->scope, &k, signature), ERR_OK);
    expect(number, "signature by the memo alone", span_of(signature), v->signature);
}

static void check_stages(size_t number, const struct vector *v) {
    char signature[SIGV4_HEX_BYTES + 1];
    struct buf canonical;
    struct buf names;
    struct buf to_sign;
    buf_init(&canonical, FIELD_MAX_BYTES);
    buf_init(&names, FIELD_MAX_BYTES);
    buf_init(&to_sign, FIELD_MAX_BYTES);
    assert_int_equal(sigv4_canonical_request(&v->request, &canonical, &names), ERR_OK);
    expect(number, "canonical request", buf_span(&canonical), v->canonical);
    assert_int_equal(sigv4_string_to_sign(v->canonical, &v->scope, &to_sign), ERR_OK);
    expect(number, "string to sign", buf_span(&to_sign), v->to_sign);
    assert_int_equal(sigv4_signature(v->to_sign, &v->scope, &v->credentials, signature), ERR_OK);
    expect(number, "signature", span_of(signature), v->signature);
    check_remembered(number, v);
    buf_done(&canonical);
    buf_done(&names);
    buf_done(&to_sign);
}

/* The query of a presigned request is the third line of its canonical request, and the signature. */
static void check_presigned(size_t number, const struct vector *v) {
    struct span lines = v->canonical;
    struct span line;
    struct buf want;
    struct buf got;
    buf_init(&want, FIELD_MAX_BYTES);
    buf_init(&got, FIELD_MAX_BYTES);
    for (int i = 0; i < 3; i++)
        assert_true(span_cut(&lines, '\n', &line));
    buf_append(&want, line);
    buf_append_text(&want, "&X-Amz-Signature=");
    buf_append(&want, v->signature);
    assert_int_equal(
        sigv4_presign_query(&v->request, &v->scope, &v->credentials, (uint32_t)v->expires_s, &got),
        ERR_OK);
    expect(number, "presigned query", buf_span(&got), buf_span(&want));
    buf_done(&want);
    buf_done(&got);
}

static void every_stage_equals_botocores(void **state) {
    (void)state;
    struct buf file;
    struct span line;
    size_t number = 0;
    struct vector *v = malloc(sizeof *v);
    assert_non_null(v);
    buf_init(&file, FILE_MAX_BYTES);
    assert_int_equal(file_read(TEST_DATA_DIR "/sigv4_vectors.tsv", &file), ERR_OK);
    struct span rest = buf_span(&file);
    while (span_cut(&rest, '\n', &line) && line.n > 0) {
        read_vector(line, v);
        number++;
        if (v->query)
            check_presigned(number, v);
        else
            check_stages(number, v);
        for (size_t i = 0; i < v->text_count; i++)
            buf_done(&v->texts[i]);
    }
    assert_true(number >= VECTORS_AT_LEAST);
    buf_done(&file);
    free(v);
}

/* Limits */

static void too_many_headers_or_parameters_are_refused(void **state) {
    (void)state;
    _Static_assert(SIGV4_HEADERS_MAX >= SIGV4_PARAMETERS_MAX, "the pairs are enough for both");
    struct sigv4_pair pairs[SIGV4_HEADERS_MAX + 1];
    struct buf a;
    struct buf b;
    for (size_t i = 0; i < SIGV4_HEADERS_MAX + 1; i++)
        pairs[i] = (struct sigv4_pair){SPAN("name"), SPAN("value")};
    struct sigv4_request r = {SPAN("GET"),          SPAN("/"), pairs,
                              SIGV4_PARAMETERS_MAX, pairs,     SIGV4_HEADERS_MAX,
                              SPAN(EMPTY_HASH),     true};
    buf_init(&a, FIELD_MAX_BYTES);
    buf_init(&b, FIELD_MAX_BYTES);
    assert_int_equal(sigv4_canonical_request(&r, &a, &b), ERR_OK);
    r.header_count++;
    assert_int_equal(sigv4_canonical_request(&r, &a, &b), ERR_LIMIT);
    r.header_count = 1;
    r.parameter_count++;
    assert_int_equal(sigv4_canonical_request(&r, &a, &b), ERR_LIMIT);
    r.parameter_count = SIGV4_PARAMETERS_MAX - 5;
    assert_int_equal(sigv4_presign_query(&r, &example_scope, &example_credentials, 1, &a),
                     ERR_LIMIT);
    buf_done(&a);
    buf_done(&b);
}

static void an_output_that_is_too_small_is_an_error(void **state) {
    (void)state;
    const struct sigv4_pair host = {SPAN("host"), SPAN(EXAMPLE_HOST)};
    const struct sigv4_request r = {
        SPAN("GET"), SPAN("/test.txt"), NULL, 0, &host, 1, SPAN(SIGV4_UNSIGNED_PAYLOAD), true};
    struct buf out;
    buf_init(&out, FIELD_MAX_BYTES);
    assert_int_equal(sigv4_presign_query(&r, &example_scope, &example_credentials, 60, &out),
                     ERR_OK);
    size_t whole = out.n;
    buf_done(&out);
    for (size_t max = 0; max <= whole; max++) {
        buf_init(&out, max);
        assert_int_equal(sigv4_presign_query(&r, &example_scope, &example_credentials, 60, &out),
                         max == whole ? ERR_OK : ERR_LIMIT);
        buf_done(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_get_with_a_range),
        cmocka_unit_test(the_published_put),
        cmocka_unit_test(the_published_gets_with_parameters),
        cmocka_unit_test(the_published_presigned_get),
        cmocka_unit_test(every_stage_equals_botocores),
        cmocka_unit_test(too_many_headers_or_parameters_are_refused),
        cmocka_unit_test(an_output_that_is_too_small_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

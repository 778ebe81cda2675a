/* What a sweep reads, and whom it takes for itself. */
#include "fileservice/s3/sweep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define UPLOADS                                                                                    \
    "<ListMultipartUploadsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"               \
    "<NextKeyMarker>b</NextKeyMarker><IsTruncated>true</IsTruncated>"                              \
    "<NextUploadIdMarker>i2</NextUploadIdMarker>"                                                  \
    "<Upload><Key>a&amp;</Key><UploadId>i1</UploadId><Initiator><ID>me</ID><DisplayName>x"         \
    "</DisplayName></Initiator><Owner><ID>other</ID></Owner><Initiated>2026</Initiated></Upload>"  \
    "<Upload><UploadId>i2</UploadId><Key>b</Key></Upload>"                                         \
    "</ListMultipartUploadsResult>"

static void expect_text(const struct texts *t, size_t i, const char *want) {
    assert_true(span_eq(texts_at(t, i), span_of(want)));
}

static void uploads_are_read_with_who_began_them(void **state) {
    struct s3_sweep_page page;
    (void)state;
    s3_sweep_page_init(&page);
    assert_int_equal(s3_sweep_read_uploads(SPAN(UPLOADS), &page), ERR_OK);
    assert_int_equal(page.uploads.count, 8);
    expect_text(&page.uploads, 0, "a&");
    expect_text(&page.uploads, 1, "i1");
    expect_text(&page.uploads, 2, "me");
    expect_text(&page.uploads, 3, "2026");
    expect_text(&page.uploads, 4, "b");
    expect_text(&page.uploads, 5, "i2");
    expect_text(&page.uploads, 6, ""); /* not the one before */
    expect_text(&page.uploads, 7, "");
    assert_string_equal(buf_text(&page.key_marker), "b");
    assert_string_equal(buf_text(&page.upload_marker), "i2");
    s3_sweep_page_done(&page);
}

static void every_prefix_of_an_answer_is_refused(void **state) {
    (void)state;
    for (size_t n = 0; n < sizeof UPLOADS - 1; n++) {
        struct s3_sweep_page page;
        s3_sweep_page_init(&page);
        assert_int_not_equal(s3_sweep_read_uploads((struct span){UPLOADS, n}, &page), ERR_OK);
        s3_sweep_page_done(&page);
    }
}

static void the_last_page_has_no_marker(void **state) {
    struct s3_sweep_page page;
    (void)state;
    s3_sweep_page_init(&page);
    assert_int_equal(
        s3_sweep_read_uploads(SPAN("<ListMultipartUploadsResult><NextKeyMarker>k</NextKeyMarker>"
                                   "<IsTruncated>false</IsTruncated>"
                                   "</ListMultipartUploadsResult>"),
                              &page),
        ERR_OK);
    assert_int_equal(page.key_marker.n, 0);
    s3_sweep_page_done(&page);
}

static void buckets_are_read(void **state) {
    struct texts names;
    (void)state;
    texts_init(&names, 10, 1000);
    assert_int_equal(
        s3_sweep_read_buckets(SPAN("<ListAllMyBucketsResult><Owner><ID>1</ID></Owner><Buckets>"
                                   "<Bucket><Name>one</Name><CreationDate/></Bucket>"
                                   "<Bucket><CreationDate/><Name>two</Name></Bucket></Buckets>"
                                   "</ListAllMyBucketsResult>"),
                              &names),
        ERR_OK);
    assert_int_equal(names.count, 2);
    expect_text(&names, 0, "one");
    expect_text(&names, 1, "two");
    assert_int_equal(s3_sweep_read_buckets(SPAN("<Error/>"), &names), ERR_UPSTREAM);
    texts_done(&names);
}

static void sessions_of_one_role_are_one_initiator(void **state) {
    static const struct {
        const char *a;
        const char *b;
        bool same;
    } rows[] = {
        {"arn:aws:sts::1:assumed-role/r/s1", "arn:aws:sts::1:assumed-role/r/s2", true},
        {"arn:aws:sts::1:assumed-role/r/s1", "arn:aws:sts::1:assumed-role/r2/s1", false},
        {"arn:aws:sts::1:assumed-role/r/s1", "arn:aws:sts::2:assumed-role/r/s1", false},
        {"arn:aws:iam::1:user/a", "arn:aws:iam::1:user/a", true},
        {"arn:aws:iam::1:user/a", "arn:aws:iam::1:user/b", false},
        {"75aa57f0", "75aa57f0", true},
        {"a/b/c", "a/b/d", false},
        {"", "", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(s3_sweep_same_initiator(span_of(rows[i].a), span_of(rows[i].b)),
                         rows[i].same);
        assert_int_equal(s3_sweep_same_initiator(span_of(rows[i].b), span_of(rows[i].a)),
                         rows[i].same);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uploads_are_read_with_who_began_them),
        cmocka_unit_test(every_prefix_of_an_answer_is_refused),
        cmocka_unit_test(the_last_page_has_no_marker),
        cmocka_unit_test(buckets_are_read),
        cmocka_unit_test(sessions_of_one_role_are_one_initiator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

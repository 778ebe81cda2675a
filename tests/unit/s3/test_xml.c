#include "fileservice/s3/xml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define NAMESPACE "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

static const char error_text[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code><Message>It is "
    "&quot;gone&quot; &amp; lost</Message><Key>a</Key><RequestId>R1</RequestId><Region>eu-west-1"
    "</Region><Nested><Code>Other</Code></Nested></Error>";
static const char created_text[] =
    "<InitiateMultipartUploadResult " NAMESPACE "><Bucket>b</Bucket><UploadId>id==/+</UploadId>"
    "</InitiateMultipartUploadResult>";
static const char completed_text[] =
    " \r\n \n  <?xml version=\"1.0\"?><CompleteMultipartUploadResult " NAMESPACE
    "><ETag>&quot;abc-2"
    "&quot;</ETag><ChecksumCRC32>y/Q5Jg==</ChecksumCRC32><ChecksumCRC64NVME>rosUhgp5mIg="
    "</ChecksumCRC64NVME><ChecksumType>FULL_OBJECT</ChecksumType></CompleteMultipartUploadResult>"
    "\n";

static void an_error_is_read(void **state) {
    struct s3_xml x;
    (void)state;
    assert_int_equal(s3_xml_parse(span_of(error_text), &x), ERR_OK);
    assert_string_equal(x.root, "Error");
    assert_string_equal(x.code, "NoSuchKey");
    assert_string_equal(x.message, "It is \"gone\" & lost");
    assert_string_equal(x.request_id, "R1");
    assert_string_equal(x.region, "eu-west-1");
    assert_string_equal(x.upload_id, "");
}

static void an_upload_id_and_an_etag_are_read_verbatim(void **state) {
    struct s3_xml x;
    (void)state;
    assert_int_equal(s3_xml_parse(span_of(created_text), &x), ERR_OK);
    assert_string_equal(x.upload_id, "id==/+");
    assert_int_equal(s3_xml_parse(span_of(completed_text), &x), ERR_OK);
    assert_string_equal(x.root, "CompleteMultipartUploadResult");
    assert_string_equal(x.etag, "\"abc-2\"");
    assert_string_equal(x.checksum_crc32, "y/Q5Jg==");
    assert_string_equal(x.checksum_crc64nvme, "rosUhgp5mIg=");
    assert_string_equal(x.checksum_sha256, "");
}

static void every_prefix_is_refused_and_leaves_the_result(void **state) {
    static const char *const texts[] = {error_text, created_text, completed_text};
    (void)state;
    for (size_t t = 0; t < 3; t++) {
        size_t whole = span_trim(span_of(texts[t])).n;
        size_t blanks = strspn(texts[t], " \r\n");
        for (size_t n = 0; n < blanks + whole; n++) {
            struct s3_xml x;
            memset(&x, 'k', sizeof x);
            assert_int_equal(s3_xml_parse((struct span){texts[t], n}, &x), ERR_UPSTREAM);
            assert_int_equal(x.code[0], 'k');
        }
    }
}

static void what_is_hostile_is_refused(void **state) {
    static const char *const rows[] = {
        "",
        "   ",
        "not xml",
        "<Error><Code>a</Error></Code>",
        "<!DOCTYPE Error><Error/>",
        "<!DOCTYPE e [<!ENTITY a \"b\">]><Error><Code>&a;</Code></Error>",
        "<!DOCTYPE e SYSTEM \"file:///etc/passwd\"><Error/>",
        "<Error>&undefined;</Error>",
        "<Error/><Error/>",
        "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a></a></a></"
        "a>"
        "</a></a></a></a></a></a>",
    };
    struct s3_xml x;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(s3_xml_parse(span_of(rows[i]), &x), ERR_UPSTREAM);
}

static void a_long_message_is_cut_and_a_long_upload_id_refused(void **state) {
    struct s3_xml x;
    struct buf b;
    (void)state;
    buf_init(&b, 10000);
    buf_append_text(&b, "<Error><Message>");
    for (int i = 0; i < 2000; i++)
        buf_append_byte(&b, 'm');
    buf_append_text(&b, "</Message></Error>");
    assert_int_equal(s3_xml_parse(buf_span(&b), &x), ERR_OK);
    assert_int_equal(strlen(x.message), ERROR_MESSAGE_MAX_BYTES - 1);
    for (size_t n = S3_XML_FIELD_MAX_BYTES - 1; n <= S3_XML_FIELD_MAX_BYTES; n++) {
        buf_clear(&b);
        buf_append_text(&b, "<InitiateMultipartUploadResult><UploadId>");
        for (size_t i = 0; i < n; i++)
            buf_append_byte(&b, 'u');
        buf_append_text(&b, "</UploadId></InitiateMultipartUploadResult>");
        assert_int_equal(s3_xml_parse(buf_span(&b), &x),
                         n < S3_XML_FIELD_MAX_BYTES ? ERR_OK : ERR_UPSTREAM);
    }
    buf_done(&b);
}

static void what_was_escaped_is_read_back(void **state) {
    struct s3_xml x;
    struct buf b;
    struct span text = SPAN("\"<&>' a\r\nb\xC3\xA4");
    (void)state;
    buf_init(&b, 1000);
    buf_append_text(&b, "<Error><Message>");
    s3_xml_escape(&b, text);
    buf_append_text(&b, "</Message></Error>");
    assert_int_equal(s3_xml_parse(buf_span(&b), &x), ERR_OK);
    assert_true(span_eq(span_of(x.message), text));
    buf_done(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_is_read),
        cmocka_unit_test(an_upload_id_and_an_etag_are_read_verbatim),
        cmocka_unit_test(every_prefix_is_refused_and_leaves_the_result),
        cmocka_unit_test(what_is_hostile_is_refused),
        cmocka_unit_test(a_long_message_is_cut_and_a_long_upload_id_refused),
        cmocka_unit_test(what_was_escaped_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

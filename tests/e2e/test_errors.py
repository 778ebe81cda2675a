"""Every row of the table of errors, and requests that nobody honest would send."""

import socket

import pytest
from s3_stand_in import Answer
from support.checks import check_error, check_stored
from support.process import free_port
from support.raw import ask, connect, read_answer
from support.service import PART_BYTES
from support.waiting import wait_until

MIB = 1 << 20
FORM = {"Content-Type": "multipart/form-data; boundary=B"}


@pytest.fixture(scope="module")
def open_door(start_module_service, module_s3):
    """A service in front of a stand-in that has the bucket `bucket` with the file `key`."""
    module_s3.put("bucket", "key", b"hello")
    return start_module_service(module_s3, CLIENT_HEADER_TIMEOUT_SECONDS="3")


def part(name, content, file_name=None):
    file_name = "" if file_name is None else f'; filename="{file_name}"'
    return f'--B\r\nContent-Disposition: form-data; name="{name}"{file_name}\r\n\r\n{content}\r\n'


FILE = part("file", "hello", "hello.txt")
END = "--B--\r\n"


def post(service, body, path="/file/bucket", headers=None):
    return service.request("POST", path, data=body.encode(), headers=headers or FORM)


# 400: forms


@pytest.mark.parametrize(
    "body",
    [
        "",
        END,
        "no boundary at all",
        part("other", "x") + END,
        part("file", "x").replace('name="file"', 'name="files"') + END,
        FILE,
        FILE[:-10],
        part("key", "x"),
        FILE + FILE + END,
        FILE + part("key", "late") + END,
        FILE + part("bucket", "late") + END,
        part("key", "a") + part("key", "b") + FILE + END,
        "--B\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + END,
        "--B\r\n\r\nx\r\n" + END,
        "--B\r\nContent-Disposition: form-data; name=\"file\r\n\r\nx\r\n" + END,
        "--B\r\nX: " + "y" * 100_000 + "\r\n\r\nx\r\n" + END,
        part("key", "k" * 1025) + FILE + END,
        part("key", "a/../b") + FILE + END,
        part("file", "x", "") + END,
        part("file", "x", "..") + END,
        part("file", "x", "dir/") + END,
    ],
    ids=[
        "empty", "only-the-end", "no-boundary", "no-file", "another-name", "no-end", "cut",
        "no-file-no-end", "two-files", "late-key", "late-bucket", "two-keys", "no-name",
        "no-disposition", "open-quote", "long-head", "long-key", "dot-segments",
        "no-file-name", "dots-as-name", "name-ends-in-slash",
    ],
)  # fmt: skip
def test_a_broken_form_is_400(open_door, module_s3, body):
    before = dict(module_s3.buckets["bucket"])
    check_error(post(open_door, body), 400)
    assert module_s3.buckets["bucket"] == before, "a refused form was stored"
    assert not module_s3.uploads


def test_a_form_without_bucket_says_so(open_door):
    body = check_error(post(open_door, FILE + END, path="/file/"), 400)
    assert "bucket" in body["message"]


def test_a_late_bucket_says_that_it_must_come_first(open_door):
    body = check_error(post(open_door, FILE + part("bucket", "bucket") + END, path="/file/"), 400)
    assert "bucket" in body["message"] and "before" in body["message"]


@pytest.mark.parametrize("boundary", ["", "; boundary=", "; boundary=" + "b" * 71])
def test_a_form_without_a_good_boundary_is_400(open_door, boundary):
    headers = {"Content-Type": "multipart/form-data" + boundary}
    check_error(post(open_door, FILE + END, headers=headers), 400)


@pytest.mark.parametrize("given", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_post_of_anything_but_a_form_is_415(open_door, given):
    headers = {"Content-Type": given} if given else {"X-Nothing": "1"}
    check_error(post(open_door, FILE + END, headers=headers), 415)
    check_error(post(open_door, FILE + END, path="/file/", headers=headers), 415)


# 400: names


@pytest.mark.parametrize(
    "name",
    ["ab", "a" * 64, "Upper", "under_score", "-front", "back-", "a..b", "192.168.5.4",
     "xn--name", "name-s3alias", "b%20c", "b%2Fc", ".dot", "%C3%A4bc"],
)  # fmt: skip
def test_a_bad_bucket_name_is_400(open_door, module_s3, name):
    seen = len(module_s3.requests())
    for method in ("PUT", "GET", "DELETE"):
        check_error(open_door.request(method, f"/file/{name}/key"), 400, "InvalidBucketName")
    check_error(post(open_door, FILE + END, path=f"/file/{name}"), 400, "InvalidBucketName")
    if "%" not in name:
        body = part("bucket", name) + FILE + END
        check_error(post(open_door, body, path="/file/"), 400, "InvalidBucketName")
    assert len(module_s3.requests()) == seen, "S3 was asked"


@pytest.mark.parametrize(
    "key",
    ["k" * 1025, "%C3%A4" * 513, "a%FFb", "%C0%AF", "%ED%A0%80", "a%00b", "a%01b", "a%0Ab", "a%7Fb",
     ".", "..", "a/../b", "a/./b", "%2E%2E/b", "a/%2e", "a%2F..%2Fb", "a%zzb", "a%"],
)  # fmt: skip
def test_a_bad_key_is_400(open_door, module_s3, key):
    seen = len(module_s3.requests())
    for method in ("PUT", "GET", "DELETE"):
        head = f"{method} /file/bucket/{key} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        answer = ask(open_door.port, head.encode())
        assert answer is not None and answer.status == 400, (method, answer)
        assert b'"code":"Invalid' in answer.body
    assert len(module_s3.requests()) == seen, "S3 was asked"


@pytest.mark.parametrize(
    "value", ["0", "604801", "-1", "", "abc", "1.5", "+5", "0x10", "5&expires=6", "9" * 30]
)
def test_a_bad_expires_is_400(open_door, module_s3, value):
    seen = len(module_s3.requests())
    for method in ("GET", "HEAD", "PUT"):
        answer = open_door.request(method, f"/file/bucket/key?expires={value}")
        assert answer.status_code == 400, (method, answer.text)
    check_error(post(open_door, FILE + END, path=f"/file/bucket?expires={value}"), 400)
    assert len(module_s3.requests()) == seen, "S3 was asked"


def test_an_unknown_delivery_is_400(open_door):
    check_error(open_door.get("/file/bucket/key?delivery=pigeon"), 400)


# 400: bodies


@pytest.mark.parametrize("sent", [0, 1, 10, 99])
def test_a_body_shorter_than_promised_is_400(open_door, module_s3, sent):
    head = b"PUT /file/bucket/short HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    with connect(open_door.port) as s:
        s.sendall(head + b"x" * sent)
        s.shutdown(socket.SHUT_WR)
        answer = read_answer(s)
    assert module_s3.object("bucket", "short") is None
    assert answer is not None, "closed without the 400 that a half-closed client can still read"
    assert answer.status == 400


@pytest.mark.parametrize(
    "body",
    [b"5\r\nhello\r\n", b"5\r\nhel", b"zz\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n"],
)
def test_a_broken_chunked_body_is_never_stored(open_door, module_s3, body):
    head = b"PUT /file/bucket/short HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connect(open_door.port) as s:
        s.sendall(head + body)
        s.shutdown(socket.SHUT_WR)
        answer = read_answer(s)
    assert answer is None or answer.status == 400
    assert module_s3.object("bucket", "short") is None


# 401 and 403


@pytest.fixture(scope="module")
def guarded(start_module_service, module_s3):
    module_s3.put("bucket", "key", b"hello")
    return start_module_service(module_s3, API_KEYS="alpha-key-1,beta-key-2")


@pytest.mark.parametrize(
    "given",
    [None, "Bearer wrong", "Bearer alpha-key-", "Bearer alpha-key-12", "Bearer", "Bearer ",
     "alpha-key-1", "Basic alpha-key-1", "Bearer alpha-key-1,beta-key-2"],
)  # fmt: skip
def test_a_missing_or_wrong_api_key_is_401(guarded, module_s3, given):
    seen = len(module_s3.requests())
    headers = {"Authorization": given} if given else {}
    for method, path in (("GET", "/file/bucket/key"), ("DELETE", "/file/bucket/key")):
        answer = guarded.request(method, path, headers=headers)
        check_error(answer, 401)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    check_error(guarded.put("/file/bucket/new", b"x" * MIB, headers=headers), 401)
    check_error(post(guarded, FILE + END, headers={**FORM, **headers}), 401)
    assert len(module_s3.requests()) == seen, "S3 was asked"


@pytest.mark.parametrize("given", ["Bearer alpha-key-1", "Bearer beta-key-2", "bearer alpha-key-1"])
def test_a_right_api_key_opens(guarded, given):
    assert guarded.get("/file/bucket/key", headers={"Authorization": given}).status_code == 200


def test_what_needs_no_api_key_stays_open(guarded):
    for path in ("/", "/healthz", "/readyz"):
        assert guarded.get(path).status_code == 200
    assert guarded.request("OPTIONS", "/file/bucket/key").status_code == 204


def test_a_bucket_that_is_not_allowed_is_403(start_service, s3):
    service = start_service(s3, BUCKET_ALLOWLIST="allowed, also-allowed")
    for method in ("PUT", "GET", "DELETE"):
        answer = service.request(method, "/file/bucket/key")
        check_error(answer, 403, "AccessDenied")
    check_error(post(service, FILE + END), 403, "AccessDenied")
    check_error(post(service, part("bucket", "bucket") + FILE + END, path="/file/"), 403)
    assert s3.requests() == []
    for bucket in ("allowed", "also-allowed"):
        assert service.put(f"/file/{bucket}/key", b"x").status_code == 201


def test_access_denied_by_s3_is_403(start_service, s3):
    s3.script_always("*", Answer(403, error="AccessDenied"))
    service = start_service(s3)
    for method in ("GET", "PUT", "DELETE"):
        check_error(service.request(method, "/file/bucket/key"), 403, "AccessDenied")


# 404 and 405


def test_a_missing_file_is_404(open_door):
    check_error(open_door.get("/file/bucket/none"), 404, "NoSuchKey")
    check_error(open_door.get("/file/bucket/none?delivery=redirect"), 404, "NoSuchKey")


def test_a_missing_bucket_is_404(open_door):
    check_error(open_door.get("/file/missing-bucket/none"), 404, "NoSuchBucket")


def test_head_of_a_missing_file_is_404_without_a_body(open_door):
    answer = open_door.request("HEAD", "/file/bucket/none")
    assert (answer.status_code, answer.content) == (404, b"")
    assert answer.headers["X-Request-Id"]


@pytest.mark.parametrize(
    "path", ["/nowhere", "/files/", "/healthz/x", "/FILE/bucket/key", "/favicon.ico"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_route_is_404_and_named(open_door, method, path):
    body = check_error(open_door.request(method, path + "?a=b"), 404)
    assert body["message"] == f"Route {path} does not exist."


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/", {"GET", "HEAD"}),
        ("DELETE", "/", {"GET", "HEAD"}),
        ("POST", "/healthz", {"GET", "HEAD"}),
        ("PUT", "/readyz", {"GET", "HEAD"}),
        ("GET", "/file/", {"POST"}),
        ("PUT", "/file", {"POST"}),
        ("PUT", "/file/bucket", {"GET", "HEAD", "POST"}),
        ("DELETE", "/file/bucket/", {"GET", "HEAD", "POST"}),
        ("POST", "/file/bucket/key", {"DELETE", "GET", "HEAD", "PUT"}),
        ("PATCH", "/file/bucket/key", {"DELETE", "GET", "HEAD", "PUT"}),
        ("BREW", "/", {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method_is_405_and_the_right_ones_are_named(open_door, method, path, allowed):
    answer = open_door.request(method, path)
    check_error(answer, 405)
    named = {name.strip() for name in answer.headers["Allow"].split(",")}
    assert named - {"OPTIONS"} == allowed


# 413

LIMIT = PART_BYTES + MIB


@pytest.fixture(scope="module")
def small_door(start_module_service, module_s3):
    module_s3.make_bucket("bucket")
    return start_module_service(module_s3, UPLOAD_MAX_BYTES=LIMIT)


def test_the_largest_file_that_is_allowed_is_stored(small_door, module_s3):
    content = b"m" * LIMIT
    check_stored(small_door.put("/file/bucket/largest", content), content, "bucket", "largest")
    check_stored(
        small_door.put("/file/bucket/largest", iter([content])), content, "bucket", "largest"
    )


def test_a_promised_length_over_the_limit_is_413_before_the_body(small_door, module_s3):
    seen = len(module_s3.requests())
    head = (
        f"PUT /file/bucket/large HTTP/1.1\r\nHost: x\r\nContent-Length: {LIMIT + 1}\r\n"
        "Expect: 100-continue\r\n\r\n"
    )
    answer = ask(small_door.port, head.encode())
    assert answer.status == 413, "a 100 or nothing came first"
    assert b"EntityTooLarge" in answer.body
    assert len(module_s3.requests()) == seen


def test_a_client_that_sends_without_waiting_still_reads_the_413(small_door, module_s3):
    seen = len(module_s3.requests())
    check_error(small_door.put("/file/bucket/large", b"x" * (LIMIT + 1)), 413, "EntityTooLarge")
    check_error(small_door.put("/file/bucket/large", b"x" * 20 * MIB), 413, "EntityTooLarge")
    assert len(module_s3.requests()) == seen


def chunks(total):
    while total > 0:
        yield b"x" * min(total, 65536)
        total -= 65536


def test_a_chunked_body_over_the_limit_is_413_and_aborted(small_door, module_s3):
    aborts = len(module_s3.requests("AbortMultipartUpload"))
    answer = small_door.put("/file/bucket/large", chunks(LIMIT + MIB))
    check_error(answer, 413, "EntityTooLarge")
    module_s3.wait_for("AbortMultipartUpload", aborts + 1)
    wait_until(lambda: not module_s3.uploads, 5, "the upload is gone from S3")
    assert module_s3.object("bucket", "large") is None


def test_a_file_of_a_form_over_the_limit_is_413(small_door, module_s3):
    files = {"file": ("large", b"x" * (LIMIT + 1))}
    check_error(small_door.request("POST", "/file/bucket", files=files), 413, "EntityTooLarge")
    assert module_s3.object("bucket", "large") is None


# 502, 503, 504


def test_no_connection_to_s3_is_a_quick_502(start_service, s3):
    s3.url = f"http://127.0.0.1:{free_port()}"
    service = start_service(s3)
    for method in ("GET", "PUT", "DELETE"):
        answer = service.request(method, "/file/bucket/key")
        check_error(answer, 502)
        assert answer.elapsed.total_seconds() < 5


def test_a_name_that_does_not_resolve_is_502(start_service, s3):
    s3.url = "http://s3.invalid"
    check_error(start_service(s3).get("/file/bucket/key"), 502)


def test_a_server_that_speaks_no_tls_is_502(start_service, s3):
    s3.url = s3.url.replace("http:", "https:")
    check_error(start_service(s3).get("/file/bucket/key"), 502)
    assert s3.requests() == [], "it fell back to plain http"


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch"])
def test_rejected_credentials_are_502(start_service, s3, code):
    s3.script_always("*", Answer(403, error=code))
    service = start_service(s3)
    for method in ("GET", "PUT", "DELETE"):
        check_error(service.request(method, "/file/bucket/key"), 502, code)


def test_a_wrong_secret_is_502_at_a_strict_server(start_service, versitygw, bucket):
    service = start_service(versitygw, AWS_SECRET_ACCESS_KEY="not-the-secret")
    check_error(service.put(f"/file/{bucket}/key", b"x"), 502)
    assert service.get("/readyz").status_code == 503


def test_an_s3_that_fails_for_ever_is_502(start_service, s3):
    s3.script_always("*", Answer(500, error="InternalError"))
    service = start_service(s3)
    for method in ("GET", "PUT", "DELETE"):
        check_error(service.request(method, "/file/bucket/key"), 502)


def test_an_s3_that_is_overloaded_is_503_with_retry_after(start_service, s3):
    s3.script_always("*", Answer(503, error="SlowDown"))
    answer = start_service(s3, S3_MAX_ATTEMPTS="2").get("/file/bucket/key")
    check_error(answer, 503, "SlowDown")
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_an_s3_that_hangs_is_504(start_service, s3, method):
    s3.script_always("*", Answer(hang=True))
    service = start_service(s3, S3_TIMEOUT_MS="1000", S3_MAX_ATTEMPTS="1")
    answer = service.request(method, "/file/bucket/key")
    check_error(answer, 504)
    assert answer.elapsed.total_seconds() < 5


# Smuggling: two readers of one request must not see two requests

BODY = b"\r\n\r\nGET /file/bucket/key HTTP/1.1\r\nHost: x\r\n\r\n"
PUT = b"PUT /file/bucket/smuggled HTTP/1.1\r\n"
SMUGGLED = {
    "two-lengths": PUT + b"Host: x\r\nContent-Length: 0\r\nContent-Length: 45" + BODY,
    "length-list": PUT + b"Host: x\r\nContent-Length: 0, 45" + BODY,
    "length-and-chunked": PUT + b"Host: x\r\nContent-Length: 45\r\nTransfer-Encoding: chunked"
    + b"\r\n\r\n0" + BODY,
    "chunked-twice": PUT + b"Host: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked"
    + b"\r\n\r\n0" + BODY,
    "encoding-list": PUT + b"Host: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0" + BODY,
    "chunked-not-last": PUT + b"Host: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0" + BODY,
    "unknown-encoding": PUT + b"Host: x\r\nTransfer-Encoding: xchunked\r\n\r\n0" + BODY,
    "negative-length": PUT + b"Host: x\r\nContent-Length: -1" + BODY,
    "signed-length": PUT + b"Host: x\r\nContent-Length: +45" + BODY,
    "huge-length": PUT + b"Host: x\r\nContent-Length: 99999999999999999999999" + BODY,
    "length-of-letters": PUT + b"Host: x\r\nContent-Length: 4x" + BODY,
    "bare-lf": (PUT + b"Host: x\r\nContent-Length: 0" + BODY).replace(b"\r\n", b"\n"),
    "bare-cr": PUT + b"Host: x\rContent-Length: 45" + BODY,
    "folded-line": PUT + b"Host: x\r\nX: a\r\n b: c\r\nContent-Length: 0" + BODY,
    "folded-length": PUT + b"Host: x\r\nContent-Length:\r\n 45" + BODY,
    "blank-before-colon": PUT + b"Host: x\r\nContent-Length : 45" + BODY,
    "blank-before-name": PUT + b"Host: x\r\n Content-Length: 45" + BODY,
    "nul-in-header": PUT + b"Host: x\r\nX: a\x00b\r\nContent-Length: 0" + BODY,
    "nul-in-path": b"PUT /file/bucket/a\x00b HTTP/1.1\r\nHost: x\r\nContent-Length: 0" + BODY,
    "encoded-nul-in-path": b"PUT /file/bucket/a%00b HTTP/1.1\r\nHost: x\r\n"
    + b"Content-Length: 0\r\n\r\n",
    "encoded-line-end-in-path": b"PUT /file/bucket/a%0d%0aX:%20b HTTP/1.1\r\nHost: x\r\n"
    + b"Content-Length: 0\r\n\r\n",
    "no-host": PUT + b"Content-Length: 0" + BODY,
    "two-hosts": PUT + b"Host: x\r\nHost: y\r\nContent-Length: 0" + BODY,
    "no-header-name": PUT + b"Host: x\r\n: a\r\nContent-Length: 0" + BODY,
    "line-without-colon": PUT + b"Host: x\r\nnonsense\r\nContent-Length: 0" + BODY,
    "http-0.9": b"PUT /file/bucket/smuggled\r\n\r\n",
    "http-3": b"PUT /file/bucket/smuggled HTTP/3.7\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200 + b"\r\n\r\n",
    "long-chunk-size": PUT + b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 18 + BODY,
    "no-chunk-size": PUT + b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\n;x=y" + BODY,
    "chunk-without-end": PUT + b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabcdef" + BODY,
}  # fmt: skip


@pytest.mark.parametrize("name", SMUGGLED)
def test_a_request_that_two_servers_may_read_differently_is_refused(open_door, module_s3, name):
    seen = len(module_s3.requests())
    answer = ask(open_door.port, SMUGGLED[name])
    assert answer is None or answer.status in (400, 413, 501, 505), answer
    assert len(module_s3.requests()) == seen, f"S3 was asked: {module_s3.operations()[seen:]}"
    assert open_door.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("request_bytes", "allowed"),
    [
        (PUT + b"Host: x\r\n" + b"X-A: b\r\n" * 60000 + b"\r\n", (400, 431)),
        (PUT + b"Host: x\r\nX-Long: " + b"y" * MIB + b"\r\n\r\n", (400, 431)),
        (b"GET /" + b"u" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", (400, 414, 431)),
        (b"x" * 10 * MIB, (400, 414, 431)),
    ],
    ids=["many-lines", "long-line", "long-target", "no-line-end"],
)
def test_an_oversized_head_is_refused(open_door, module_s3, request_bytes, allowed):
    seen = len(module_s3.requests())
    answer = ask(open_door.port, request_bytes)
    assert answer is None or answer.status in allowed, answer
    assert len(module_s3.requests()) == seen
    assert open_door.get("/healthz").status_code == 200


def test_a_head_that_trickles_in_is_cut(open_door):
    with connect(open_door.port, timeout_s=10) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        assert read_answer(s) is None, "answered, or kept for longer than the deadline"

"""GET ?delivery=stream: the bytes themselves, through the service."""

import hashlib
import os
import random
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate, parsedate_to_datetime

import pytest
import requests
from s3_stand_in import Answer
from support.checks import check_error, sha256
from support.raw import connect, path_of, read_answer, reset
from support.waiting import wait_until

MIB = 1 << 20
CONTENT = random.Random(4).randbytes(300_000)
STREAM = "?delivery=stream"


@pytest.fixture(scope="module", params=["localstack", "versitygw"])
def stored(request, service, strict_service):
    """An object with all that can be stored with it, put there by boto3, and the service before it."""
    server = request.getfixturevalue(request.param)
    bucket = f"stream-{os.urandom(6).hex()}"
    server.s3.create_bucket(Bucket=bucket)
    server.s3.put_object(
        Bucket=bucket,
        Key="dir/data.bin",
        Body=CONTENT,
        ContentType="text/x-test",
        ContentDisposition='inline; filename="x.bin"',
        ContentLanguage="de",
        ContentEncoding="identity-x",
        CacheControl="max-age=7",
        Metadata={"color": "blue", "size": "7"},
    )
    server.s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    return {"localstack": service, "versitygw": strict_service}[request.param], bucket


def stream(stored, key="dir/data.bin", method="GET", query=STREAM, headers=None):
    service, bucket = stored
    return service.request(
        method, path_of(bucket, key) + query, headers={"Accept-Encoding": "identity", **(headers or {})}
    )


def test_the_bytes_come_with_what_was_stored_with_them(stored):
    answer = stream(stored)
    assert answer.status_code == 200
    assert sha256(answer.content) == sha256(CONTENT)
    wanted = {
        "Content-Type": "text/x-test",
        "Content-Length": str(len(CONTENT)),
        "Content-Disposition": 'inline; filename="x.bin"',
        "Content-Language": "de",
        "Content-Encoding": "identity-x",
        "Cache-Control": "max-age=7",
        "Accept-Ranges": "bytes",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "x-amz-meta-color": "blue",
        "x-amz-meta-size": "7",
    }
    for name, value in wanted.items():
        assert answer.headers.get(name) == value, name
    assert answer.headers["ETag"] == f'"{hashlib.md5(CONTENT).hexdigest()}"'
    assert answer.headers["Last-Modified"].endswith("GMT")
    assert answer.headers["X-Request-Id"]


def test_head_says_what_get_says_without_the_bytes(stored):
    get, head = stream(stored), stream(stored, method="HEAD")
    assert (head.status_code, head.content) == (200, b"")
    changing = {"Date", "X-Request-Id"}
    # What S3 servers themselves say differently of HEAD is left to them.
    names = set(get.headers) & set(head.headers)
    assert {"Content-Length", "Content-Type", "ETag", "Content-Security-Policy"} <= names
    for name in names - changing:
        assert head.headers[name] == get.headers[name], name


def test_an_empty_object_is_empty(stored):
    answer = stream(stored, "empty")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Length"] == "0"
    assert stream(stored, "empty", method="HEAD").headers["Content-Length"] == "0"


@pytest.mark.parametrize(
    ("spec", "begin", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=299999-", 299999, 300000),
        ("bytes=-5", 299995, 300000),
        ("bytes=100-999999", 100, 300000),
    ],
)
def test_a_range_is_what_was_asked_for(stored, spec, begin, end):
    answer = stream(stored, headers={"Range": spec})
    assert answer.status_code == 206
    assert answer.content == CONTENT[begin:end]
    assert answer.headers["Content-Range"] == f"bytes {begin}-{end - 1}/{len(CONTENT)}"
    assert answer.headers["Content-Length"] == str(end - begin)


def test_a_range_beyond_the_end_says_how_long_the_object_is(stored):
    answer = stream(stored, headers={"Range": "bytes=300000-"})
    check_error(answer, 416, "InvalidRange")
    assert answer.headers["Content-Range"] == "bytes */300000"


def s3_304(stored, headers):
    """The headers of S3's own 304."""
    service, bucket = stored
    url = service.get(path_of(bucket, "dir/data.bin")).json()["data"]["location"]
    return requests.get(url, headers=headers, timeout=10).headers


def test_conditions_are_judged(stored):
    first = stream(stored)
    etag, modified = first.headers["ETag"], first.headers["Last-Modified"]
    # versitygw compares fractions of a second that the header cannot say
    later = parsedate_to_datetime(modified).timestamp() + 1
    wait_until(lambda: time.time() > later + 1, 5, "the next second")
    modified = formatdate(later, usegmt=True)
    rows = [
        ({"If-None-Match": etag}, 304),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-Match": etag}, 200),
        ({"If-Match": '"other"'}, 412),
        ({"If-Modified-Since": modified}, 304),
        ({"If-Modified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}, 200),
        ({"If-Unmodified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}, 412),
        ({"If-Unmodified-Since": modified}, 200),
    ]
    for headers, status in rows:
        answer = stream(stored, headers=headers)
        assert answer.status_code == status, headers
        if status == 304:
            assert answer.content == b""
            # LocalStack leaves it out
            assert answer.headers.get("ETag") == (etag if "ETag" in s3_304(stored, headers) else None)
        elif status == 412:
            check_error(answer, 412, "PreconditionFailed")
        else:
            assert answer.content == CONTENT
        assert stream(stored, method="HEAD", headers=headers).status_code == status, headers


def test_if_range_holds_only_for_the_same_object(stored):
    first = stream(stored)
    etag, modified = first.headers["ETag"], first.headers["Last-Modified"]
    rows = [
        (etag, 206),
        (modified, 206),
        ('"other"', 200),
        (f"W/{etag}", 200),
        ("Sat, 01 Jan 2000 00:00:00 GMT", 200),
        ("nonsense", 200),
    ]
    for value, status in rows:
        answer = stream(stored, headers={"Range": "bytes=1-2", "If-Range": value})
        assert answer.status_code == status, value
        assert answer.content == (CONTENT[1:3] if status == 206 else CONTENT), value
    beyond = stream(stored, headers={"Range": "bytes=400000-", "If-Range": '"other"'})
    assert (beyond.status_code, beyond.content) == (200, CONTENT)


def test_what_is_missing_is_404(stored):
    check_error(stream(stored, "nothing"), 404, "NoSuchKey")
    assert stream(stored, "nothing", method="HEAD").status_code == 404
    service, _ = stored
    check_error(service.get(path_of("no-such-bucket-at-all", "x") + STREAM), 404, "NoSuchBucket")


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("a/b/report.pdf", 'attachment; filename="report.pdf"'),
        ('say "hi" 100%.txt', "attachment; filename=\"say _hi_ 100_.txt\"; filename*=UTF-8''say%20%22hi%22%20100%25.txt"),
        ("grün/Übung.txt", "attachment; filename=\"__bung.txt\"; filename*=UTF-8''%C3%9Cbung.txt"),
    ],
)  # fmt: skip
def test_download_makes_browsers_save_it_under_its_name(stored, key, wanted):
    service, bucket = stored
    service.put(path_of(bucket, key), b"content")
    answer = stream(stored, key, query=STREAM + "&download=1")
    assert (answer.status_code, answer.content) == (200, b"content")
    assert answer.headers["Content-Disposition"] == wanted


@pytest.mark.parametrize("query", ["?delivery=boat", "?delivery=", "?delivery=stream&delivery=stream",
                                   "?delivery=stream&download=2", "?download=1"])  # fmt: skip
def test_other_words_are_refused(stored, query):
    assert stream(stored, query=query).status_code == 400


def test_a_connection_serves_one_after_the_other(stored):
    service, bucket = stored
    with requests.Session() as session:
        for i in range(5):
            url = f"{service.url}{path_of(bucket, 'dir/data.bin')}{STREAM}"
            answer = session.get(url, headers={"Range": f"bytes={i}-{i * 1000}"}, timeout=10)
            assert answer.content == CONTENT[i : i * 1000 + 1] or i == 0
    ports = {line["remote"] for line in service.logs() if line.get("path") == path_of(bucket, "dir/data.bin")}
    assert ports


@pytest.mark.parametrize("size", [1, 65535, 131072, 131073, 5 * MIB, 40 * MIB])
def test_every_size_comes_whole(strict_service, versitygw, bucket, size):
    content = random.Random(size).randbytes(size)
    versitygw.s3.create_bucket(Bucket=bucket)
    versitygw.s3.put_object(Bucket=bucket, Key="x", Body=content)
    answer = strict_service.get(path_of(bucket, "x") + STREAM, timeout=60)
    assert (answer.status_code, sha256(answer.content)) == (200, sha256(content))


def test_many_at_once_get_their_own_bytes(strict_service, versitygw, bucket):
    versitygw.s3.create_bucket(Bucket=bucket)
    contents = {f"k{i}": random.Random(i).randbytes(100_000 * (i + 1)) for i in range(16)}
    for key, content in contents.items():
        versitygw.s3.put_object(Bucket=bucket, Key=key, Body=content)

    def fetch(key):
        return sha256(strict_service.get(path_of(bucket, key) + STREAM, timeout=60).content)

    with ThreadPoolExecutor(16) as pool:
        keys = list(contents) * 4
        for key, digest in zip(keys, pool.map(fetch, keys)):
            assert digest == sha256(contents[key]), key


# Readers and faults


def ask(service, target, headers=""):
    s = connect(service.port, 30)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    s.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
    return s


def read_all(s):
    data = bytearray()
    while piece := s.recv(1 << 16):
        data += piece
    return bytes(data)


def test_a_slow_reader_holds_s3_back_and_gets_everything(start_service, s3):
    """S3's silence is then ours: it is no timeout, and memory stays small."""
    content = random.Random(1).randbytes(64 * MIB)
    s3.put("bucket", "x", content)
    service = start_service(s3, S3_TIMEOUT_MS=1000, WORKERS=1)
    before = service.memory_bytes("VmRSS")
    s = ask(service, "/file/bucket/x" + STREAM, "Connection: close\r\n")
    time.sleep(3)  # the longest silence that is allowed, three times over
    assert service.memory_bytes("VmRSS") - before < 8 * MIB
    head, _, body = read_all(s).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert sha256(body) == sha256(content)


def test_a_reader_below_the_least_rate_is_cut(start_service, s3):
    s3.put("bucket", "x", bytes(64 * MIB))
    service = start_service(s3, CLIENT_IDLE_TIMEOUT_SECONDS=1, CLIENT_MIN_BYTES_PER_SECOND=1000)
    with ask(service, "/file/bucket/x" + STREAM):
        line = service.wait_log(lambda line: line.get("path") == "/file/bucket/x", "the cut")
    assert line["status"] == 200 and line["error"]
    assert line["bytes_out"] < 64 * MIB


def test_a_reader_that_moves_is_not_cut_however_large_the_buffers(start_service, s3):
    content = random.Random(2).randbytes(8 * MIB)
    s3.put("bucket", "x", content)
    service = start_service(s3, CLIENT_IDLE_TIMEOUT_SECONDS=1, CLIENT_MIN_BYTES_PER_SECOND=1000)
    data = b""
    with ask(service, "/file/bucket/x" + STREAM, "Connection: close\r\n") as s:
        for _ in range(20):  # 4 s at about 80 KB/s
            data += s.recv(16384)
            time.sleep(0.2)
        data += read_all(s)
    assert sha256(data.partition(b"\r\n\r\n")[2]) == sha256(content)


def test_a_client_that_goes_away_ends_the_read(start_service, s3):
    s3.put("bucket", "x", bytes(256 * MIB))
    service = start_service(s3, WORKERS=1)
    for leave in (reset, socket.socket.close):
        s = ask(service, "/file/bucket/x" + STREAM)
        s.recv(1000)
        leave(s)
        wait_until(lambda: service.s3_sockets(s3.port) == 0, 5, "the connection to S3 is closed")
    lines = [line for line in service.logs() if line.get("path") == "/file/bucket/x"]
    assert [line.get("error") for line in lines] == ["the client went away"] * 2


@pytest.mark.parametrize("after", [0, 1, 1000, 500_000])
def test_a_read_that_s3_breaks_off_never_looks_complete(start_service, s3, after):
    content = bytes(MIB)
    s3.put("bucket", "x", content)
    s3.script("GetObject", Answer(200, body=content, close_after=after))
    service = start_service(s3, S3_MAX_ATTEMPTS=1)
    with ask(service, "/file/bucket/x" + STREAM) as s:
        assert read_answer(s) is None
    line = service.wait_log(lambda line: line.get("path") == "/file/bucket/x", "the broken read")
    assert "did not answer" in line["error"] or "transfer closed" in line["error"]
    answer = service.get("/file/bucket/x" + STREAM)
    assert answer.content == content


def test_a_read_that_s3_hangs_in_is_cut(start_service, s3):
    """The promised length never comes."""
    s3.put("bucket", "x", b"x")
    s3.script("GetObject", Answer(200, headers={"Content-Length": "100"}, body=b"x"))
    service = start_service(s3, S3_TIMEOUT_MS=300, S3_MAX_ATTEMPTS=1)
    with ask(service, "/file/bucket/x" + STREAM) as s:
        assert read_answer(s) is None
    service.wait_log(lambda line: "no answer in time" in line.get("error", ""), "the timeout")


def test_failures_before_the_first_byte_have_a_status(start_service, s3):
    s3.put("bucket", "x", b"content")
    service = start_service(s3, S3_TIMEOUT_MS=300, S3_MAX_ATTEMPTS=2)
    rows = [
        ([Answer(500, error="InternalError")] * 2, 502, "InternalError"),
        ([Answer(503, error="SlowDown")] * 2, 503, "SlowDown"),
        ([Answer(403, error="AccessDenied")], 403, "AccessDenied"),
        ([Answer(403, error="SignatureDoesNotMatch")], 502, "SignatureDoesNotMatch"),
        ([Answer(hang=True)] * 2, 504, "GatewayTimeout"),
        ([Answer(close_before=True)] * 4, 502, None),
        ([Answer(200, headers={"Content-Length": "x"})] * 2, 502, None),
    ]
    for answers, status, code in rows:
        s3.script("GetObject", *answers)
        check_error(service.get("/file/bucket/x" + STREAM), status, code)
        s3.script_clear("GetObject")
    s3.script("GetObject", Answer(500, error="InternalError"))
    assert service.get("/file/bucket/x" + STREAM).content == b"content"  # the second try


def test_a_head_that_fits_no_answer_is_an_error_and_not_half_a_file(start_service, s3):
    """More headers of S3's than an answer holds: nothing of the object goes out under an error."""
    s3.put("bucket", "x", b"content")
    service = start_service(s3)
    much = {"x-amz-meta-much": "m" * 40_000, "Content-Length": "7"}
    s3.script("GetObject", Answer(200, headers=much, body=b"content"))
    check_error(service.get("/file/bucket/x" + STREAM), 503)
    s3.script("HeadObject", Answer(200, headers=much))
    assert service.request("HEAD", "/file/bucket/x" + STREAM).status_code == 503
    many = {f"x-amz-meta-{n}": "m" for n in range(130)}
    s3.script("GetObject", Answer(200, headers=many, body=b"content"))
    check_error(service.get("/file/bucket/x" + STREAM), 500)
    assert service.get("/file/bucket/x" + STREAM).content == b"content"


def test_a_failed_head_has_the_status_of_its_reason(start_service, s3):
    s3.put("bucket", "x", b"content")
    service = start_service(s3)
    s3.script("HeadObject", Answer(403))
    s3.script("GetObject", Answer(403, error="SignatureDoesNotMatch"))
    assert service.request("HEAD", "/file/bucket/x" + STREAM).status_code == 502
    s3.script("HeadObject", Answer(403))
    s3.script("GetObject", Answer(403, error="AccessDenied"))
    assert service.request("HEAD", "/file/bucket/x" + STREAM).status_code == 403


def test_keys_and_buckets_are_guarded_as_everywhere(start_service, s3):
    s3.put("bucket", "x", b"content")
    service = start_service(s3, API_KEYS="k1", BUCKET_ALLOWLIST="other")
    check_error(service.get("/file/bucket/x" + STREAM), 401, "Unauthorized")
    headers = {"Authorization": "Bearer k1"}
    check_error(service.get("/file/bucket/x" + STREAM, headers=headers), 403, "AccessDenied")

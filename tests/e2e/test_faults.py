"""What S3, the network and clients do wrong, in front of a scripted S3."""

import concurrent.futures
import email.utils
import socket
import time

import pytest
from s3_stand_in import Answer
from support.checks import check_error, check_stored, sha256
from support.process import free_port
from support.raw import connect, fetch, read_answer, reset
from support.service import PART_BYTES
from support.waiting import wait_until

MIB = 1 << 20
SMALL = b"small content " * 1000
LARGE = bytes(range(256)) * ((12 * MIB) // 256)  # three parts
PATH = "/file/bucket/key"


@pytest.fixture
def s3(s3):
    s3.make_bucket("bucket")
    return s3


def check_nothing_left(s3, key="key"):
    wait_until(lambda: not s3.uploads, 5, "no multipart upload is left on S3")
    assert s3.object("bucket", key) is None


def stored(s3):
    return s3.object("bucket", "key").body


# A single PutObject


@pytest.mark.parametrize(
    "fault",
    [
        Answer(500, error="InternalError"),
        Answer(503, error="ServiceUnavailable"),
        Answer(503, error="SlowDown"),
        Answer(400, error="RequestTimeout"),
        Answer(502, body=b"<html>bad gateway</html>"),
        Answer(close_before=True),
        Answer(reset_after=100_000),
        Answer(200),  # an answer without an ETag is none
    ],
    ids=["500", "503", "SlowDown", "RequestTimeout", "502-html", "closed", "reset", "no-etag"],
)
def test_a_put_that_fails_once_is_sent_again_whole(start_service, s3, fault):
    content = LARGE[: 3 * MIB]
    s3.script("PutObject", fault)
    check_put = start_service(s3).put(PATH, content)
    assert check_put.status_code == 201, check_put.text
    tries = s3.requests("PutObject")
    assert len(tries) == 2
    assert tries[1].sha256 == sha256(content)
    assert stored(s3) == content


def test_every_try_is_signed_anew(start_service, s3):
    s3.script("PutObject", Answer(500, error="InternalError"), Answer(503, error="SlowDown"))
    assert start_service(s3).put(PATH, SMALL).status_code == 201
    for request in s3.requests("PutObject"):
        assert request.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=")
        assert request.headers["x-amz-content-sha256"] == sha256(SMALL)
        assert "transfer-encoding" not in request.headers
        assert "expect" not in request.headers


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidArgument", "KeyTooLongError"])
def test_what_cannot_get_better_is_not_sent_again(start_service, s3, code):
    status = 403 if code == "AccessDenied" else 400
    s3.script_always("PutObject", Answer(status, error=code))
    check_error(start_service(s3).put(PATH, SMALL), status, code)
    assert len(s3.requests("PutObject")) == 1


def test_slow_down_for_ever_is_503_with_retry_after(start_service, s3):
    s3.script_always("PutObject", Answer(503, error="SlowDown"))
    answer = start_service(s3).put(PATH, SMALL)
    check_error(answer, 503, "SlowDown")
    assert int(answer.headers["Retry-After"]) > 0
    assert len(s3.requests("PutObject")) == 3


def test_the_number_of_tries_is_a_setting(start_service, s3):
    s3.script_always("PutObject", Answer(500, error="InternalError"))
    check_error(start_service(s3, S3_MAX_ATTEMPTS="5").put(PATH, SMALL), 502)
    assert len(s3.requests("PutObject")) == 5


def test_an_s3_that_falls_silent_is_504_in_time(start_service, s3):
    s3.script_always("PutObject", Answer(hang=True))
    service = start_service(s3, S3_TIMEOUT_MS="1000", S3_MAX_ATTEMPTS="2")
    answer = service.put(PATH, SMALL)
    check_error(answer, 504)
    assert 1.5 < answer.elapsed.total_seconds() < 6
    assert service.get("/healthz").elapsed.total_seconds() < 1


def test_an_s3_that_hangs_once_is_asked_again(start_service, s3):
    s3.script("PutObject", Answer(hang=True))
    service = start_service(s3, S3_TIMEOUT_MS="1000")
    answer = service.put(PATH, SMALL)
    check_stored_in(s3, answer, SMALL)


def check_stored_in(s3, answer, content):
    assert answer.status_code == 201, answer.text
    assert stored(s3) == content


def test_a_slow_answer_is_waited_for(start_service, s3):
    s3.script("PutObject", Answer(200, headers={"ETag": '"slow"'}, delay_s=1.5, apply=True))
    check_stored_in(s3, start_service(s3).put(PATH, SMALL), SMALL)
    assert len(s3.requests("PutObject")) == 1


def test_no_connection_is_502_at_once(start_service, s3):
    s3.url = f"http://127.0.0.1:{free_port()}"
    answer = start_service(s3).put(PATH, SMALL)
    check_error(answer, 502)
    assert answer.elapsed.total_seconds() < 5


def test_a_storm_of_errors_spends_the_retry_quota(start_service, s3):
    s3.script_always("PutObject", Answer(500, error="InternalError"))
    service = start_service(s3, WORKERS="1")
    for _ in range(60):
        check_error(service.put(PATH, b"x"), 502)
    assert len(s3.requests("PutObject")) <= 60 + 36, "retries make an outage worse"
    s3.script_always("PutObject", None)
    assert service.put(PATH, b"x").status_code == 201


# The clock


def test_a_skewed_clock_is_learnt_from_s3_and_tried_once_more(start_service, s3):
    theirs = time.time() + 20 * 60
    date = email.utils.formatdate(theirs, usegmt=True)
    s3.script("PutObject", Answer(403, error="RequestTimeTooSkewed", headers={"Date": date}))
    check_stored_in(s3, start_service(s3).put(PATH, SMALL), SMALL)
    tries = s3.requests("PutObject")
    assert len(tries) == 2
    signed = [time.strptime(r.headers["x-amz-date"], "%Y%m%dT%H%M%SZ") for r in tries]
    shift = time.mktime(signed[1]) - time.mktime(signed[0])
    assert abs(shift - 20 * 60) <= 5, f"the second try is signed {shift} s later"


# Reading and deleting


def test_a_head_that_fails_once_is_asked_again(start_service, s3):
    s3.put("bucket", "key", SMALL)
    s3.script("HeadObject", Answer(500), Answer(close_before=True))
    answer = start_service(s3).get(PATH)
    assert (answer.status_code, answer.json()["data"]["size"]) == (200, len(SMALL))


def test_the_reason_of_a_failed_head_is_asked_for(start_service, s3):
    check_error(start_service(s3).get(PATH), 404, "NoSuchKey")
    assert s3.operations() == ["HeadObject", "GetObject"]
    assert s3.requests("GetObject")[0].headers["range"] == "bytes=0-0"


def test_nothing_is_deleted_when_nothing_is_there(start_service, s3):
    check_error(start_service(s3).request("DELETE", PATH), 404, "NoSuchKey")
    assert "DeleteObject" not in s3.operations()


# Parts


def test_only_the_part_that_failed_is_sent_again(start_service, s3):
    s3.script("UploadPart", Answer(), Answer(500, error="InternalError"), Answer(reset_after=MIB))
    check_stored_in(s3, start_service(s3).put(PATH, LARGE), LARGE)
    wanted = [sha256(LARGE[at : at + PART_BYTES]) for at in range(0, len(LARGE), PART_BYTES)]
    whole = [r for r in s3.requests("UploadPart") if r.whole]
    assert {(r.query["partNumber"], r.sha256) for r in whole} == {
        (str(number), digest) for number, digest in enumerate(wanted, 1)
    }
    assert len(s3.requests("UploadPart")) == 6
    assert len(s3.requests("CreateMultipartUpload")) == 1


def test_parts_that_fail_for_ever_are_502_and_aborted(start_service, s3):
    s3.script_always("UploadPart", Answer(500, error="InternalError"))
    check_error(start_service(s3).put(PATH, LARGE), 502)
    s3.wait_for("AbortMultipartUpload")
    check_nothing_left(s3)
    assert "CompleteMultipartUpload" not in s3.operations()


def test_a_part_that_is_denied_is_403_and_aborted(start_service, s3):
    s3.script_always("UploadPart", Answer(403, error="AccessDenied"))
    check_error(start_service(s3).put(PATH, LARGE), 403, "AccessDenied")
    s3.wait_for("AbortMultipartUpload")
    check_nothing_left(s3)
    assert len(s3.requests("UploadPart")) <= 4


def test_a_begin_without_an_id_is_asked_again(start_service, s3):
    s3.script("CreateMultipartUpload", Answer(200, body=b"<nonsense"), Answer(200))
    check_stored_in(s3, start_service(s3).put(PATH, LARGE), LARGE)


def test_an_abort_that_fails_once_is_sent_again(start_service, s3):
    s3.script_always("UploadPart", Answer(403, error="AccessDenied"))
    s3.script("AbortMultipartUpload", Answer(500, error="InternalError"))
    check_error(start_service(s3).put(PATH, LARGE), 403)
    check_nothing_left(s3)


def test_parts_that_are_left_on_s3_are_said_in_the_log(start_service, s3):
    s3.script_always("UploadPart", Answer(403, error="AccessDenied"))
    s3.script_always("AbortMultipartUpload", Answer(403, error="AccessDenied"))
    service = start_service(s3)
    check_error(service.put(PATH, LARGE), 403)
    line = service.wait_log(lambda line: line.get("bucket") == "bucket", "of the parts left")
    assert line["level"] == "error" and line["stream"] == "default"


# Complete


def complete_error(code):
    """A 200 that says in its body that it is none."""
    return Answer(
        200, body=f"\n\n   <Error><Code>{code}</Code><Message>x</Message></Error>".encode()
    )


def test_an_error_inside_a_200_of_complete_is_tried_again(start_service, s3):
    s3.script("CompleteMultipartUpload", complete_error("InternalError"))
    check_stored_in(s3, start_service(s3).put(PATH, LARGE), LARGE)
    assert len(s3.requests("CompleteMultipartUpload")) == 2


def test_a_denial_inside_a_200_of_complete_is_no_success(start_service, s3):
    s3.script_always("CompleteMultipartUpload", complete_error("AccessDenied"))
    answer = start_service(s3).put(PATH, LARGE)
    assert answer.status_code in (403, 502), answer.text
    check_error(answer, answer.status_code, "AccessDenied")
    s3.wait_for("AbortMultipartUpload")
    check_nothing_left(s3)
    assert len(s3.requests("CompleteMultipartUpload")) == 1


def test_a_complete_of_which_the_answer_was_lost_is_proved(start_service, s3):
    """The first one takes effect and its answer is lost; the second hears NoSuchUpload."""
    s3.script("CompleteMultipartUpload", Answer(200, apply=True, close_before=True))
    check_stored_in(s3, start_service(s3).put(PATH, LARGE), LARGE)
    assert len(s3.requests("CompleteMultipartUpload")) == 2
    assert "HeadObject" in s3.operations()
    assert "AbortMultipartUpload" not in s3.operations()


def test_a_complete_of_which_every_answer_was_lost_is_proved(start_service, s3):
    s3.script("CompleteMultipartUpload", Answer(200, apply=True, close_before=True))
    s3.script_always("CompleteMultipartUpload", Answer(close_before=True))
    check_stored_in(s3, start_service(s3).put(PATH, LARGE), LARGE)
    assert "AbortMultipartUpload" not in s3.operations()


def test_a_complete_that_may_have_worked_is_never_aborted(start_service, s3):
    """Nothing says that it took effect, nothing says that it did not."""
    s3.script_always("CompleteMultipartUpload", Answer(close_before=True))
    service = start_service(s3)
    check_error(service.put(PATH, LARGE), 502)
    service.wait_log(lambda line: line.get("bucket") == "bucket", "of the parts left")
    assert "AbortMultipartUpload" not in s3.operations()
    assert s3.object("bucket", "key") is None


def test_a_complete_of_which_the_answer_is_cut_is_proved(start_service, s3):
    cut = Answer(200, apply=True, body=b"<CompleteMultipartUploadResult>" * 9, close_after=20)
    s3.script("CompleteMultipartUpload", cut)
    check_stored_in(s3, start_service(s3).put(PATH, LARGE), LARGE)
    assert "AbortMultipartUpload" not in s3.operations()


def test_white_space_before_the_end_of_complete_is_waited_for(start_service, s3):
    etag = b"<ETag>&quot;abc-3&quot;</ETag>"
    body = (
        b'<?xml version="1.0" encoding="UTF-8"?>\n\n\n   <CompleteMultipartUploadResult>'
        + etag
        + b"</CompleteMultipartUploadResult>"
    )
    slow = Answer(200, apply=True, body=body, delay_s=2)
    s3.script("CompleteMultipartUpload", slow)
    answer = start_service(s3, S3_TIMEOUT_MS="1000").put(PATH, LARGE)
    check_stored_in(s3, answer, LARGE)
    assert answer.json()["data"]["etag"] == '"abc-3"'


def test_if_none_match_holds_for_large_files_too(start_service, s3):
    s3.put("bucket", "key", b"first")
    answer = start_service(s3).put(PATH, LARGE, headers={"If-None-Match": "*"})
    check_error(answer, 412, "PreconditionFailed")
    s3.wait_for("AbortMultipartUpload")
    assert stored(s3) == b"first"


# Clients that go away


def begin(service, promised, sent, chunked=False):
    s = connect(service.port)
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {promised}"
    s.sendall(f"PUT {PATH} HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n".encode())
    body = LARGE[:sent]
    s.sendall(b"%x\r\n%s\r\n" % (sent, body) if chunked else body)
    return s


GOING = {
    "close": lambda s: s.close(),
    "half-close": lambda s: s.shutdown(socket.SHUT_WR),
    "reset": reset,
}


@pytest.mark.parametrize("way", GOING)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_client_that_goes_away_leaves_nothing(start_service, s3, way, chunked):
    service = start_service(s3)
    s = begin(service, len(LARGE), PART_BYTES + MIB, chunked)
    with s:
        s3.wait_for("UploadPart")
        GOING[way](s)
        s3.wait_for("AbortMultipartUpload", timeout_s=5)
        check_nothing_left(s3)
    assert "CompleteMultipartUpload" not in s3.operations()


@pytest.mark.parametrize("way", GOING)
def test_a_client_that_goes_away_while_held_back_leaves_nothing(start_service, s3, way):
    """S3 answers none of the four parts that may be on their way; what comes then stays unread."""
    s3.script_always("UploadPart", Answer(hang=True))
    service = start_service(s3)
    content = bytes(4 * PART_BYTES + 1000)  # few enough that the end can follow them
    with connect(service.port) as s:
        s.sendall(f"PUT {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {100 * MIB}\r\n\r\n".encode())
        s.sendall(content)
        s3.wait_for("UploadPart", 4)
        GOING[way](s)
        s3.wait_for("AbortMultipartUpload", timeout_s=5)
        check_nothing_left(s3)


@pytest.mark.parametrize("way", GOING)
def test_a_client_that_goes_away_early_is_never_seen_by_s3(start_service, s3, way):
    service = start_service(s3)
    before = service.client_sockets(s3.port)
    with begin(service, len(SMALL), len(SMALL) - 1) as s:
        wait_until(lambda: service.client_sockets(s3.port) > before, 5, "the upload has begun")
        GOING[way](s)
        wait_until(lambda: service.client_sockets(s3.port) == before, 5, "the end is noticed")
    assert s3.operations() == []


def test_many_clients_that_go_away_leave_nothing(start_service, s3):
    """The end of the connection comes together with the last bytes, at every point of a body."""
    service = start_service(s3)
    before = service.client_sockets(s3.port)
    ways = list(GOING.values())
    for number in range(60):
        s = begin(service, 6 * MIB, number * 100_000 + 1)
        ways[number % 3](s)
        s.close()
    wait_until(lambda: service.client_sockets(s3.port) == before, 5, "every end is noticed")
    check_nothing_left(s3)
    assert "CompleteMultipartUpload" not in s3.operations()


def test_a_client_that_half_closes_after_its_request_is_served(start_service, s3):
    service = start_service(s3)
    with begin(service, len(SMALL), len(SMALL)) as s:
        s.shutdown(socket.SHUT_WR)
        answer = read_answer(s)
    assert s3.object("bucket", "key") is not None
    assert answer is not None and answer.status == 201


def test_a_body_shorter_than_promised_is_never_stored(start_service, s3):
    service = start_service(s3)
    with begin(service, 7 * MIB, 7 * MIB - 1) as s:
        s.shutdown(socket.SHUT_WR)
        answer = read_answer(s)
    assert answer is None or answer.status == 400
    check_nothing_left(s3)


def test_a_body_that_stalls_is_cut(start_service, s3):
    service = start_service(s3, CLIENT_IDLE_TIMEOUT_SECONDS="1", CLIENT_HEADER_TIMEOUT_SECONDS="1")
    with begin(service, len(LARGE), PART_BYTES + 1) as s:
        s3.wait_for("AbortMultipartUpload", timeout_s=8)
        assert read_answer(s) is None
    check_nothing_left(s3)


def test_a_body_that_trickles_is_cut(start_service, s3):
    service = start_service(s3, CLIENT_IDLE_TIMEOUT_SECONDS="1", CLIENT_MIN_BYTES_PER_SECOND="1000")
    with begin(service, len(SMALL), 1) as s:
        start = time.monotonic()
        s.settimeout(0.1)
        answer = b"-"
        while answer == b"-" and time.monotonic() - start < 10:
            try:
                s.sendall(b"x")
                answer = s.recv(1)
            except TimeoutError:
                pass
            except ConnectionError:
                answer = b""
    assert answer == b"", "a client that sends 10 bytes a second is kept"
    assert s3.operations() == []


# Buckets that are missing


@pytest.mark.parametrize(
    ("region", "constraint"), [("us-east-1", None), ("eu-central-1", "eu-central-1")]
)
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_a_missing_bucket_is_made_and_the_same_bytes_sent_again(
    start_service, s3, region, constraint, content
):
    service = start_service(s3, AWS_DEFAULT_REGION=region)
    answer = service.put("/file/new-bucket/key", content)
    check_stored(answer, content, "new-bucket", "key")
    create = s3.requests("CreateBucket")
    assert len(create) == 1
    if constraint is None:
        assert create[0].size == 0
    else:
        assert f"<LocationConstraint>{constraint}<".encode() in create[0].body
    cors = s3.requests("PutBucketCors")
    assert len(cors) == 1
    assert "content-md5" in cors[0].headers or "x-amz-sdk-checksum-algorithm" in cors[0].headers
    for word in (b"GET", b"HEAD", b"ETag", b"3600", b"<AllowedOrigin>*<"):
        assert word in s3.cors["new-bucket"]
    opening = "PutObject" if content is SMALL else "CreateMultipartUpload"
    digests = {r.sha256 for r in s3.requests(opening)}
    assert len(s3.requests(opening)) == 2 and len(digests) == 1


def test_a_missing_bucket_is_404_when_none_are_made(start_service, s3):
    service = start_service(s3, BUCKET_AUTO_CREATE="false")
    for content in (SMALL, LARGE):
        check_error(service.put("/file/new-bucket/key", content), 404, "NoSuchBucket")
    assert "CreateBucket" not in s3.operations()
    assert "new-bucket" not in s3.buckets


@pytest.mark.parametrize("code", ["BucketAlreadyOwnedByYou", "OperationAborted"])
def test_a_bucket_that_another_copy_makes_is_used(start_service, s3, code):
    if code == "OperationAborted":
        s3.script("CreateBucket", Answer(409, error=code))
    else:
        s3.script("CreateBucket", Answer(409, error=code, apply=True))
    answer = start_service(s3).put("/file/new-bucket/key", SMALL)
    check_stored(answer, SMALL, "new-bucket", "key")


def test_a_bucket_of_someone_else_is_not_taken(start_service, s3):
    s3.script_always("PutObject", Answer(404, error="NoSuchBucket"))
    s3.script_always("CreateBucket", Answer(409, error="BucketAlreadyExists"))
    answer = start_service(s3).put("/file/new-bucket/key", SMALL)
    assert answer.status_code in (403, 409), answer.text
    check_error(answer, answer.status_code)


def test_a_server_without_cors_still_stores(start_service, s3):
    s3.script_always("PutBucketCors", Answer(501, error="NotImplemented"))
    service = start_service(s3)
    check_stored(service.put("/file/new-bucket/key", SMALL), SMALL, "new-bucket", "key")
    service.wait_log(lambda line: line["level"] in ("warn", "warning"), "a warning about CORS")


def test_many_first_uploads_make_one_bucket(start_service, s3):
    service = start_service(s3)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        url = f"{service.url}/file/new-bucket/key-"
        done = list(pool.map(lambda n: fetch("PUT", url + str(n), body=SMALL), range(16)))
    assert {d.status for d in done} == {201}, [d.first for d in done if d.status != 201]
    assert len(s3.buckets["new-bucket"]) == 16

"""Every call of an upload fails in every way: what the client hears, and what is left on S3.

The states are those of s3/upload.c; the call that fails names the state. What one fault does that is
tried again is in test_faults.py; here it lasts, or the client is gone. Two are elsewhere: no memory is
tests/unit/s3/test_upload.c, and a Complete that is never answered is waited for 10 minutes.
"""

import contextlib

import pytest
from s3_stand_in import Answer
from support.checks import check_error
from support.raw import connect, read_answer, reset
from support.service import PART_BYTES
from support.waiting import wait_until

SMALL = b"small content " * 1000
LARGE = bytes(range(256)) * ((11 << 20) // 256)  # three parts
ABORT = "AbortMultipartUpload"
COMPLETE = "CompleteMultipartUpload"

FAULTS = {
    "500": Answer(500, error="InternalError"),
    "403": Answer(403, error="AccessDenied"),
    "nonsense": Answer(200, body=b"<nonsense"),
    "no-answer": Answer(hang=True),
    "cut": Answer(close_before=True),
}
STATUS = {"500": 502, "403": 403, "nonsense": 502, "no-answer": 504, "cut": 502}
every_fault = pytest.mark.parametrize("fault", FAULTS)


@pytest.fixture
def service(request, start_service, s3):
    """Silence is waited for shortly where it is what the test is about: elsewhere an answer that is
    late because the machine is busy must not be taken for none."""
    silence_ms = "600" if "no-answer" in request.node.name else None
    return start_service(s3, S3_TIMEOUT_MS=silence_ms, S3_MAX_ATTEMPTS="2")


def put(service, s3, content, bucket="bucket"):
    if bucket == "bucket":
        s3.make_bucket(bucket)
    return service.put(f"/file/{bucket}/key", content)


def check_nothing_left(s3, bucket="bucket"):
    wait_until(lambda: not s3.uploads, 5, "no multipart upload is left on S3")
    assert s3.object(bucket, "key") is None
    if COMPLETE in s3.operations():
        assert ABORT in s3.operations()


def check_told_not_aborted(service, s3):
    """What may be there must not be aborted; that parts may be left is said."""
    service.wait_log(
        lambda line: "parts of an upload may be left" in line["message"], "of the parts left"
    )
    assert ABORT not in s3.operations()


def check_serves(service, s3, *faulty):
    """The service goes on; `faulty` are the calls that were scripted."""
    for operation in faulty:
        s3.script_always(operation, None)
    s3.make_bucket("bucket")
    for content in (SMALL, LARGE):
        assert service.put("/file/bucket/afterwards", content).status_code == 201
        assert s3.object("bucket", "afterwards").body == content


# The calls before the last


@every_fault
def test_put(service, s3, fault):
    s3.script_always("PutObject", FAULTS[fault])
    check_error(put(service, s3, SMALL), STATUS[fault])
    check_nothing_left(s3)
    check_serves(service, s3, "PutObject")


@every_fault
@pytest.mark.parametrize("operation", ["HeadBucket", "CreateBucket"])
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_making_the_bucket(service, s3, operation, fault, content):
    answer = FAULTS[fault] if fault != "nonsense" else Answer(418, body=b"<nonsense")
    s3.script_always(operation, answer)
    check_error(put(service, s3, content, "new-bucket"), STATUS[fault])
    assert "new-bucket" not in s3.buckets
    assert not s3.uploads
    check_serves(service, s3, operation)


@every_fault
def test_create(service, s3, fault):
    s3.script_always("CreateMultipartUpload", FAULTS[fault])
    check_error(put(service, s3, LARGE), STATUS[fault])
    check_nothing_left(s3)
    assert "UploadPart" not in s3.operations()
    if fault == "nonsense":  # S3 may have begun one under an id that it did not say
        check_told_not_aborted(service, s3)
    check_serves(service, s3, "CreateMultipartUpload")


@every_fault
@pytest.mark.parametrize("number", [1, 3])
def test_parts(service, s3, fault, number):
    """All parts from that number on."""
    s3.script("UploadPart", *[Answer(late=True)] * (number - 1))
    s3.script_always("UploadPart", FAULTS[fault])
    check_error(put(service, s3, LARGE), STATUS[fault])
    s3.wait_for(ABORT)
    check_nothing_left(s3)
    assert COMPLETE not in s3.operations()
    check_serves(service, s3, "UploadPart")


# Complete: an upload that may have succeeded is never aborted


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, error="InternalError"),
        Answer(200, error="InternalError"),
        Answer(200, body=b"<nonsense"),
        Answer(200, body=b""),
        Answer(200, body=b"<CompleteMultipartUploadResult/>"),
        Answer(404, error="NoSuchUpload"),
    ],
    ids=["500", "200-InternalError", "nonsense", "empty", "no-etag", "NoSuchUpload"],
)
@pytest.mark.parametrize("worked", [False, True], ids=["it-did-not", "it-did"])
def test_a_complete_that_may_have_worked(service, s3, answer, worked):
    if worked:
        s3.script(COMPLETE, Answer(**{**vars(answer), "apply": True}))
    s3.script_always(COMPLETE, answer)
    heard = put(service, s3, LARGE)
    if worked:
        assert heard.status_code == 201, heard.text
        assert s3.object("bucket", "key").body == LARGE
        assert ABORT not in s3.operations()
    else:
        check_error(heard, 502)
        check_told_not_aborted(service, s3)
        assert s3.object("bucket", "key") is None
    check_serves(service, s3, COMPLETE)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Answer(403, error="AccessDenied"), 403),
        (Answer(400, error="InvalidPart"), 502),
        (Answer(400, error="EntityTooSmall"), 502),
        (Answer(200, error="AccessDenied"), 502),
    ],
    ids=["403", "InvalidPart", "EntityTooSmall", "200-AccessDenied"],
)
def test_a_complete_that_was_refused_is_aborted(service, s3, answer, status):
    s3.script_always(COMPLETE, answer)
    check_error(put(service, s3, LARGE), status)
    s3.wait_for(ABORT)
    check_nothing_left(s3)
    check_serves(service, s3, COMPLETE)


# The proof of a Complete whose answer was lost


@every_fault
@pytest.mark.parametrize("worked", [False, True], ids=["it-did-not", "it-did"])
def test_prove(service, s3, fault, worked):
    s3.script(COMPLETE, Answer(200, apply=worked, close_before=True))
    s3.script_always(COMPLETE, Answer(close_before=True))
    s3.script_always("HeadObject", FAULTS[fault])
    s3.script_always("GetObject", FAULTS[fault])  # asked for the reason of a failed HEAD
    check_error(put(service, s3, LARGE), 502)
    check_told_not_aborted(service, s3)
    assert "HeadObject" in s3.operations()
    stored = s3.object("bucket", "key")
    assert (stored is not None and stored.body == LARGE) if worked else stored is None
    check_serves(service, s3, COMPLETE, "HeadObject", "GetObject")


def test_prove_finds_the_object_of_someone_else(service, s3):
    """Another file of that name, of another size: ours is not there."""
    s3.put("bucket", "key", SMALL)
    s3.script_always(COMPLETE, Answer(close_before=True))
    check_error(put(service, s3, LARGE), 502)
    check_told_not_aborted(service, s3)
    assert s3.object("bucket", "key").body == SMALL
    check_serves(service, s3, COMPLETE)


# The abort


@every_fault
def test_an_abort_that_fails_for_ever_is_told(service, s3, fault):
    answer = FAULTS[fault] if fault != "nonsense" else Answer(418, body=b"<nonsense")
    s3.script_always("UploadPart", FAULTS["403"])
    s3.script_always(ABORT, answer)
    check_error(put(service, s3, LARGE), 403, "AccessDenied")
    service.wait_log(
        lambda line: "parts of an upload may be left" in line["message"], "of the parts left"
    )
    assert s3.object("bucket", "key") is None
    check_serves(service, s3, "UploadPart", ABORT)


@pytest.mark.parametrize("fault", ["no-answer", "cut"])
def test_an_abort_that_fails_once_is_sent_again(service, s3, fault):
    s3.script_always("UploadPart", FAULTS["403"])
    s3.script(ABORT, FAULTS[fault])
    check_error(put(service, s3, LARGE), 403, "AccessDenied")
    check_nothing_left(s3)


# The client is gone


def close(s):
    s.close()


@contextlib.contextmanager
def sent(service, content, promised=None, bucket="bucket"):
    """A client that has sent its request up to there, and waits."""
    head = f"PUT /file/{bucket}/key HTTP/1.1\r\nHost: x\r\n"
    head += f"Content-Length: {promised or len(content)}\r\n\r\n"
    with connect(service.port) as s:
        s.sendall(head.encode() + content)
        yield s


every_way = pytest.mark.parametrize("go", [close, reset])
LATE = Answer(late=True, delay_s=0.3)


@every_way
@pytest.mark.parametrize("operation", ["HeadBucket", "CreateBucket", "CreateMultipartUpload"])
def test_gone_before_its_body_was_whole(service, s3, go, operation):
    if operation == "CreateMultipartUpload":
        s3.make_bucket("bucket")
    s3.script(operation, LATE)
    with sent(service, LARGE[: PART_BYTES + 1], len(LARGE)) as s:
        s3.wait_for(operation)
        go(s)
    if operation == "CreateMultipartUpload":
        s3.wait_for(ABORT)
    check_nothing_left(s3)
    assert "UploadPart" not in s3.operations()
    check_serves(service, s3)


@every_way
@pytest.mark.parametrize("operation", ["HeadBucket", "CreateBucket", "PutObject"])
def test_gone_after_a_small_file_was_whole(service, s3, go, operation):
    """The last call is on its way, or all that it needs: it is left to finish."""
    if operation == "PutObject":
        s3.make_bucket("bucket")
    s3.script(operation, LATE)
    with sent(service, SMALL) as s:
        s3.wait_for(operation)
        go(s)
    wait_until(lambda: s3.object("bucket", "key"), 5, "the file is there")
    assert s3.object("bucket", "key").body == SMALL
    check_serves(service, s3)


@every_way
@pytest.mark.parametrize("lost", [False, True], ids=["complete", "prove"])
def test_gone_while_the_last_call_is_on_its_way(service, s3, go, lost):
    s3.make_bucket("bucket")
    last = "HeadObject" if lost else COMPLETE
    if lost:
        s3.script(COMPLETE, Answer(apply=True, close_before=True), Answer(close_before=True))
    s3.script(last, LATE)
    with sent(service, LARGE) as s:
        s3.wait_for(last)
        go(s)
    wait_until(lambda: s3.object("bucket", "key"), 5, "the file is there")
    assert s3.object("bucket", "key").body == LARGE
    check_serves(service, s3)
    assert ABORT not in s3.operations()
    assert not s3.uploads


@every_way
def test_gone_without_hearing_of_the_abort(service, s3, go):
    s3.make_bucket("bucket")
    s3.script_always("UploadPart", FAULTS["403"])
    s3.script(ABORT, LATE)
    with sent(service, LARGE[: PART_BYTES + 1], len(LARGE)) as s:
        s3.wait_for(ABORT)
        go(s)
    check_nothing_left(s3)
    check_serves(service, s3, "UploadPart")


def test_a_failure_is_heard_while_the_body_still_comes(service, s3):
    """The answer is there to be read although the rest of the body was never wanted."""
    s3.make_bucket("bucket")
    s3.script_always("CreateMultipartUpload", FAULTS["403"])
    with sent(service, LARGE[: PART_BYTES + 1], len(LARGE)) as s:
        answer = read_answer(s)
    assert answer is not None and answer.status == 403
    check_nothing_left(s3)

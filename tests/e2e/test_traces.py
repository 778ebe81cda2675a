"""Traces: the line of a request says which trace it is a part of, and so does each call to S3."""

import json

import pytest
from s3_stand_in import Answer
from support.raw import ask as ask_raw
from support.raw import connect
from support.service import PART_BYTES
from test_logs import ask, check_line, request_line

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
SELF = "Self=1-67891233-12456789abcdef012345678;Root=1-67891233-abcdef012345678912345678"
OF_A_TRACE = {"trace_id", "parent_id", "amzn_trace_id"}
LARGE = bytes(range(256)) * ((11 << 20) // 256)  # three parts


def ask_with(service, request_id, *lines):
    """The line of a request with these header lines, sent as they are."""
    head = "".join(f"{line}\r\n" for line in (*lines, f"X-Request-Id: {request_id}"))
    answer = ask_raw(
        service.port, f"GET / HTTP/1.1\r\nHost: x\r\n{head}Connection: close\r\n\r\n".encode()
    )
    assert answer.status == 200
    return request_line(service, request_id)


def test_a_traceparent_is_in_the_line_of_its_request(start_service, s3):
    service = start_service(s3)
    for number, value in enumerate(
        (
            TRACEPARENT,
            f"00-{TRACE}-{PARENT}-00",
            f" \t{TRACEPARENT}  ",
            f"01-{TRACE}-{PARENT}-01",
            f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like",
        )
    ):
        line = ask_with(service, f"good-{number}", f"TraceParent:{value}")
        check_line(line)
        assert (line["trace_id"], line["parent_id"]) == (TRACE, PARENT), value
        assert list(line)[6:10] == ["request_id", "trace_id", "parent_id", "remote"]


def test_a_traceparent_that_is_none_is_as_if_it_had_not_come(start_service, s3):
    service = start_service(s3)
    for number, lines in enumerate(
        (
            [],
            ["traceparent: "],
            [f"traceparent: {TRACEPARENT[:-1]}"],
            [f"traceparent: {TRACEPARENT.upper()}"],
            [f"traceparent: {TRACEPARENT}-more"],
            [f"traceparent: ff-{TRACE}-{PARENT}-01"],
            [f"traceparent: 00-{'0' * 32}-{PARENT}-01"],
            [f"traceparent: 00-{TRACE}-{'0' * 16}-01"],
            [f"traceparent: {TRACEPARENT}", f"traceparent: {TRACEPARENT}"],
            [f'traceparent: 00-{TRACE}-{PARENT}-01","level":"error'],
        )
    ):
        line = ask_with(service, f"bad-{number}", *lines)
        assert not OF_A_TRACE & set(line), line


def test_what_a_load_balancer_says_is_in_the_line(start_service, s3):
    service = start_service(s3)
    line = ask_with(
        service, "both", f"X-Amzn-Trace-Id: {SELF};CalledFrom=app", f"traceparent: {TRACEPARENT}"
    )
    assert (line["amzn_trace_id"], line["trace_id"]) == (f"{SELF};CalledFrom=app", TRACE)
    names = ["request_id", "trace_id", "parent_id", "amzn_trace_id", "remote"]
    assert list(line)[6:11] == names
    assert ask_with(service, "long", f"X-Amzn-Trace-Id: {'a' * 256}")["amzn_trace_id"] == "a" * 256
    for number, value in enumerate(("", "a" * 257, 'Root="1"', "Root=\x01", "Root=\xe4")):
        line = ask_with(service, f"unfit-{number}", f"X-Amzn-Trace-Id: {value}")
        assert not OF_A_TRACE & set(line), line


# Calls to S3


def calls(service, request_id):
    return [
        line
        for line in service.logs()
        if line["message"] == "S3 call" and line.get("request_id") == request_id
    ]


def check_calls(service, s3, request_id, operations, parent=PARENT):
    """Every call of the request has one line, in the order in which they ended; returns them."""
    ended = request_line(service, request_id)
    lines = calls(service, request_id)
    assert [line["operation"] for line in lines] == operations, lines
    answered = {request.answer_id: request for request in s3.requests()}
    for line in lines:
        check_line(line)
        assert (line["stream"], line["level"]) == ("service", "debug")
        assert (line["trace_id"], line["parent_id"]) == (TRACE, parent)
        assert list(line)[6:10] == ["request_id", "trace_id", "parent_id", "operation"]
        assert isinstance(line["duration_ms"], int) and 0 <= line["duration_ms"] < 10_000
        assert "bucket" not in json.dumps({**line, "operation": ""})
        if "s3_request_id" in line:
            seen = answered[line["s3_request_id"]].operation
            assert line["operation"] == {"ListObjects": "ListObjectsV2"}.get(seen, seen)
    assert ended["trace_id"] == TRACE
    return lines


def ask_traced(service, request_id, method, path, **options):
    headers = {"traceparent": TRACEPARENT, **options.pop("headers", {})}
    return ask(service, request_id, method, path, headers=headers, **options)


@pytest.fixture
def service(start_service, s3):
    return start_service(s3, LOG_LEVEL="debug", S3_MAX_ATTEMPTS="2")


@pytest.mark.parametrize(
    ("method", "path", "body", "operations"),
    [
        ("GET", "/file/bucket/key", None, ["HeadObject"]),
        ("GET", "/file/bucket/none", None, ["HeadObject", "GetObject"]),
        ("GET", "/file/bucket/key?delivery=stream", None, ["GetObject"]),
        ("HEAD", "/file/bucket/none?delivery=stream", None, ["HeadObject", "GetObject"]),
        ("GET", "/file/bucket", None, ["ListObjectsV2"]),
        ("DELETE", "/file/bucket/key", None, ["HeadObject", "DeleteObject"]),
        ("POST", "/file/bucket?delete", b'{"keys":["key"]}', ["DeleteObjects"]),
        ("PUT", "/file/bucket/key", b"x", ["PutObject"]),
        ("PUT", "/file/bucket/key", LARGE, [
            "CreateMultipartUpload", "UploadPart", "UploadPart", "UploadPart",
            "CompleteMultipartUpload",
        ]),
        ("PUT", "/file/new-bucket/key", b"x", [
            "PutObject", "HeadBucket", "CreateBucket", "PutBucketCors", "PutObject",
        ]),
        ("GET", "/readyz", None, ["GetObject"]),
    ],
)  # fmt: skip
def test_every_call_of_a_request_has_a_line(service, s3, method, path, body, operations):
    s3.put("bucket", "key", b"content")
    headers = {"Content-Type": "application/json"} if path.endswith("delete") else {}
    ask_traced(service, "asked", method, path, data=body, headers=headers)
    lines = check_calls(service, s3, "asked", operations)
    ids = {line["s3_request_id"] for line in lines}
    assert ids == {request.answer_id for request in s3.requests()}
    assert {line["attempts"] for line in lines} == {1}
    for line in lines:
        assert ("error" in line) == (line["s3_status"] >= 300), line


def test_a_call_that_was_tried_again_says_so(service, s3):
    s3.make_bucket("bucket")
    s3.script("PutObject", Answer(503, error="ServiceUnavailable"))
    assert ask_traced(service, "again", "PUT", "/file/bucket/key", data=b"x").status_code == 201
    (line,) = check_calls(service, s3, "again", ["PutObject"])
    assert (line["attempts"], line["s3_status"]) == (2, 200)
    assert line["s3_request_id"] == s3.requests("PutObject")[1].answer_id
    assert line["s3_request_id"] == request_line(service, "again")["s3_request_id"]
    assert "error" not in line


def test_a_call_that_failed_says_why(service, s3):
    s3.make_bucket("bucket")
    s3.script("PutObject", Answer(403, error="AccessDenied"))
    assert ask_traced(service, "denied", "PUT", "/file/bucket/key", data=b"x").status_code == 403
    (line,) = check_calls(service, s3, "denied", ["PutObject"])
    assert (line["attempts"], line["s3_status"]) == (1, 403)
    assert line["error"] == request_line(service, "denied")["error"]


def test_a_call_that_was_not_answered_says_so(service, s3):
    s3.make_bucket("bucket")
    s3.script_always("PutObject", Answer(close_before=True))
    assert ask_traced(service, "cut", "PUT", "/file/bucket/key", data=b"x").status_code == 502
    (line,) = check_calls(service, s3, "cut", ["PutObject"])
    assert line["attempts"] == 2 and line["error"]
    assert not {"s3_status", "s3_request_id"} & set(line)


def test_the_abort_after_a_client_is_gone_is_of_its_request(service, s3):
    """It comes after the request's own line: the exchange that named the trace is no more."""
    s3.make_bucket("bucket")
    s3.script_always("UploadPart", Answer(hang=True))
    head = f"PUT /file/bucket/key HTTP/1.1\r\nHost: x\r\nContent-Length: {len(LARGE)}\r\n"
    head += f"X-Request-Id: gone\r\ntraceparent: {TRACEPARENT}\r\n\r\n"
    with connect(service.port) as client:
        client.sendall(head.encode() + LARGE[: PART_BYTES + 1])
        s3.wait_for("UploadPart")
    service.wait_log(
        lambda line: line.get("operation") == "AbortMultipartUpload", "the line of the abort"
    )
    s3.wait_for("AbortMultipartUpload", 2)  # once more, since a part was on its way
    service.wait_log(lambda _: len(calls(service, "gone")) == 4, "the line of the second abort")
    abort = "AbortMultipartUpload"
    lines = check_calls(
        service, s3, "gone", ["CreateMultipartUpload", "UploadPart", abort, abort]
    )
    part = lines[1]
    assert part["attempts"] == 1 and part["error"] and "s3_status" not in part
    ids = [request.answer_id for request in s3.requests(abort)]
    assert [line["s3_request_id"] for line in lines[2:]] == ids
    messages = [line["message"] for line in service.logs() if line.get("request_id") == "gone"]
    assert messages.index("request") < len(messages) - 1


def test_calls_without_a_trace_name_only_their_request(service, s3):
    s3.put("bucket", "key", b"content")
    ask(service, "alone", "GET", "/file/bucket/key")
    request_line(service, "alone")
    (line,) = calls(service, "alone")
    assert not OF_A_TRACE & set(line)


def test_calls_that_nobody_asked_for_are_not_the_services(start_service, s3):
    s3.make_bucket("bucket")
    service = start_service(s3, LOG_LEVEL="debug", UPLOAD_SWEEP_AGE_HOURS=1)
    operations = ["ListBuckets", "CreateMultipartUpload", "ListMultipartUploads",
                  "AbortMultipartUpload", "ListMultipartUploads"]  # fmt: skip

    def lines():
        return [line for line in service.logs() if line["message"] == "S3 call"]

    service.wait_log(lambda _: len(lines()) >= len(operations), "the lines of the sweep")
    assert [line["operation"] for line in lines()] == operations
    for line in lines():
        assert line["stream"] == "default" and "request_id" not in line


def test_no_call_has_a_line_at_level_info(start_service, s3):
    service = start_service(s3)
    assert ask_traced(service, "quiet", "PUT", "/file/bucket/key", data=LARGE).status_code == 201
    assert ask_traced(service, "end", "GET", "/file/bucket/key").status_code == 200
    for request_id in ("quiet", "end"):
        assert request_line(service, request_id)["trace_id"] == TRACE
    assert not [line for line in service.logs() if "operation" in line or line["level"] == "debug"]

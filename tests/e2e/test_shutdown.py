"""SIGTERM: what runs may finish, nobody waits for ever, nothing is left on S3."""

import http.client
import signal
import socket
import time

import pytest
import requests
from s3_stand_in import Answer
from support.checks import check_error
from support.raw import connect, read_answer
from support.service import PART_BYTES
from support.waiting import wait_until

MIB = 1 << 20
PATH = "/file/bucket/key"


@pytest.fixture
def s3(s3):
    s3.make_bucket("bucket")
    return s3


def begin_upload(service, promised, sent):
    s = connect(service.port, timeout_s=30)
    s.sendall(f"PUT {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {promised}\r\n\r\n".encode())
    s.sendall(b"x" * sent)
    return s


def seconds_to_end(service, timeout_s):
    """Waits for the end: (exit code, seconds)."""
    start = time.monotonic()
    code = service.wait_end(timeout_s)
    return code, time.monotonic() - start


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_service_ends_at_once_and_in_order(start_service, s3, number):
    service = start_service(s3)
    service.signal(number)
    code, seconds = seconds_to_end(service, 10)
    assert code == 0, service.stderr()
    assert seconds < 3


@pytest.mark.parametrize(
    "head", ["", "GET ", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\n"]
)
def test_a_client_that_left_within_its_head_does_not_hold_the_exit(start_service, s3, head):
    service = start_service(s3)
    for _ in range(10):
        s = connect(service.port)
        s.sendall(head.encode())
        s.close()  # the end comes together with the bytes
    service.signal()
    code, seconds = seconds_to_end(service, 10)
    assert code == 0, service.stderr()
    assert seconds < 4


def test_pipelined_requests_before_a_half_close_are_all_answered(start_service, s3):
    service = start_service(s3)
    one = b"GET /file/bucket/none HTTP/1.1\r\nHost: a\r\n\r\n"
    with connect(service.port) as s:
        s.sendall(one * 20)
        s.shutdown(socket.SHUT_WR)
        text = b""
        while piece := s.recv(65536):
            text += piece
    assert text.count(b"HTTP/1.1 404 ") == 20


def test_idle_connections_do_not_hold_the_exit(start_service, s3):
    service = start_service(s3)
    sockets = [connect(service.port) for _ in range(20)]
    for s in sockets[:10]:
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(s).status == 200
    service.signal()
    code, seconds = seconds_to_end(service, 10)
    for s in sockets:
        s.close()
    assert code == 0 and seconds < 5


def test_readiness_goes_first_and_serving_goes_on(start_service, s3):
    s3.put("bucket", "key", b"hello")
    service = start_service(s3, SHUTDOWN_DELAY_SECONDS="3")
    assert service.get("/readyz").status_code == 200
    service.signal()
    wait_until(lambda: service.get("/readyz").status_code == 503, 2, "/readyz says 503")
    answer = service.get("/readyz")
    check_error(answer, 503)
    assert answer.headers["Retry-After"]
    for path in ("/healthz", PATH):
        answer = service.get(path)
        assert answer.status_code == 200
        assert answer.headers["Connection"].lower() == "close"
    code, _ = seconds_to_end(service, 10)
    assert code == 0


def test_the_socket_is_closed_after_the_delay(start_service, s3):
    service = start_service(s3, SHUTDOWN_DELAY_SECONDS="1")
    with begin_upload(service, MIB, 10) as s:  # keeps it from ending
        service.signal()

        def refused():
            try:
                requests.get(service.url + "/healthz", timeout=2)
            except requests.ConnectionError:
                return True
            return False

        wait_until(refused, 5, "new connections are refused")
        assert service.is_running()
        s.sendall(b"x" * (MIB - 10))
        assert read_answer(s).status == 201
    assert seconds_to_end(service, 10)[0] == 0


@pytest.mark.parametrize("size", [MIB, 3 * PART_BYTES])
def test_a_running_upload_finishes(start_service, s3, size):
    service = start_service(s3)
    with begin_upload(service, size, size // 2) as s:
        wait_until(lambda: service.logs() is not None, 1, "logs can be read")
        service.signal()
        service.wait_log(lambda line: "shutting down" in line["message"], "shutting down")
        s.sendall(b"x" * (size - size // 2))
        answer = read_answer(s)
    assert answer is not None and answer.status == 201
    assert s3.object("bucket", "key").body == b"x" * size
    assert seconds_to_end(service, 15)[0] == 0


def test_a_running_download_question_is_answered(start_service, s3):
    s3.put("bucket", "key", b"hello")
    s3.script("HeadObject", Answer(200, headers={"Content-Length": "5"}, delay_s=1.5))
    service = start_service(s3)
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    connection.request("GET", PATH)
    s3.wait_for("HeadObject")
    service.signal()
    assert connection.getresponse().status == 200
    connection.close()
    assert seconds_to_end(service, 10)[0] == 0


def test_an_endless_upload_is_aborted_on_s3(start_service, s3):
    service = start_service(s3, SHUTDOWN_TIMEOUT_SECONDS="7")
    with begin_upload(service, 100 * MIB, PART_BYTES + MIB):
        s3.wait_for("UploadPart")
        service.signal()
        code, seconds = seconds_to_end(service, 15)
    assert seconds < 8
    assert code == 0, service.stderr()
    assert s3.requests("AbortMultipartUpload") and not s3.uploads
    assert s3.object("bucket", "key") is None


def test_a_second_signal_ends_at_once(start_service, s3):
    service = start_service(s3)
    with begin_upload(service, MIB, 10):
        service.signal()
        service.wait_log(lambda line: "shutting down" in line["message"], "shutting down")
        assert service.is_running()
        service.signal()
        code, seconds = seconds_to_end(service, 10)
    assert seconds < 2
    assert code > 0


@pytest.mark.parametrize("operation", ["PutObject", "CreateMultipartUpload", "UploadPart"])
def test_an_s3_that_hangs_cannot_hold_the_exit(start_service, s3, operation):
    s3.script_always(operation, Answer(hang=True))
    service = start_service(s3, SHUTDOWN_TIMEOUT_SECONDS="7")
    size = MIB if operation == "PutObject" else 2 * PART_BYTES
    with begin_upload(service, size, size):
        s3.wait_for(operation)
        service.signal()
        _, seconds = seconds_to_end(service, 15)
    assert seconds < 8


def test_an_abort_that_hangs_cannot_hold_the_exit(start_service, s3):
    s3.script_always("AbortMultipartUpload", Answer(hang=True))
    service = start_service(s3, SHUTDOWN_TIMEOUT_SECONDS="7")
    with begin_upload(service, 100 * MIB, PART_BYTES + MIB):
        s3.wait_for("UploadPart")
        service.signal()
        _, seconds = seconds_to_end(service, 15)
    assert seconds < 8

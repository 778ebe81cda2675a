"""Standard output: complete under load, never waited for, in colours for people."""

import fcntl
import json
import os
import pty
import re
import select
import socket
import termios
import time

import pytest
from support.load import Load
from support.waiting import wait_until

LONG = "x" * 7000  # in a path: lines of 7 KB fill a buffer with few requests
BUFFER_BYTES = 8 << 20  # LOGS_CONSOLE_BUFFER_BYTES


@pytest.fixture
def pipe():
    """(read end, write end); what a test closes it sets to None."""
    ends = list(os.pipe())
    yield ends
    for fd in ends:
        if fd is not None:
            os.close(fd)


def read_all(fd, timeout_s=30):
    """To the end."""
    os.set_blocking(fd, False)
    pieces, until = [], time.monotonic() + timeout_s
    while time.monotonic() < until:
        if select.select([fd], [], [], 0.1)[0]:
            try:
                piece = os.read(fd, 1 << 20)
            except OSError:  # the other side of a terminal is gone
                break
            if not piece:
                break
            pieces.append(piece)
    else:
        raise AssertionError(f"no end in {timeout_s} s")
    return b"".join(pieces)


def lines_of(data):
    assert data.endswith(b"\n")
    return [json.loads(line) for line in data.decode().splitlines()]


def hand_over(start_service, s3, fds, which, **settings):
    """A service that has the end of a pipe for itself."""
    service = start_service(s3, stdout=fds[which], **settings)
    os.close(fds[which])
    fds[which] = None
    return service


def told_on_stderr(service):
    found = re.search(r"^(\d+) log lines were dropped on standard output", service.stderr(), re.M)
    return int(found[1]) if found else 0


def test_every_line_of_a_load_is_there(start_service, s3):
    service = start_service(s3)
    load = Load(service.port, [f"/load/{number}" for number in range(10_000)], threads=16).run()
    service.signal()
    assert service.wait_end() == 0
    lines = service.logs()
    assert sorted(line["seq"] for line in lines) == list(range(1, len(lines) + 1))
    ids = [line["request_id"] for line in lines if line["message"] == "request"]
    assert {request_id for request_id, _ in load.asked} <= set(ids)
    assert len(ids) == len(set(ids))
    assert told_on_stderr(service) == 0


def test_a_reader_that_pauses_misses_nothing_that_fits(start_service, s3, pipe):
    service = hand_over(start_service, s3, pipe, 1)
    load = Load(service.port, [f"/paused/{LONG}"] * 500).run()  # 3.5 MB into a pipe of 64 KiB
    assert load.slowest_s < 2, "a request waited for standard output"
    service.signal()
    lines = lines_of(read_all(pipe[0]))
    assert service.wait_end() == 0
    assert sorted(line["seq"] for line in lines) == list(range(1, len(lines) + 1))
    assert len([line for line in lines if line.get("path", "").startswith("/paused")]) == 500
    assert told_on_stderr(service) == 0


def test_what_a_reader_is_too_slow_for_is_counted_to_the_line(start_service, s3, pipe):
    service = hand_over(start_service, s3, pipe, 1)
    count = 3 * BUFFER_BYTES // len(LONG)
    load = Load(service.port, [f"/slow/{LONG}"] * count).run()
    assert load.slowest_s < 2, "a request waited for standard output"
    data = b""
    while b'"dropped"' not in data:  # the reader is back
        assert select.select([pipe[0]], [], [], 20)[0], "no line says that lines were dropped"
        data += os.read(pipe[0], 1 << 20)
    Load(service.port, ["/again"] * 10).run()
    service.signal()
    data += read_all(pipe[0])
    assert service.wait_end() == 0
    lines = lines_of(data)
    seen = {line["seq"] for line in lines}
    assert len(seen) == len(lines)
    missing = max(seen) - len(seen)
    told = [line["dropped"] for line in lines if "dropped" in line]
    assert missing > 0 and sum(told) == missing == told_on_stderr(service)
    assert len([line for line in lines if line.get("path") == "/again"]) == 10


def test_a_reader_that_went_away_ends_the_output_alone(start_service, s3, pipe):
    service = hand_over(start_service, s3, pipe, 1)
    os.close(pipe[0])
    pipe[0] = None
    load = Load(service.port, ["/nobody/reads"] * 500).run()
    assert load.slowest_s < 2
    assert service.get("/healthz").status_code == 200
    service.signal()
    assert service.wait_end() == 0
    assert told_on_stderr(service) >= 500


def test_a_reader_that_never_reads_cannot_hold_the_exit(start_service, s3, pipe):
    service = hand_over(start_service, s3, pipe, 1, SHUTDOWN_TIMEOUT_SECONDS=2)
    Load(service.port, [f"/stuck/{LONG}"] * 100).run()
    begin = time.monotonic()
    service.signal()
    assert service.wait_end(10) == 0
    assert time.monotonic() - begin < 5
    assert told_on_stderr(service) > 0


def test_a_reader_that_is_slow_cannot_hold_the_exit(start_service, s3, pipe):
    """It always makes room for the next piece, and would need minutes."""
    service = hand_over(start_service, s3, pipe, 1, SHUTDOWN_TIMEOUT_SECONDS=2)
    Load(service.port, [f"/slow/{LONG}"] * 400).run()
    begin = time.monotonic()
    service.signal()
    while service.is_running() and time.monotonic() - begin < 10:
        os.read(pipe[0], 4096)
        time.sleep(0.02)
    assert service.wait_end(1) == 0
    assert time.monotonic() - begin < 4
    assert told_on_stderr(service) > 0


def test_a_second_signal_does_not_wait_for_a_reader(start_service, s3, pipe):
    service = hand_over(start_service, s3, pipe, 1, SHUTDOWN_TIMEOUT_SECONDS=60)
    Load(service.port, [f"/stuck/{LONG}"] * 100).run()
    service.signal()
    wait_until(lambda: not is_listening(service.port), 10, "no connection is accepted any more")
    time.sleep(0.5)  # it flushes by now; were it not so, the test would still be right
    begin = time.monotonic()
    service.signal()
    assert service.wait_end(10) == 1
    assert time.monotonic() - begin < 2


def is_listening(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def test_a_disk_that_is_full_is_said_by_cloudwatch(start_service, s3, cloudwatch):
    with open("/dev/full", "wb") as full:
        service = start_service(
            s3,
            stdout=full,
            AWS_CLOUDWATCH_LOGS_ENDPOINT=cloudwatch.url,
            AWS_CLOUDWATCH_LOGS_LOG_GROUP="/tests/full",
        )
    Load(service.port, ["/full"] * 50).run()

    def told():
        lines = [json.loads(line) for line in cloudwatch.messages("/tests/full", "default")]
        return [line for line in lines if "dropped" in line]

    assert "standard output" in wait_until(told, 10, "what was dropped")[0]["message"]
    service.signal()
    assert service.wait_end() == 0
    assert told_on_stderr(service) >= 50
    assert len(cloudwatch.messages("/tests/full", "service")) >= 50


def terminal_output(start_service, s3, **settings):
    """What a person sees: (text, bytes of its lines)."""
    ours, theirs = pty.openpty()
    raw = termios.tcgetattr(theirs)
    raw[1] &= ~termios.OPOST  # no carriage returns
    termios.tcsetattr(theirs, termios.TCSANOW, raw)
    fcntl.fcntl(ours, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    try:
        service = start_service(s3, stdout=theirs, ENVIRONMENT="development", **settings)
        os.close(theirs)
        assert service.get("/nowhere?secret", headers={"X-Request-Id": "seen"}).status_code == 404
        service.signal()
        text = read_all(ours).decode()
        assert service.wait_end() == 0
    finally:
        os.close(ours)
    return text


def test_a_terminal_has_colours(start_service, s3):
    text = terminal_output(start_service, s3)
    line = next(line for line in text.splitlines() if "request_id=seen" in line)
    assert re.match(
        r"\x1b\[2m\d\d:\d\d:\d\d\.\d{3}\x1b\[0m \x1b\[32minfo \x1b\[0m request request_id=seen ", line
    )
    assert re.search(r" status=404 .* seq=\d+\Z", line)
    assert line.count("\x1b") == 4 and "secret" not in text


@pytest.mark.parametrize("setting", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"LOG_FORMAT": "json"}])
def test_who_wants_no_colours_gets_none(start_service, s3, setting):
    assert "\x1b" not in terminal_output(start_service, s3, **setting)

"""Traces: the line of a request says which trace it is a part of."""

from support.raw import ask as ask_raw
from test_logs import check_line, request_line

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
SELF = "Self=1-67891233-12456789abcdef012345678;Root=1-67891233-abcdef012345678912345678"
OF_A_TRACE = {"trace_id", "parent_id", "amzn_trace_id"}


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
        assert list(line)[4:8] == ["request_id", "trace_id", "parent_id", "remote"]


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
    assert list(line)[4:9] == names
    assert ask_with(service, "long", f"X-Amzn-Trace-Id: {'a' * 256}")["amzn_trace_id"] == "a" * 256
    for number, value in enumerate(("", "a" * 257, 'Root="1"', "Root=\x01", "Root=\xe4")):
        line = ask_with(service, f"unfit-{number}", f"X-Amzn-Trace-Id: {value}")
        assert not OF_A_TRACE & set(line), line

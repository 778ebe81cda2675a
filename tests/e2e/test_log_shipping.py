"""The whole program and CloudWatch Logs: every line is there once, or counted, and said."""

import json
import re
import signal
import time
from collections import Counter

import pytest
from cloudwatch_stand_in import Answer
from cloudwatch_stand_in import StandIn as CloudWatch
from support.load import Load
from support.paths import is_sanitized
from support.process import free_port
from support.raw import connect, read_answer
from support.service import ACCESS_KEY, SECRET_KEY
from support.waiting import wait_until
from test_logs import events_of

GROUP = "/tests/shipping"
LONG = "x" * 6000  # in a path: lines of 6 KB fill a queue with few requests


@pytest.fixture
def cloudwatch():
    with CloudWatch(ACCESS_KEY, SECRET_KEY) as stand_in:
        yield stand_in
        assert not stand_in.violations


def start(start_service, s3, cloudwatch, **settings):
    settings.setdefault("AWS_CLOUDWATCH_LOGS_LOG_GROUP", GROUP)
    return start_service(s3, AWS_CLOUDWATCH_LOGS_ENDPOINT=cloudwatch.url, **settings)


def shipped(cloudwatch, group=GROUP):
    """Every line in the stand-in, of both streams, as it was stored: (text, fields)."""
    lines = cloudwatch.messages(group, "default") + cloudwatch.messages(group, "service")
    return [(line.decode(), json.loads(line)) for line in lines]


def numbers_of(lines):
    return Counter(line["seq"] for line in lines)


def told_on_stderr(service):
    """The number of lines that were dropped on their way to CloudWatch, as the end says it."""
    found = re.search(r"^(\d+) log lines were dropped on their way", service.stderr(), re.MULTILINE)
    return int(found[1]) if found else 0


def end(service, timeout_s=30):
    service.signal()
    assert service.wait_end(timeout_s) == 0, service.stderr()


def test_every_request_is_in_localstack_exactly_once(start_service, localstack, bucket):
    group = f"/tests/{bucket}"
    service = start_service(
        localstack,
        AWS_CLOUDWATCH_LOGS_ENDPOINT=localstack.url,
        AWS_CLOUDWATCH_LOGS_LOG_GROUP=group,
    )
    paths = [f"/nowhere/{number}" for number in range(3000)] + [f"/file/{bucket}/none"] * 50
    load = Load(service.port, paths).run()
    end(service)
    lines = []
    for stream in ("service", "default"):
        found = [json.loads(event["message"]) for event in events_of(localstack, group, stream)]
        assert all(line["stream"] == stream for line in found)
        lines += found
    ids = Counter(line["request_id"] for line in lines if line["message"] == "request")
    assert len(load.asked) == len(paths)
    assert all(ids[request_id] == 1 for request_id, _ in load.asked)
    numbers = numbers_of(lines)
    assert sorted(numbers.elements()) == list(range(1, len(lines) + 1)), "gaps or doubles"
    assert len({line["instance"] for line in lines}) == 1
    assert told_on_stderr(service) == 0
    groups = localstack.logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert groups[0]["retentionInDays"] == 30


def test_lines_of_the_drain_are_shipped_too(start_service, s3, cloudwatch):
    service = start(start_service, s3, cloudwatch)
    s = connect(service.port, timeout_s=30)
    s.sendall(b"PUT /file/bucket/late HTTP/1.1\r\nHost: x\r\nX-Request-Id: late\r\n")
    s.sendall(b"Content-Length: 4\r\n\r\nab")
    wait_until(lambda: service.client_sockets(s3.port), 5, "the upload has begun")
    service.signal()
    service.wait_log(lambda line: "draining" in line["message"], "the drain has begun")
    s.sendall(b"cd")
    assert read_answer(s).status == 201
    s.close()
    assert service.wait_end() == 0, service.stderr()
    lines = shipped(cloudwatch)
    assert [line["status"] for _, line in lines if line.get("request_id") == "late"] == [201]
    assert lines and {text for text, _ in lines} == set(service.log_lines())


@pytest.mark.timeout(150)
def test_an_outage_of_20_s_under_load_is_counted_to_the_line(start_service, s3, cloudwatch):
    service = start(start_service, s3, cloudwatch, LOG_QUEUE_BYTES=1 << 20)
    Load(service.port, ["/before"] * 100).run()
    cloudwatch.wait_events(GROUP, "service", 100)
    cloudwatch.stop_listening()
    until = time.monotonic() + 20

    def paths():
        number = 0
        while time.monotonic() < until:
            number += 1
            yield f"/down/{number}/{LONG}"
            time.sleep(0.005)  # some 200 lines a second: a load, and no benchmark

    during = Load(service.port, paths(), threads=4).run()
    assert during.slowest_s < 2, "a request waited for CloudWatch"
    assert len(during.asked) > 1000
    memory = service.memory_bytes("VmRSS")
    cloudwatch.listen_again()
    after = Load(service.port, ["/after"] * 100).run()

    def told():
        return [line for _, line in shipped(cloudwatch) if "dropped" in line]

    wait_until(told, 45, "the line that says how many were dropped", every_s=0.5)
    end(service)
    lines = [line for _, line in shipped(cloudwatch)]
    numbers = numbers_of(lines)
    produced = [line["seq"] for line in service.logs()]
    assert sorted(produced) == list(range(1, len(produced) + 1)), "standard output has all"
    assert max(numbers.values()) == 1
    missing = len(produced) - len(numbers)
    assert [line["dropped"] for line in told()] == [missing], "one line, with the exact number"
    assert "dropped" in told()[0]["message"] and missing > 500
    assert told_on_stderr(service) == missing
    ids = {line.get("request_id") for line in lines}
    assert {request_id for request_id, _ in after.asked} <= ids, "the newest are kept"
    outages = [line for line in service.logs() if "do not reach CloudWatch" in line["message"]]
    assert len(outages) == 1
    assert memory < 64 << 20 or is_sanitized()


def test_a_hung_cloudwatch_cannot_hold_the_exit(start_service, s3, cloudwatch):
    cloudwatch.script_always("PutLogEvents", Answer(hang=True))
    service = start(start_service, s3, cloudwatch, SHUTDOWN_TIMEOUT_SECONDS=3)
    Load(service.port, ["/lost"] * 200).run()
    wait_until(lambda: "PutLogEvents" in cloudwatch.operations(), 5, "it hangs")
    begin = time.monotonic()
    end(service, 6)
    assert time.monotonic() - begin < 4.5
    lines = service.logs()
    assert len([line for line in lines if line["message"] == "request"]) >= 200
    assert told_on_stderr(service) == len(lines), "none was delivered, all are on standard output"


@pytest.mark.parametrize("timeout_s", [1, 2, 5])
def test_the_flush_has_its_time_however_short_it_is(start_service, s3, cloudwatch, timeout_s):
    service = start(
        start_service,
        s3,
        cloudwatch,
        SHUTDOWN_TIMEOUT_SECONDS=timeout_s,
        SHUTDOWN_DELAY_SECONDS=min(timeout_s, 2),
    )
    with connect(service.port) as s:  # a client that stays to the end
        s.sendall(b"PUT /file/bucket/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
        Load(service.port, ["/short"] * 100).run()
        begin = time.monotonic()
        end(service, 10)
        assert time.monotonic() - begin < timeout_s + 0.7
    assert {text for text, _ in shipped(cloudwatch)} == set(service.log_lines())
    assert told_on_stderr(service) == 0


def test_a_clock_far_ahead_does_not_make_lines_about_itself(start_service, s3, cloudwatch):
    """All lines are too new, also the one that says so."""
    cloudwatch.clock_offset_s = -3 * 3600.0
    service = start(start_service, s3, cloudwatch)
    Load(service.port, ["/ahead"] * 20).run()
    service.wait_log(lambda line: "rejected" in line, "what was rejected is said")
    begin = time.monotonic()
    end(service)
    assert time.monotonic() - begin < 5
    assert len([line for line in service.logs() if "rejected" in line]) <= 2
    assert shipped(cloudwatch) == []


def test_a_group_that_is_never_found_is_an_outage(start_service, s3, cloudwatch):
    cloudwatch.script("PutLogEvents", *[Answer(error="ResourceNotFoundException")] * 30)
    service = start(start_service, s3, cloudwatch)
    outage = service.wait_log(
        lambda line: "do not reach CloudWatch" in line["message"], "the outage is said"
    )
    assert "does not find" in outage["error"]
    cloudwatch.script_clear("PutLogEvents")
    service.wait_log(lambda line: "reach CloudWatch again" in line["message"], "its end is said")
    end(service)
    assert {text for text, _ in shipped(cloudwatch)} == set(service.log_lines())


def test_a_second_signal_ends_the_flush_at_once(start_service, s3, cloudwatch):
    cloudwatch.script_always("PutLogEvents", Answer(hang=True))
    service = start(start_service, s3, cloudwatch, SHUTDOWN_TIMEOUT_SECONDS=60)
    service.signal()
    service.wait_log(lambda line: line["message"] == "stopped", "the flush has begun")
    begin = time.monotonic()
    service.signal()
    assert service.wait_end(10) == 1
    assert time.monotonic() - begin < 2


def test_who_is_denied_for_good_does_not_wait_for_it(start_service, s3, cloudwatch):
    cloudwatch.script_always("PutLogEvents", Answer(error="AccessDeniedException"))
    service = start(start_service, s3, cloudwatch, SHUTDOWN_TIMEOUT_SECONDS=30)
    outage = service.wait_log(
        lambda line: "do not reach CloudWatch" in line["message"], "it says that it is denied"
    )
    assert outage["code"] == "AccessDeniedException" and outage["level"] == "error"
    begin = time.monotonic()
    end(service, 15)
    assert time.monotonic() - begin < 8
    assert told_on_stderr(service) == len(service.logs())


def test_a_throttled_cloudwatch_gets_all_by_the_end(start_service, s3, cloudwatch):
    cloudwatch.script_every("PutLogEvents", 2, Answer(error="ThrottlingException"))
    service = start(start_service, s3, cloudwatch)
    Load(service.port, [f"/throttled/{LONG}"] * 1000).run()
    end(service)
    lines = shipped(cloudwatch)
    assert {text for text, _ in lines} == set(service.log_lines())
    assert max(numbers_of(line for _, line in lines).values()) == 1
    assert told_on_stderr(service) == 0


def test_cloudwatch_may_come_later_than_the_service(start_service, s3, cloudwatch):
    cloudwatch.stop_listening()
    service = start(start_service, s3, cloudwatch)
    Load(service.port, ["/early"] * 50).run()
    service.wait_log(lambda line: "do not reach CloudWatch" in line["message"], "the outage")
    cloudwatch.listen_again()
    service.wait_log(lambda line: "reach CloudWatch again" in line["message"], "its end")
    end(service)
    assert {text for text, _ in shipped(cloudwatch)} == set(service.log_lines())
    assert told_on_stderr(service) == 0


def test_a_wrong_aws_clock_is_learnt(start_service, s3, cloudwatch):
    cloudwatch.clock_offset_s = 1200.0
    service = start(start_service, s3, cloudwatch)
    Load(service.port, ["/skewed"] * 10).run()
    cloudwatch.wait_events(GROUP, "service", 10)
    end(service)
    assert {text for text, _ in shipped(cloudwatch)} == set(service.log_lines())


def test_debug_lines_of_s3_calls_do_not_feed_themselves(start_service, s3, cloudwatch):
    """The shipper's own calls write no line: an idle service becomes quiet."""
    service = start(start_service, s3, cloudwatch, LOG_LEVEL="debug")
    assert service.get("/file/bucket/none").status_code == 404
    cloudwatch.wait_events(GROUP, "service", 1)

    def calls():
        return len(cloudwatch.operations())

    def quiet():
        before = calls()
        time.sleep(2.5)  # more than two batches could go
        return calls() == before

    wait_until(quiet, 30, "no call when no line is written")
    end(service)


def test_a_port_that_nobody_listens_on_costs_the_lines_only(start_service, s3):
    service = start_service(
        s3,
        AWS_CLOUDWATCH_LOGS_ENDPOINT=f"http://127.0.0.1:{free_port()}",
        AWS_CLOUDWATCH_LOGS_LOG_GROUP=GROUP,
        SHUTDOWN_TIMEOUT_SECONDS=3,
    )
    Load(service.port, ["/healthz"] * 500).run()
    service.signal(signal.SIGINT)
    assert service.wait_end(6) == 0
    assert told_on_stderr(service) == len(service.logs())

"""The log shipper before a CloudWatch Logs that checks every rule: nothing is lost uncounted."""

import random
import re
import threading

import pytest
from cloudwatch_stand_in import (
    BATCH_EVENT_BYTES,
    BATCH_MAX_BYTES,
    BATCH_MAX_EVENTS,
    DAY_MS,
    EVENT_MAX_BYTES,
    Answer,
    error_body,
)
from support.paths import is_sanitized
from support.shipper import GROUP, now_ms

HOUR_MS = 3600 * 1000
MIB = 1 << 20
NOTHING_REJECTED = {"too_old": 0, "too_new": 0, "expired": 0, "invalid": 0}
THROTTLED = Answer(error="ThrottlingException")


def numbered(count, size=40, first=0):
    """Lines that differ, each of `size` bytes."""
    return [f"{number:08d} ".ljust(size, "x") for number in range(first, first + count)]


def check(cloudwatch, counts, delivered=None, dropped=0, **rejected):
    """The counters are exact; without `delivered`, all other lines were delivered."""
    assert not cloudwatch.violations, cloudwatch.violations[:3]
    assert counts["rejected"] == {**NOTHING_REJECTED, **rejected}
    assert counts["dropped"] == dropped
    if delivered is None:
        delivered = counts["produced"] - dropped - sum(rejected.values())
    assert counts["delivered"] == delivered
    assert counts["queue_bytes"] == 0


def check_all_stored(cloudwatch, shipper, counts):
    """Every line once and in order."""
    check(cloudwatch, counts)
    for stream, lines in shipper.sent.items():
        assert cloudwatch.messages(GROUP, stream) == lines


def batches(cloudwatch):
    """The messages of each PutLogEvents that came."""
    return [
        [event["message"].encode() for event in r.payload["logEvents"]]
        for r in cloudwatch.requests("PutLogEvents")
    ]


def fill_behind_a_slow_call(cloudwatch, shipper, lines, **options):
    """Has `lines` wait while a call is under way, so that they are taken all at once."""
    cloudwatch.make_group(GROUP, "default", "service")
    gate = threading.Event()
    cloudwatch.script("PutLogEvents", Answer(gate=gate, apply=True))
    shipper.put("the first")
    cloudwatch.wait_for("PutLogEvents")
    shipper.put(*lines, **options)
    assert shipper.counts()["produced"] == 1 + len(lines)
    gate.set()


# All is well


def test_every_line_arrives_once_and_in_order(cloudwatch, start_shipper):
    shipper = start_shipper()
    for number in range(0, 300, 30):
        shipper.put(*numbered(30, first=number))
        shipper.put(*numbered(30, first=number), stream="service")
    check_all_stored(cloudwatch, shipper, shipper.flush())
    assert not shipper.outages() and not shipper.recoveries()


def test_lines_do_not_wait_for_a_flush(cloudwatch, start_shipper):
    shipper = start_shipper()
    shipper.put(*numbered(3))
    assert cloudwatch.wait_events(GROUP, "default", 3) == shipper.sent["default"]
    shipper.put(*numbered(3, first=3))
    assert cloudwatch.wait_events(GROUP, "default", 6) == shipper.sent["default"]
    check_all_stored(cloudwatch, shipper, shipper.flush())


def test_a_flush_of_nothing_ends_at_once(cloudwatch, start_shipper):
    shipper = start_shipper()
    counts = shipper.flush(60_000)
    assert counts["produced"] == 0 and not cloudwatch.requests()


# Faults of the service


def test_throttled_every_second_call(cloudwatch, start_shipper):
    cloudwatch.make_group(GROUP, "default", "service")
    cloudwatch.script_every("PutLogEvents", 2, THROTTLED)
    shipper = start_shipper()
    for number in range(0, 6000, 1000):
        shipper.put(*numbered(1000, size=1000, first=number))
    shipper.wait_quiet(40)
    check_all_stored(cloudwatch, shipper, shipper.flush())
    assert len(cloudwatch.requests("PutLogEvents")) >= 8


FAULTS = {
    "500": Answer("InternalFailure", status=500),
    "503": Answer("ServiceUnavailableException", status=503),
    "503 of a proxy": Answer(status=503, body=b"<html>no upstream</html>"),
    "400 throttled": THROTTLED,
    "400 without a body": Answer(status=400, body=b""),
    "cut off": Answer(close_before=True),
    "200 without a request id": Answer(body=b"{}", request_id=False),
    "200 that is not JSON": Answer(body=b"<html>welcome to the hotel</html>"),
    "200 that is no object": Answer(body=b"[]"),
    "200 that is too long": Answer(body=b"{}".ljust(2 * MIB)),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_what_was_not_stored_is_sent_again(cloudwatch, start_shipper, fault):
    cloudwatch.make_group(GROUP, "default", "service")
    cloudwatch.script("PutLogEvents", fault)
    shipper = start_shipper()
    shipper.put(*numbered(5))
    shipper.wait_quiet()
    first, second = batches(cloudwatch)
    assert first == second == shipper.sent["default"]
    check_all_stored(cloudwatch, shipper, shipper.flush())


def test_a_lost_answer_doubles_and_loses_nothing(cloudwatch, start_shipper):
    cloudwatch.make_group(GROUP, "default", "service")
    cloudwatch.script("PutLogEvents", Answer(lost=True))
    shipper = start_shipper()
    shipper.put(*numbered(5))
    shipper.wait_quiet()
    shipper.put(*numbered(5, first=5))
    check(cloudwatch, shipper.flush(), delivered=10)
    lines = shipper.sent["default"]
    assert cloudwatch.messages(GROUP, "default") == lines[:5] + lines


def test_a_hang_ends_by_the_silence_time(cloudwatch, start_shipper):
    cloudwatch.make_group(GROUP, "default", "service")
    cloudwatch.script("PutLogEvents", Answer(hang=True))
    shipper = start_shipper(silence_ms=1000)
    shipper.put(*numbered(5))
    first, second = cloudwatch.wait_for("PutLogEvents", 2, timeout_s=15)
    assert 0.9 < second.at - first.at < 10
    shipper.put(*numbered(5, first=5))
    check_all_stored(cloudwatch, shipper, shipper.flush())


def test_waiting_between_tries_doubles_at_most(cloudwatch, start_shipper):
    cloudwatch.make_group(GROUP, "default", "service")
    cloudwatch.script("PutLogEvents", *[Answer("InternalFailure", status=500)] * 4)
    shipper = start_shipper()
    shipper.put(*numbered(5))
    calls = cloudwatch.wait_for("PutLogEvents", 5, timeout_s=30)
    gaps_s = [b.at - a.at for a, b in zip(calls, calls[1:], strict=False)]
    slow_s = 1  # of a busy machine
    assert all(gap_s < 0.5 * 2**n + slow_s for n, gap_s in enumerate(gaps_s)), gaps_s
    check_all_stored(cloudwatch, shipper, shipper.flush())


def test_refused_at_the_start(cloudwatch, start_shipper):
    cloudwatch.stop_listening()
    shipper = start_shipper()
    shipper.put(*numbered(5))
    assert shipper.wait_outage() == ["unreachable"]
    cloudwatch.listen_again()
    assert shipper.wait_recovery(timeout_s=40) == [0]
    shipper.put(*numbered(5, first=5))
    check_all_stored(cloudwatch, shipper, shipper.flush())
    assert len(shipper.outages()) == len(shipper.recoveries()) == 1


def test_down_under_load_drops_the_oldest_and_says_how_many(cloudwatch, start_shipper):
    queue_bytes, count, size = 256 << 10, 20_000, 1000
    shipper = start_shipper(queue_bytes=queue_bytes)
    shipper.put(*numbered(10, size))
    shipper.wait_quiet()
    before = shipper.memory_bytes("VmRSS")
    cloudwatch.stop_listening()
    shipper.put(*numbered(10, size, first=10))
    shipper.wait_outage()
    for first in range(20, count, 999):
        shipper.put(*numbered(999, size, first))
        assert shipper.counts()["queue_bytes"] <= queue_bytes + 10 * size
    if not is_sanitized():
        assert shipper.memory_bytes("VmHWM") - before < 4 * MIB
    cloudwatch.listen_again()
    dropped = shipper.wait_quiet(40)["dropped"]
    assert shipper.wait_recovery() == [dropped]
    check(cloudwatch, shipper.flush(), dropped=dropped)
    # One gap: what was on its way stays, then come the newest that found room.
    sent, stored = shipper.sent["default"], cloudwatch.messages(GROUP, "default")
    assert stored == sent[:20] + sent[20 + dropped :]
    assert queue_bytes // 2 < (len(stored) - 20) * size <= queue_bytes
    assert shipper.outages() == ["unreachable"] and shipper.recoveries() == [dropped]


def test_more_than_is_taken_is_told_without_an_outage(cloudwatch, start_shipper):
    shipper = start_shipper(queue_bytes=256 << 10)
    fill_behind_a_slow_call(cloudwatch, shipper, numbered(1000, size=1000))
    counts = shipper.wait_quiet()
    assert shipper.wait_recovery(timeout_s=15) == [counts["dropped"]]
    check(cloudwatch, shipper.flush(), dropped=counts["dropped"])
    sent = shipper.sent["default"]
    assert cloudwatch.messages(GROUP, "default") == sent[:1] + sent[1 + counts["dropped"] :]
    assert counts["dropped"] > 500 and not shipper.outages()


def test_an_outage_of_both_streams_is_one(cloudwatch, start_shipper):
    cloudwatch.make_group(GROUP, "default", "service")
    shipper = start_shipper()
    cloudwatch.stop_listening()
    shipper.put(*numbered(5))
    shipper.put(*numbered(5), stream="service")
    shipper.wait_outage()
    cloudwatch.listen_again()
    shipper.wait_quiet(40)
    shipper.wait_recovery()
    last = {r.payload["logStreamName"]: r.at for r in cloudwatch.requests("PutLogEvents")}
    assert abs(last["default"] - last["service"]) < 1, "what works for one works for the other"
    check_all_stored(cloudwatch, shipper, shipper.flush())
    assert (shipper.outages(), shipper.recoveries()) == (["unreachable"], [0])


def test_a_kept_connection_that_is_dead_is_no_outage(cloudwatch, start_shipper):
    shipper = start_shipper()
    for first in range(0, 15, 5):
        shipper.put(*numbered(5, first=first))
        shipper.wait_quiet()
        cloudwatch.stop_listening()
        cloudwatch.listen_again()
    check_all_stored(cloudwatch, shipper, shipper.flush())
    assert not shipper.outages()


def test_a_line_that_is_longer_than_the_queue_is_counted(cloudwatch, start_shipper):
    shipper = start_shipper(queue_bytes=65536)
    shipper.put("x" * 200_000, "after")
    check(cloudwatch, shipper.flush(), dropped=1)
    assert cloudwatch.messages(GROUP, "default") == [b"after"]


def test_a_storm_of_faults_loses_nothing(cloudwatch, start_shipper):
    """Of all kinds, over many batches, in the order of a seed."""
    kinds = [Answer(lost=True), Answer(hang=True)]
    kinds += FAULTS.values()
    faults = [*kinds, *kinds, *[Answer(apply=True)] * len(kinds)]
    random.Random(1).shuffle(faults)
    cloudwatch.script("PutLogEvents", *faults)
    cloudwatch.script("CreateLogStream", THROTTLED, Answer(lost=True), THROTTLED)
    cloudwatch.script("CreateLogGroup", Answer(lost=True))
    shipper = start_shipper(silence_ms=500)
    for first in range(0, 16_000, 1000):
        shipper.put(*numbered(1000, 500, first), stream=("default", "service")[first // 1000 % 2])
    check(cloudwatch, shipper.flush(60_000))
    for stream, lines in shipper.sent.items():
        # A batch whose answer was lost comes again, as a whole, before the next.
        assert list(dict.fromkeys(cloudwatch.messages(GROUP, stream))) == lines


def test_an_outage_is_told_once_by_its_name(cloudwatch, start_shipper):
    cloudwatch.make_group(GROUP, "default", "service")
    cloudwatch.script("PutLogEvents", *[Answer(error="AccessDeniedException")] * 4)
    shipper = start_shipper()
    shipper.put(*numbered(5))
    assert shipper.wait_outage() == ["AccessDeniedException"]
    assert shipper.wait_recovery(timeout_s=60) == [0]
    check_all_stored(cloudwatch, shipper, shipper.flush())
    assert shipper.outages() == ["AccessDeniedException"]


# Flushing


def test_a_flush_before_a_hung_service_ends_in_time_and_counts(cloudwatch, start_shipper):
    cloudwatch.make_group(GROUP, "default", "service")
    cloudwatch.script_always("*", Answer(hang=True))
    shipper = start_shipper(silence_ms=60_000)
    shipper.put(*numbered(5))
    shipper.put(*numbered(7), stream="service")
    cloudwatch.wait_for("PutLogEvents", 2)
    asked = now_ms()
    counts = shipper.flush(1000)
    assert now_ms() - asked < 4000
    check(cloudwatch, counts, delivered=0, dropped=12)


def test_a_flush_before_a_service_that_is_down_ends_in_time(cloudwatch, start_shipper):
    cloudwatch.stop_listening()
    shipper = start_shipper()
    shipper.put(*numbered(5))
    asked = now_ms()
    counts = shipper.flush(1000)
    assert now_ms() - asked < 4000
    check(cloudwatch, counts, delivered=0, dropped=5)


def test_a_flush_before_a_throttled_service_delivers_all(cloudwatch, start_shipper):
    cloudwatch.make_group(GROUP, "default", "service")
    cloudwatch.script("PutLogEvents", THROTTLED, THROTTLED)
    cloudwatch.script_every("PutLogEvents", 2, THROTTLED)
    shipper = start_shipper()
    shipper.put(*numbered(3000, size=1000))
    shipper.put(*numbered(100), stream="service")
    check_all_stored(cloudwatch, shipper, shipper.flush(40_000))


def test_a_flush_tries_again_soon(cloudwatch, start_shipper):
    cloudwatch.make_group(GROUP, "default", "service")
    cloudwatch.script("PutLogEvents", *[Answer("InternalFailure", status=500)] * 8)
    shipper = start_shipper()
    shipper.put(*numbered(5))
    shipper.wait_outage()
    asked = now_ms()
    check_all_stored(cloudwatch, shipper, shipper.flush())
    assert now_ms() - asked < 4000 and len(cloudwatch.requests("PutLogEvents")) == 9


def test_a_flush_before_a_service_that_denies_ends_early(cloudwatch, start_shipper):
    cloudwatch.script_always("*", Answer(error="AccessDeniedException"))
    shipper = start_shipper()
    shipper.put(*numbered(5))
    asked = now_ms()
    check(cloudwatch, shipper.flush(30_000), delivered=0, dropped=5)
    assert now_ms() - asked < 5000


@pytest.mark.parametrize(
    "refusal",
    [
        Answer(error="ExpiredTokenException"),
        FAULTS["400 without a body"],
    ],
)
def test_a_flush_is_not_ended_by_one_refusal_after_other_faults(
    cloudwatch, start_shipper, refusal
):
    cloudwatch.make_group(GROUP, "default", "service")
    cloudwatch.script("PutLogEvents", Answer(status=503), Answer(status=503), refusal)
    shipper = start_shipper()
    shipper.put(*numbered(5))
    check_all_stored(cloudwatch, shipper, shipper.flush(30_000))


def test_a_flush_waits_for_the_group_to_be_made(cloudwatch, start_shipper):
    shipper = start_shipper(retention_days=7)
    shipper.put(*numbered(5))
    shipper.put(*numbered(5), stream="service")
    check_all_stored(cloudwatch, shipper, shipper.flush())
    assert cloudwatch.groups[GROUP].retention_days == 7


# Group and stream

CREATION = ["CreateLogStream", "CreateLogGroup", "CreateLogStream", "PutLogEvents"]
CREATION_WITH_RETENTION = CREATION[:2] + ["PutRetentionPolicy"] + CREATION[2:]


@pytest.mark.parametrize("days, wanted", [(0, CREATION), (30, CREATION_WITH_RETENTION)])
def test_group_and_stream_are_made_when_missing(cloudwatch, start_shipper, days, wanted):
    shipper = start_shipper(retention_days=days)
    shipper.put(*numbered(5))
    shipper.wait_quiet()
    assert cloudwatch.operations() == ["PutLogEvents", *wanted]
    first, last = batches(cloudwatch)
    assert first == last
    shipper.put(*numbered(5), stream="service")
    check_all_stored(cloudwatch, shipper, shipper.flush())
    assert cloudwatch.groups[GROUP].retention_days == (days or None)
    assert len(cloudwatch.requests("PutRetentionPolicy")) == (1 if days else 0)
    assert not shipper.outages() and not shipper.recoveries()


def test_a_group_that_exists_keeps_its_retention(cloudwatch, start_shipper):
    cloudwatch.make_group(GROUP, retention_days=90)
    cloudwatch.script_always("CreateLogGroup", Answer(error="AccessDeniedException"))
    shipper = start_shipper(retention_days=30)
    shipper.put(*numbered(5))
    shipper.put(*numbered(5), stream="service")
    check_all_stored(cloudwatch, shipper, shipper.flush())
    assert cloudwatch.groups[GROUP].retention_days == 90
    assert set(cloudwatch.operations()) == {"PutLogEvents", "CreateLogStream"}
    assert not shipper.outages()


def test_a_retention_that_is_denied_stops_no_line(cloudwatch, start_shipper):
    cloudwatch.script_always("PutRetentionPolicy", Answer(error="AccessDeniedException"))
    shipper = start_shipper(retention_days=30)
    shipper.put(*numbered(5))
    shipper.wait_quiet()
    shipper.put(*numbered(5, first=5))
    check_all_stored(cloudwatch, shipper, shipper.flush())
    assert len(cloudwatch.requests("PutRetentionPolicy")) == 1
    assert shipper.told("no_retention") == ["AccessDeniedException"] and not shipper.outages()


@pytest.mark.parametrize("retention_days", [0, 30])
def test_somebody_else_makes_group_and_stream(cloudwatch, start_shipper, retention_days):
    taken = Answer(error="ResourceAlreadyExistsException", apply=True)
    cloudwatch.script("CreateLogGroup", taken)
    cloudwatch.script("CreateLogStream", Answer(error="ResourceNotFoundException"), taken)
    shipper = start_shipper(retention_days=retention_days)
    shipper.put(*numbered(5))
    check_all_stored(cloudwatch, shipper, shipper.flush())
    assert not cloudwatch.requests("PutRetentionPolicy"), "the group is not ours"


def test_a_new_group_is_not_known_everywhere_at_once(cloudwatch, start_shipper):
    missing = Answer(error="ResourceNotFoundException")
    cloudwatch.script("CreateLogStream", missing, missing, missing)
    cloudwatch.script("PutLogEvents", missing, missing)
    shipper = start_shipper(retention_days=30)
    shipper.put(*numbered(5))
    check_all_stored(cloudwatch, shipper, shipper.flush())
    assert cloudwatch.groups[GROUP].retention_days == 30


def test_the_retention_of_a_group_that_is_not_known_everywhere_is_set_later(
    cloudwatch, start_shipper
):
    missing = Answer(error="ResourceNotFoundException")
    cloudwatch.script("PutRetentionPolicy", missing)
    shipper = start_shipper(retention_days=30)
    shipper.put(*numbered(5))
    check_all_stored(cloudwatch, shipper, shipper.flush())
    assert cloudwatch.groups[GROUP].retention_days == 30
    assert len(cloudwatch.requests("PutRetentionPolicy")) == 2
    assert not shipper.told("no_retention")


def test_a_group_whose_creation_had_no_answer_is_ours(cloudwatch, start_shipper):
    cloudwatch.script("CreateLogGroup", Answer(apply=True, hang=True))
    shipper = start_shipper(retention_days=30, silence_ms=500)
    shipper.put(*numbered(5))
    check_all_stored(cloudwatch, shipper, shipper.flush())
    assert cloudwatch.groups[GROUP].retention_days == 30


@pytest.mark.parametrize("operation", ["CreateLogGroup", "CreateLogStream", "PutRetentionPolicy"])
@pytest.mark.parametrize("fault", [THROTTLED, Answer(error="OperationAbortedException")])
def test_a_creation_that_fails_is_tried_again(cloudwatch, start_shipper, operation, fault):
    cloudwatch.script(operation, fault)
    shipper = start_shipper(retention_days=30)
    shipper.put(*numbered(5))
    check_all_stored(cloudwatch, shipper, shipper.flush())


MISSING = {
    "with a name space": Answer(
        body=error_body("com.amazonaws.logs#ResourceNotFoundException", "no group"), status=400
    ),
    "in a header": Answer(
        status=400,
        body=b"",
        headers={"x-amzn-ErrorType": "ResourceNotFoundException:http://internal.amazon.com/"},
    ),
    "with another message": Answer(
        status=400, body=b'{"__type":"ResourceNotFoundException","Message":"no group"}'
    ),
}


@pytest.mark.parametrize("missing", MISSING.values(), ids=MISSING.keys())
def test_an_error_has_its_name_in_several_places(cloudwatch, start_shipper, missing):
    cloudwatch.script("PutLogEvents", missing)
    shipper = start_shipper()
    shipper.put(*numbered(5))
    check_all_stored(cloudwatch, shipper, shipper.flush())
    assert cloudwatch.operations() == ["PutLogEvents", *CREATION]


def test_a_group_that_is_deleted_is_made_again(cloudwatch, start_shipper):
    shipper = start_shipper(retention_days=7)
    shipper.put(*numbered(5))
    shipper.wait_quiet()
    gone = cloudwatch.forget(GROUP)
    shipper.put(*numbered(5, first=5))
    shipper.wait_quiet()
    check(cloudwatch, shipper.flush(), delivered=10)
    stored = [event.message for event in gone["default"]] + cloudwatch.messages(GROUP, "default")
    assert stored == shipper.sent["default"]
    assert cloudwatch.groups[GROUP].retention_days == 7


# Events that are rejected


def check_never_sent_again(cloudwatch):
    sent = [message for batch in batches(cloudwatch) for message in batch]
    assert len(sent) == len(set(sent))


@pytest.mark.parametrize(
    "retention_days, offsets_ms, wanted",
    [
        (None, (-14 * DAY_MS - HOUR_MS, -14 * DAY_MS + HOUR_MS), {"too_old": 1}),
        (None, (-20 * DAY_MS, -20 * DAY_MS + 1), {"too_old": 2}),
        (None, (0, HOUR_MS, 3 * HOUR_MS), {"too_new": 1}),
        (3, (-3 * DAY_MS - HOUR_MS, -3 * DAY_MS - 1, -3 * DAY_MS + HOUR_MS), {"expired": 2}),
        (7, (-14 * DAY_MS - 1, -14 * DAY_MS + HOUR_MS), {"too_old": 1, "expired": 1}),
    ],
    ids=["one too old", "all too old", "too new", "expired", "too old and expired"],
)
def test_events_out_of_time_are_counted_by_kind(
    cloudwatch, start_shipper, retention_days, offsets_ms, wanted
):
    cloudwatch.make_group(GROUP, "default", "service", retention_days=retention_days)
    shipper = start_shipper()
    now = now_ms()
    for number, offset_ms in enumerate(offsets_ms):
        shipper.put(f"line {number}", wall_ms=now + offset_ms)
    shipper.put("after")
    check(cloudwatch, shipper.flush(), **wanted)
    count = sum(wanted.values())
    assert sum(shipper.told("refused")) == count
    good = slice(len(offsets_ms) - count) if "too_new" in wanted else slice(count, None)
    kept = [f"line {number}".encode() for number in range(len(offsets_ms))][good]
    assert sorted(cloudwatch.messages(GROUP, "default")) == [b"after", *kept]
    check_never_sent_again(cloudwatch)


@pytest.mark.parametrize("wall_ms, wanted", [(0, {"too_old": 1}), ((1 << 63) - 1, {"too_new": 1})])
def test_times_at_both_ends_are_numbers_too(cloudwatch, start_shipper, wall_ms, wanted):
    shipper = start_shipper()
    shipper.put("before")
    shipper.put("far away", wall_ms=wall_ms)
    shipper.put("after")
    check(cloudwatch, shipper.flush(), **wanted)
    assert cloudwatch.messages(GROUP, "default") == [b"before", b"after"]


@pytest.mark.parametrize(
    "info, wanted",
    [
        (
            {
                "tooOldLogEventEndIndex": 1,
                "expiredLogEventEndIndex": 3,
                "tooNewLogEventStartIndex": 5,
            },
            {"too_old": 1, "expired": 2, "too_new": 1},
        ),
        ({"expiredLogEventEndIndex": 2}, {"expired": 2}),
        ({"tooOldLogEventEndIndex": 6}, {"too_old": 6}),
        ({"tooNewLogEventStartIndex": 0}, {"too_new": 6}),
        ({}, {}),
    ],
)
def test_what_the_answer_says_of_events_is_counted(cloudwatch, start_shipper, info, wanted):
    cloudwatch.make_group(GROUP, "default", "service")
    cloudwatch.script("PutLogEvents", Answer(rejected=info))
    shipper = start_shipper()
    shipper.put(*numbered(6))
    check(cloudwatch, shipper.flush(), **wanted)
    check_never_sent_again(cloudwatch)


@pytest.mark.parametrize(
    "info",
    [
        {"tooOldLogEventEndIndex": 99},
        {"tooNewLogEventStartIndex": 99},
        {"tooOldLogEventEndIndex": 5, "tooNewLogEventStartIndex": 1},
        {"tooOldLogEventEndIndex": -1, "tooNewLogEventStartIndex": -1},
        {"x": 1},
        7,
        None,
    ],
)
def test_nonsense_about_events_breaks_no_sum(cloudwatch, start_shipper, info):
    cloudwatch.make_group(GROUP, "default", "service")
    shipper = start_shipper()
    body = b'{"rejectedLogEventsInfo": %s}' % str(info).replace("'", '"').encode()
    cloudwatch.script("PutLogEvents", Answer(body=body.replace(b"None", b"null")))
    shipper.put(*numbered(6))
    shipper.wait_quiet()
    shipper.put(*numbered(6, first=6))
    assert shipper.flush()["delivered"] >= 6
    assert not cloudwatch.violations
    assert cloudwatch.messages(GROUP, "default")[-6:] == shipper.sent["default"][6:]


def test_a_batch_that_is_refused_does_not_stop_the_next(cloudwatch, start_shipper):
    cloudwatch.make_group(GROUP, "default", "service")
    cloudwatch.script("PutLogEvents", Answer(error="InvalidParameterException"))
    shipper = start_shipper()
    shipper.put(*numbered(5))
    shipper.wait_quiet()
    shipper.put(*numbered(5, first=5))
    check(cloudwatch, shipper.flush(), invalid=5)
    assert cloudwatch.messages(GROUP, "default") == shipper.sent["default"][5:]
    check_never_sent_again(cloudwatch)


# Clocks


def test_a_clock_that_steps_back_and_forward(cloudwatch, start_shipper):
    cloudwatch.make_group(GROUP, "default", "service")
    shipper = start_shipper()
    now, hours = now_ms(), (0, -1, 0, -26, -27, -26, 0, 26, 0, -50, 1)
    for number, hour in enumerate(hours):
        shipper.put(f"line {number:02d}", wall_ms=now + hour * HOUR_MS + number)
    check(cloudwatch, shipper.flush(), too_new=1)
    wanted = [f"line {number:02d}".encode() for number, hour in enumerate(hours) if hour != 26]
    assert sorted(cloudwatch.messages(GROUP, "default")) == wanted
    check_never_sent_again(cloudwatch)


def test_lines_of_one_time_stay_in_order(cloudwatch, start_shipper):
    cloudwatch.make_group(GROUP, "default", "service")
    shipper = start_shipper()
    now, lines = now_ms(), numbered(300)
    for number, line in enumerate(lines):
        shipper.put(line, wall_ms=now - number % 3)
    check(cloudwatch, shipper.flush())
    wanted = [*lines[2::3], *lines[1::3], *lines[::3]]
    assert [event.message.decode() for event in stable(cloudwatch)] == wanted


def stable(cloudwatch):
    """The events as CloudWatch shows them: by time, then as they came."""
    return sorted(cloudwatch.events(GROUP, "default"), key=lambda event: event.timestamp)


@pytest.mark.parametrize("minutes", [20, -20])
def test_the_clock_of_aws_is_learnt(cloudwatch, start_shipper, minutes):
    cloudwatch.clock_offset_s = minutes * 60
    shipper = start_shipper()
    shipper.put(*numbered(5))
    shipper.wait_quiet()
    shipper.put(*numbered(5, first=5))
    check_all_stored(cloudwatch, shipper, shipper.flush())
    # One is refused and the next is not; then all is as ever.
    assert cloudwatch.operations() == ["PutLogEvents"] * 2 + CREATION + ["PutLogEvents"]


# Sizes


def test_more_lines_at_one_instant_than_a_batch_takes(cloudwatch, start_shipper):
    shipper = start_shipper()
    lines = numbered(BATCH_MAX_EVENTS + 1, size=10)
    fill_behind_a_slow_call(cloudwatch, shipper, lines, wall_ms=now_ms())
    check_all_stored(cloudwatch, shipper, shipper.flush())
    assert sorted(map(len, batches(cloudwatch))) == [1, 1, BATCH_MAX_EVENTS]


@pytest.mark.parametrize("beyond, wanted", [(-1, [4]), (0, [4]), (1, [3, 1])])
def test_a_batch_is_filled_to_its_last_byte(cloudwatch, start_shipper, beyond, wanted):
    size = BATCH_MAX_BYTES // 4 - BATCH_EVENT_BYTES
    lines = numbered(3, size) + numbered(1, size + beyond, first=3)
    shipper = start_shipper()
    fill_behind_a_slow_call(cloudwatch, shipper, lines)
    check_all_stored(cloudwatch, shipper, shipper.flush())
    assert list(map(len, batches(cloudwatch))) == [1, *wanted]


@pytest.mark.parametrize("over", [1, 100_000])
@pytest.mark.parametrize("shift", range(4))
def test_a_long_line_is_cut_between_two_characters(cloudwatch, start_shipper, shift, over):
    line = "a" * shift + "😀" * ((EVENT_MAX_BYTES + over) // 4 + 1)
    shipper = start_shipper()
    shipper.put(line, "after")
    counts = shipper.flush()
    check(cloudwatch, counts, delivered=2)
    cut, after = cloudwatch.messages(GROUP, "default")
    found = re.match(r"(.*)\[truncated (\d+) bytes\]\Z", cut.decode(), re.DOTALL)
    kept = found[1].encode()
    assert line.startswith(found[1]) and after == b"after"
    assert int(found[2]) == len(line.encode()) - len(kept)
    assert EVENT_MAX_BYTES - 64 < len(cut) <= EVENT_MAX_BYTES


def test_a_line_as_long_as_allowed_is_whole(cloudwatch, start_shipper):
    shipper = start_shipper()
    shipper.put("é" * (EVENT_MAX_BYTES // 2), "after")
    check_all_stored(cloudwatch, shipper, shipper.flush())


def test_an_empty_line_is_a_dash(cloudwatch, start_shipper):
    shipper = start_shipper()
    shipper.put("", "after")
    check(cloudwatch, shipper.flush(), delivered=2)
    assert cloudwatch.messages(GROUP, "default") == [b"-", b"after"]


ODD = {
    "controls": bytes(range(1, 32)) + b'"\\/\x7f',
    "NUL": b"a\0b",
    "only NUL": b"\0",
    "line ends": b"a\r\nb\n",
    "beyond the BMP": "😀\U0010ffff\u2028\ufeff".encode(),
    "all controls": b"\x01" * EVENT_MAX_BYTES,
}


@pytest.mark.parametrize("line", ODD.values(), ids=ODD.keys())
def test_odd_bytes_arrive_as_they_are(cloudwatch, start_shipper, line):
    shipper = start_shipper()
    shipper.put(line, "after")
    check_all_stored(cloudwatch, shipper, shipper.flush())


def test_a_full_batch_of_escapes_is_sent(cloudwatch, start_shipper):
    shipper = start_shipper()
    lines = [b"\x01" * (BATCH_MAX_BYTES // 4 - BATCH_EVENT_BYTES)] * 4
    fill_behind_a_slow_call(cloudwatch, shipper, lines)
    check_all_stored(cloudwatch, shipper, shipper.flush())


def test_a_byte_that_is_not_utf_8_becomes_a_character(cloudwatch, start_shipper):
    """The log front end writes UTF-8 alone; should a byte slip through, the batch is legal."""
    shipper = start_shipper()
    shipper.put(b"a\xffb\xc3", "after")
    check(cloudwatch, shipper.flush(), delivered=2)
    assert cloudwatch.messages(GROUP, "default") == ["a\ufffdb\ufffd".encode(), b"after"]

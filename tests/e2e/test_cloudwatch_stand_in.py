"""The stand-in for CloudWatch Logs: it takes what AWS's client sends, and notices each limit."""

import socket
import time

import boto3
import botocore.exceptions
import pytest
from botocore.config import Config
from cloudwatch_stand_in import (
    BATCH_MAX_BYTES,
    BATCH_MAX_EVENTS,
    BATCH_MAX_SPAN_MS,
    DAY_MS,
    EVENT_MAX_BYTES,
    Answer,
)
from support.service import ACCESS_KEY, REGION, SECRET_KEY

HOUR_MS = 3600 * 1000


def client_of(cloudwatch, secret_key=SECRET_KEY):
    return boto3.client(
        "logs",
        endpoint_url=cloudwatch.url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=secret_key,
        config=Config(
            proxies={},
            parameter_validation=False,
            retries={"total_max_attempts": 1},
            read_timeout=5,
        ),
    )


@pytest.fixture
def client(cloudwatch):
    client = client_of(cloudwatch)
    yield client
    client.close()


@pytest.fixture
def put(cloudwatch, client):
    """Puts events, given as (milliseconds from now, message), to a group and stream that exist."""
    cloudwatch.make_group("g", "s")

    def put_events(*events):
        now_ms = int(time.time() * 1000)
        return client.put_log_events(
            logGroupName="g",
            logStreamName="s",
            logEvents=[{"timestamp": now_ms + ms, "message": text} for ms, text in events],
        )

    return put_events


def code_of(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"]


def test_boto3_is_served(cloudwatch, client):
    missing = {"logGroupName": "/a/b", "logStreamName": "s"}
    events = [{"timestamp": int(time.time() * 1000), "message": "é"}]
    assert code_of(client.create_log_stream, **missing) == "ResourceNotFoundException"
    client.create_log_group(logGroupName="/a/b")
    assert code_of(client.create_log_group, logGroupName="/a/b") == "ResourceAlreadyExistsException"
    put_missing = code_of(client.put_log_events, logEvents=events, **missing)
    assert put_missing == "ResourceNotFoundException"
    client.create_log_stream(**missing)
    assert code_of(client.create_log_stream, **missing) == "ResourceAlreadyExistsException"
    client.put_retention_policy(logGroupName="/a/b", retentionInDays=14)
    answer = client.put_log_events(logEvents=events, **missing)
    assert answer["ResponseMetadata"]["RequestId"] and "rejectedLogEventsInfo" not in answer
    assert cloudwatch.messages("/a/b", "s") == ["é".encode()]
    assert cloudwatch.groups["/a/b"].retention_days == 14
    assert cloudwatch.operations().count("CreateLogStream") == 3
    assert not cloudwatch.violations


def test_a_wrong_secret_is_refused(cloudwatch):
    client = client_of(cloudwatch, SECRET_KEY + "x")
    code = code_of(client.create_log_group, logGroupName="g")
    client.close()
    assert code == "InvalidSignatureException" and not cloudwatch.groups
    assert len(cloudwatch.violations) == 1


@pytest.mark.parametrize("offset_s, words", [(400, "expired"), (-400, "not yet current")])
def test_differing_clocks_are_refused_and_no_violation(cloudwatch, client, offset_s, words):
    cloudwatch.clock_offset_s = offset_s
    with pytest.raises(botocore.exceptions.ClientError, match=f"Signature {words}: ") as caught:
        client.create_log_group(logGroupName="g")
    assert caught.value.response["Error"]["Code"] == "InvalidSignatureException"
    assert not cloudwatch.violations


def lines(count, size):
    return [(0, "x" * size)] * count


FULL = lines(4, BATCH_MAX_BYTES // 4 - 26)


@pytest.mark.parametrize(
    "legal, broken",
    [
        (FULL, FULL[:3] + lines(1, BATCH_MAX_BYTES // 4 - 25)),
        (lines(BATCH_MAX_EVENTS, 1), lines(BATCH_MAX_EVENTS + 1, 1)),
        (lines(1, 1), []),
        (lines(1, 1), lines(1, 0)),
        (lines(1, EVENT_MAX_BYTES), lines(1, EVENT_MAX_BYTES + 1)),
        ([(0, "€" * (EVENT_MAX_BYTES // 3))], [(0, "€" * (EVENT_MAX_BYTES // 3 + 1))]),
        ([(0, "a"), (0, "b")], [(1, "a"), (0, "b")]),
        ([(-BATCH_MAX_SPAN_MS, "a"), (0, "b")], [(-BATCH_MAX_SPAN_MS - 1, "a"), (0, "b")]),
    ],
    ids=["bytes", "events", "no events", "empty", "long", "long in UTF-8", "order", "span"],
)
def test_each_limit_of_a_batch_is_noticed(cloudwatch, put, legal, broken):
    put(*legal)
    stored = len(cloudwatch.events("g", "s"))
    assert stored >= 1 and not cloudwatch.violations
    with pytest.raises(botocore.exceptions.ClientError, match="InvalidParameterException"):
        put(*broken)
    assert len(cloudwatch.violations) == 1, cloudwatch.violations
    assert len(cloudwatch.events("g", "s")) == stored


def test_events_out_of_time_are_told_and_not_stored(cloudwatch, put):
    cloudwatch.groups["g"].retention_days = 3
    old_ms = -14 * DAY_MS
    answer = put((old_ms - HOUR_MS, "a"), (old_ms - 1, "b"), (old_ms + HOUR_MS, "c"))
    assert answer["rejectedLogEventsInfo"] == {
        "tooOldLogEventEndIndex": 2,
        "expiredLogEventEndIndex": 3,
    }
    answer = put((0, "d"), (HOUR_MS, "e"), (2 * HOUR_MS + 60_000, "f"))
    assert answer["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 2}
    assert cloudwatch.messages("g", "s") == [b"d", b"e"]
    assert not cloudwatch.violations


@pytest.mark.parametrize(
    "operation, arguments",
    [
        ("create_log_group", {"logGroupName": "a b"}),
        ("create_log_group", {"logGroupName": "aws/x"}),
        ("create_log_group", {"logGroupName": "g" * 513}),
        ("create_log_stream", {"logGroupName": "g", "logStreamName": "a:b"}),
        ("create_log_stream", {"logGroupName": "g", "logStreamName": ""}),
        ("put_retention_policy", {"logGroupName": "g", "retentionInDays": 2}),
    ],
)
def test_names_and_days_are_checked(cloudwatch, client, operation, arguments):
    cloudwatch.make_group("g")
    assert code_of(getattr(client, operation), **arguments) == "InvalidParameterException"
    assert len(cloudwatch.violations) == 1


def test_scripts(cloudwatch, put):
    cloudwatch.script_every("PutLogEvents", 2, Answer(error="ThrottlingException"))
    put((0, "a"))
    with pytest.raises(botocore.exceptions.ClientError, match="ThrottlingException") as caught:
        put((0, "b"))
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    cloudwatch.script("PutLogEvents", Answer(lost=True))
    with pytest.raises(botocore.exceptions.ConnectionClosedError):
        put((0, "c"))
    assert cloudwatch.messages("g", "s") == [b"a", b"c"]
    assert list(cloudwatch.forget("g")) == ["s"] and not cloudwatch.violations


def test_down_and_up_again(cloudwatch, put):
    kept = socket.create_connection(("127.0.0.1", cloudwatch.port), timeout=5)
    put((0, "a"))
    cloudwatch.stop_listening()
    with pytest.raises(ConnectionResetError):
        kept.recv(1)
    kept.close()
    with pytest.raises(botocore.exceptions.BotoCoreError):
        put((0, "b"))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", cloudwatch.port), timeout=5)
    cloudwatch.listen_again()
    put((0, "c"))
    assert cloudwatch.messages("g", "s") == [b"a", b"c"]

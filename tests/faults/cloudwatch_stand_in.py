"""A stand-in for CloudWatch Logs that validates, for faults that a real one does not produce on
demand.

Unscripted it does what CloudWatch Logs does for the four operations that we use, in memory. Every
request, whatever it is answered with, is checked by the rules of the service: signature, names,
limits of a batch. A rule that was broken is a sentence in `violations`, so a test ends with

    assert not cloudwatch.violations

Answers are scripted by operation and used up in order:

    cloudwatch.script("PutLogEvents", Answer(error="ThrottlingException"), Answer(lost=True))
    cloudwatch.script_always("CreateLogGroup", Answer(error="AccessDeniedException"))
    cloudwatch.script_every("PutLogEvents", 2, Answer(error="ThrottlingException"))

Sources: CloudWatch Logs API reference; botocore's model of the service, and its signer.
"""

import calendar
import dataclasses
import json
import re
import threading
import time
import uuid
from email.utils import formatdate

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from scripted_server import Connection, Gone, ScriptedServer

BODY_MAX_BYTES = 16 << 20  # a batch of 1 MiB whose every byte is escaped, twice over
BATCH_MAX_BYTES = 1_048_576
BATCH_EVENT_BYTES = 26
BATCH_MAX_EVENTS = 10_000
BATCH_MAX_SPAN_MS = 24 * 3600 * 1000
EVENT_MAX_BYTES = 262_144
TOO_OLD_MS = 14 * 24 * 3600 * 1000
TOO_NEW_MS = 2 * 3600 * 1000
DAY_MS = 24 * 3600 * 1000
CLOCK_MAX_S = 300
RETENTION_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
    3288, 3653,
)  # fmt: skip
GROUP_NAME = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}\Z")
STREAM_NAME = re.compile(r"[^:*]{1,512}\Z")
MEMBERS = {
    "CreateLogGroup": {"logGroupName"},
    "CreateLogStream": {"logGroupName", "logStreamName"},
    "PutRetentionPolicy": {"logGroupName", "retentionInDays"},
    "PutLogEvents": {"logGroupName", "logStreamName", "logEvents"},
}
TARGET = re.compile(r"Logs_20140328\.([A-Za-z]+)\Z")
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
    r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})\Z"
)


@dataclasses.dataclass
class Answer:
    """One scripted answer. With nothing but `error` or `body` nothing takes effect."""

    error: str = ""  # "ThrottlingException"; the answer is a 400 unless `status` says otherwise
    status: int | None = None
    body: bytes | None = None  # instead of the JSON
    headers: dict = dataclasses.field(default_factory=dict)
    request_id: bool = True  # False: the answer does not carry x-amzn-RequestId
    apply: bool = False  # the operation takes effect although this answer is given
    lost: bool = False  # it takes effect, then the connection is reset
    rejected: dict | None = None  # this rejectedLogEventsInfo; the other events are stored
    hang: bool = False  # the request is read, and never answered
    close_before: bool = False  # closed after the request was read, without an answer
    gate: threading.Event | None = None  # it is answered once the test has set this


@dataclasses.dataclass
class Event:
    timestamp: int
    message: bytes


@dataclasses.dataclass
class Group:
    retention_days: int | None = None
    streams: dict = dataclasses.field(default_factory=dict)  # name -> [Event] in order of arrival


@dataclasses.dataclass
class Recorded:
    operation: str
    headers: dict  # names in lower case
    payload: dict  # the body; {} when it is not a JSON object
    size: int
    at: float  # time.monotonic() when the body had ended


class _Refused(Exception):
    """A request is answered with an error. `broken` says that it should never have been sent."""

    def __init__(self, code, message, broken=True, status=400):
        super().__init__(message)
        self.code = code
        self.message = message
        self.broken = broken
        self.status = status


def _invalid(message):
    return _Refused("InvalidParameterException", message)


def _not_found(what):
    return _Refused(
        "ResourceNotFoundException", f"The specified log {what} does not exist.", broken=False
    )


def _exists(what):
    return _Refused(
        "ResourceAlreadyExistsException",
        f"The specified log {what} already exists",
        broken=False,
    )


class _Connection(Connection):
    def _one_request(self):
        method, target, headers = self._read_head()
        length = headers.get("content-length", "")
        if not length.isdigit() or int(length) > BODY_MAX_BYTES:
            self.server.violated(f"a body of {length or 'unknown length'}")
            raise Gone
        body = b"".join(self._body_pieces(int(length)))
        self._answer(self.server.take(method, target, headers, body))

    def _answer(self, answer):
        if answer.hang:
            self._hang()
        if answer.gate is not None:
            while not answer.gate.wait(0.05) and not self.server.stopping.is_set():
                pass
        if answer.close_before:
            raise Gone
        if answer.lost:
            self._reset()
        body = answer.body if answer.body is not None else b""
        if answer.error and answer.body is None:
            body = error_body(answer.error, f"scripted {answer.error}")
        headers = {
            "x-amzn-RequestId": str(uuid.uuid4()),
            "Content-Type": "application/x-amz-json-1.1",
            "Date": formatdate(self.server.clock(), usegmt=True),
            "Content-Length": str(len(body)),
            **answer.headers,
        }
        if not answer.request_id:
            del headers["x-amzn-RequestId"]
        self._send(answer.status or (400 if answer.error else 200), headers, body)


def error_body(code, message):
    return json.dumps({"__type": code, "message": message}).encode()


class StandIn(ScriptedServer):
    """The server; a context manager. `lock` guards all of what tests look at."""

    NAME = "CloudWatch Logs"
    CONNECTION = _Connection

    def __init__(self, access_key, secret_key, region="us-east-1", session_token=None):
        super().__init__()
        self.credentials = Credentials(access_key, secret_key, session_token)
        self.region = region
        self.clock_offset_s = 0.0  # of its clock, from ours
        self.groups = {}  # name -> Group
        self.violations = []
        self._every = {}

    def clock(self):
        return time.time() + self.clock_offset_s

    # What a test says

    def script_every(self, operation, n, answer):
        """Every n-th call of the operation from now on, unless script() has one for it."""
        with self.lock:
            self._every[operation] = [n, 0, answer]

    def make_group(self, name, *streams, retention_days=None):
        with self.lock:
            self.groups[name] = Group(retention_days, {stream: [] for stream in streams})

    def forget(self, group):
        """Deletes the group, and with it what its streams hold. Returns that: {stream: [Event]}."""
        with self.lock:
            return self.groups.pop(group).streams

    # What a test asks

    def events(self, group, stream):
        with self.lock:
            found = self.groups.get(group, Group())
            return list(found.streams.get(stream, []))

    def messages(self, group, stream):
        return [event.message for event in self.events(group, stream)]

    def wait_events(self, group, stream, count, timeout_s=10):
        """Waits until that many events are stored; returns their messages."""

        def stored():
            return group in self.groups and len(self.groups[group].streams.get(stream, []))

        with self.lock:
            found = self.lock.wait_for(lambda: stored() >= count, timeout_s)
            assert found, f"{stored()} events of {count} in {timeout_s} s; {self.violations}"
        return self.messages(group, stream)

    # What connections call

    def next_answer(self, operation):
        with self.lock:
            every = self._every.get(operation)
            if every is not None:
                every[1] += 1
            if self._scripts[operation] or every is None or every[1] % every[0] != 0:
                return super().next_answer(operation)
            return every[2]

    def violated(self, rule):
        with self.lock:
            self.violations.append(rule)

    def take(self, method, target, headers, body):
        """Checks, records and carries out one request; returns the answer."""
        found = TARGET.match(headers.get("x-amz-target", ""))
        operation = found[1] if found else "Unknown"
        refusal, payload = None, {}
        try:
            _check_protocol(method, target, headers, operation)
            self._check_signature(method, headers, body)
            payload = _read_payload(body)
            _check_payload(operation, payload)
            self._check_clock(headers)
        except _Refused as refused:
            refusal = refused
            if refused.broken:
                self.violated(f"{operation}: {refused.message}")
        scripted = self.next_answer(operation)
        with self.lock:
            answer = self._carry_out(operation, payload, refusal, scripted)
        self.record(Recorded(operation, headers, payload, len(body), time.monotonic()))
        return answer

    def _carry_out(self, operation, payload, refusal, scripted):
        if scripted is not None and not (
            scripted.apply or scripted.lost or scripted.rejected is not None
        ):
            return scripted
        try:
            if refusal is not None:
                raise refusal
            rejected = scripted.rejected if scripted is not None else None
            if rejected is not None:
                return Answer(body=self._PutLogEvents(payload, rejected))
            body = getattr(self, "_" + operation)(payload)
        except _Refused as refused:
            if scripted is not None and refusal is None and (scripted.error or scripted.lost):
                return scripted  # it does not work anyway
            return Answer(status=refused.status, body=error_body(refused.code, refused.message))
        return scripted or Answer(body=body)

    def _check_signature(self, method, headers, body):
        found = AUTHORIZATION.match(headers.get("authorization", ""))
        if found is None:
            raise _Refused("IncompleteSignatureException", "Authorization has another form", True)
        key, day, region, service, names, signature = found.groups()
        known = self.credentials
        token = headers.get("x-amz-security-token")
        if key != known.access_key or token != known.token:
            raise _Refused(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            )
        if (region, service) != (self.region, "logs"):
            raise _Refused(
                "InvalidSignatureException",
                f"Credential should be scoped to {self.region}, logs, not to {region}, {service}",
            )
        signed = names.split(";")
        must = {"host"} | {name for name in headers if name.startswith("x-amz-")}
        if signed != sorted(signed) or not must <= set(signed) <= set(headers):
            raise _Refused("InvalidSignatureException", f"signed headers are {names}")
        date = headers.get("x-amz-date", "")
        if not re.match(r"\d{8}T\d{6}Z\Z", date) or date[:8] != day:
            raise _Refused("InvalidSignatureException", f"X-Amz-Date is {date!r}, the scope {day}")
        request = AWSRequest(
            method=method,
            url=f"http://{headers['host']}/",
            headers={name: headers[name] for name in signed},
            data=body,
        )
        request.context["timestamp"] = date
        signer = SigV4Auth(known, "logs", self.region)
        text = signer.string_to_sign(request, signer.canonical_request(request))
        if signer.signature(text, request) != signature:
            raise _Refused(
                "InvalidSignatureException",
                "The request signature we calculated does not match the signature you provided. "
                "Check your AWS Secret Access Key and signing method. "
                "Consult the service documentation for details.",
            )

    def _check_clock(self, headers):
        """Differing clocks break no rule."""
        date, now = headers["x-amz-date"], self.clock()
        signed = calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ"))
        if signed < now - CLOCK_MAX_S:
            raise _Refused(
                "InvalidSignatureException",
                f"Signature expired: {date} is now earlier than {_amz(now - CLOCK_MAX_S)} "
                f"({_amz(now)} - 5 min.)",
                broken=False,
            )
        if signed > now + CLOCK_MAX_S:
            raise _Refused(
                "InvalidSignatureException",
                f"Signature not yet current: {date} is still later than {_amz(now + CLOCK_MAX_S)} "
                f"({_amz(now)} + 5 min.)",
                broken=False,
            )

    # The tiny CloudWatch Logs

    def _group(self, payload):
        if payload["logGroupName"] not in self.groups:
            raise _not_found("group")
        return self.groups[payload["logGroupName"]]

    def _CreateLogGroup(self, payload):
        if payload["logGroupName"] in self.groups:
            raise _exists("group")
        self.groups[payload["logGroupName"]] = Group()
        return b""

    def _CreateLogStream(self, payload):
        group = self._group(payload)
        if payload["logStreamName"] in group.streams:
            raise _exists("stream")
        group.streams[payload["logStreamName"]] = []
        return b""

    def _PutRetentionPolicy(self, payload):
        self._group(payload).retention_days = payload["retentionInDays"]
        return b""

    def _PutLogEvents(self, payload, rejected=None):
        group = self._group(payload)
        if payload["logStreamName"] not in group.streams:
            raise _not_found("stream")
        events = [Event(e["timestamp"], e["message"].encode()) for e in payload["logEvents"]]
        if rejected is None:
            rejected = self._rejected(events, group.retention_days)
        front = max(
            rejected.get("tooOldLogEventEndIndex", 0), rejected.get("expiredLogEventEndIndex", 0)
        )
        end = rejected.get("tooNewLogEventStartIndex", len(events))
        group.streams[payload["logStreamName"]] += events[front:end]
        answer = {"nextSequenceToken": "0"}
        if rejected:
            answer["rejectedLogEventsInfo"] = rejected
        return json.dumps(answer).encode()

    def _rejected(self, events, retention_days):
        now_ms = self.clock() * 1000
        rejected = {}
        old = sum(e.timestamp < now_ms - TOO_OLD_MS for e in events)
        if old:
            rejected["tooOldLogEventEndIndex"] = old
        if retention_days is not None:
            expired = sum(e.timestamp < now_ms - retention_days * DAY_MS for e in events)
            if expired > old:
                rejected["expiredLogEventEndIndex"] = expired
        new = sum(e.timestamp > now_ms + TOO_NEW_MS for e in events)
        if new:
            rejected["tooNewLogEventStartIndex"] = len(events) - new
        return rejected


def _amz(seconds):
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))


def _check_protocol(method, target, headers, operation):
    if (method, target) != ("POST", "/"):
        raise _Refused("UnknownOperationException", f"{method} {target} instead of POST /")
    if headers.get("content-type") != "application/x-amz-json-1.1":
        raise _Refused("SerializationException", f"type {headers.get('content-type')!r}")
    if operation not in MEMBERS:
        raise _Refused("UnknownOperationException", f"target {headers.get('x-amz-target')!r}")


def _once(pairs):
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a member stands twice")
    return dict(pairs)


def _no_number(word):
    raise ValueError(f"{word} is no number")


def _read_payload(body):
    try:
        payload = json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_no_number)
    except ValueError as error:
        raise _Refused("SerializationException", f"the body is not JSON: {error}") from None
    if not isinstance(payload, dict):
        raise _Refused("SerializationException", "the body is not an object")
    return payload


def _constraint(value, member, what):
    return _invalid(
        f"1 validation error detected: Value '{str(value)[:100]}' at '{member}' failed to satisfy "
        f"constraint: Member must {what}"
    )


def _check_name(payload, member, pattern):
    name = payload[member]
    if not isinstance(name, str) or not pattern.match(name):
        raise _constraint(name, member, f"satisfy regular expression pattern: {pattern.pattern}")


def _check_payload(operation, payload):
    if set(payload) != MEMBERS[operation]:
        raise _invalid(f"members are {sorted(payload)}, not {sorted(MEMBERS[operation])}")
    _check_name(payload, "logGroupName", GROUP_NAME)
    if payload["logGroupName"].startswith("aws/"):
        raise _invalid("Log groups starting with aws/ are reserved for AWS.")
    if "logStreamName" in payload:
        _check_name(payload, "logStreamName", STREAM_NAME)
    if "retentionInDays" in payload and (
        type(payload["retentionInDays"]) is not int
        or payload["retentionInDays"] not in RETENTION_DAYS
    ):
        raise _constraint(payload["retentionInDays"], "retentionInDays", "be a known number")
    if "logEvents" in payload:
        _check_batch(payload["logEvents"])


def _message_bytes(event):
    if not isinstance(event, dict) or set(event) != {"timestamp", "message"}:
        raise _invalid(f"an event is {str(event)[:100]}")
    if type(event["timestamp"]) is not int or event["timestamp"] < 0:
        raise _constraint(event["timestamp"], "timestamp", "be a number that is not negative")
    if not isinstance(event["message"], str):
        raise _constraint(event["message"], "message", "be a string")
    try:
        size = len(event["message"].encode())
    except UnicodeEncodeError:
        raise _invalid("a message with half of a surrogate pair") from None
    if size < 1:
        raise _constraint("", "message", "have length greater than or equal to 1")
    if size > EVENT_MAX_BYTES:
        raise _invalid(f"Log event too large: {size} bytes exceeds limit of {EVENT_MAX_BYTES}")
    return size


def _check_batch(events):
    if not isinstance(events, list) or not 1 <= len(events) <= BATCH_MAX_EVENTS:
        count = len(events) if isinstance(events, list) else "no list"
        raise _constraint(count, "logEvents", f"have 1 to {BATCH_MAX_EVENTS} members")
    size = sum(_message_bytes(event) + BATCH_EVENT_BYTES for event in events)
    if size > BATCH_MAX_BYTES:
        raise _invalid(f"Upload too large: {size} bytes exceeds limit of {BATCH_MAX_BYTES}")
    times = [event["timestamp"] for event in events]
    if times != sorted(times):
        raise _invalid(
            "Log events in a single PutLogEvents request must be in chronological order."
        )
    if times[-1] - times[0] > BATCH_MAX_SPAN_MS:
        raise _invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 "
            "hours."
        )

"""Log lines: their fields, that CloudWatch has the same ones, and what none may ever hold."""

import datetime
import re
import urllib.parse

import pytest
from s3_stand_in import Answer
from support.checks import check_error
from support.process import free_port
from support.service import SECRET_KEY
from support.waiting import wait_until

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")
LEVELS = {"debug", "info", "warn", "warning", "error"}
TOKEN = "session/token+that=must-never-be-logged"
API_KEY = "api-key-that-must-never-be-logged"
BEARER = {"Authorization": f"Bearer {API_KEY}"}


def request_line(service, request_id):
    """The one line that says how a request ended."""
    service.wait_log(
        lambda line: line.get("request_id") == request_id and "status" in line, request_id
    )
    lines = [line for line in service.logs() if line.get("request_id") == request_id]
    ended = [line for line in lines if "status" in line]
    assert len(ended) == 1, lines
    return ended[0]


def ask(service, request_id, method, path, **options):
    headers = {"X-Request-Id": request_id, **options.pop("headers", {})}
    return service.request(method, path, headers=headers, **options)


def check_line(line):
    assert list(line)[:6] == ["time", "level", "stream", "message", "instance", "seq"]
    assert TIME.match(line["time"])
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(line["time"])
    assert abs(age) < datetime.timedelta(minutes=10)
    assert line["level"] in LEVELS
    assert line["stream"] in ("service", "default")
    assert isinstance(line["message"], str) and line["message"]


def test_every_line_is_json_with_the_fields_of_the_contract(start_service, s3):
    service = start_service(s3)
    assert ask(service, "put-1", "PUT", "/file/bucket/a%20b?expires=60", data=b"hello").ok
    answer = ask(service, "get-1", "GET", "/file/bucket/a%20b")
    assert ask(service, "head-1", "HEAD", "/").ok
    put, get, head = (request_line(service, name) for name in ("put-1", "get-1", "head-1"))
    for line in service.logs():
        check_line(line)
    for line in (put, get, head):
        assert line["stream"] == "service"
        assert (line["level"], line["remote"]) == ("info", "127.0.0.1")
        assert isinstance(line["duration_ms"], int) and 0 <= line["duration_ms"] < 10_000
        assert "error" not in line
    assert (put["method"], put["path"], put["status"]) == ("PUT", "/file/bucket/a%20b", 201)
    assert put["bytes_in"] == 5
    assert (get["method"], get["status"], get["bytes_in"]) == ("GET", 200, 0)
    assert get["bytes_out"] == len(answer.content)
    assert (head["method"], head["path"], head["bytes_out"]) == ("HEAD", "/", 0)
    assert put["s3_request_id"] == get_s3_id(s3, put) and get["s3_request_id"]


def get_s3_id(s3, line):
    """The stand-in makes ids up: 16 digits in upper case."""
    assert re.match(r"[0-9A-F]{16}\Z", line["s3_request_id"])
    return line["s3_request_id"]


def test_a_failed_request_says_why(start_service, s3):
    s3.script_always("PutObject", Answer(500, error="InternalError"))
    service = start_service(s3)
    check_error(ask(service, "missing", "GET", "/file/bucket/none"), 404)
    check_error(ask(service, "broken", "PUT", "/file/bucket/key", data=b"x"), 502)
    check_error(ask(service, "nowhere", "GET", "/nowhere"), 404)
    missing, broken = request_line(service, "missing"), request_line(service, "broken")
    assert (missing["status"], missing["level"]) == (404, "info")
    assert (broken["status"], broken["level"]) == (502, "error")
    assert missing["error"] and broken["error"]
    assert broken["s3_request_id"] == get_s3_id(s3, broken)
    assert request_line(service, "nowhere")["error"]


def test_a_line_cannot_be_forged_through_a_path(start_service, s3):
    service = start_service(s3)
    path = '/x%0a{"level":"error"}%22%1b[31m'
    check_error(ask(service, "forged", "GET", path), 404)
    line = request_line(service, "forged")
    assert "\n" not in line["path"] and "\x1b" not in line["path"]
    assert all(isinstance(one, dict) and "time" in one for one in service.logs())


def test_a_trusted_proxy_says_who_asked(start_service, s3):
    service = start_service(s3, TRUSTED_PROXIES="127.0.0.0/8,10.0.0.0/8")
    forwarded = {"X-Forwarded-For": "1.1.1.1, 203.0.113.9, 10.1.2.3"}
    ask(service, "proxied", "GET", "/", headers=forwarded)
    assert request_line(service, "proxied")["remote"] == "203.0.113.9"


def test_a_stranger_cannot_say_who_asked(start_service, s3):
    service = start_service(s3)
    ask(service, "claimed", "GET", "/", headers={"X-Forwarded-For": "203.0.113.9"})
    assert request_line(service, "claimed")["remote"] == "127.0.0.1"


def test_an_open_door_in_production_is_warned_of(start_service, s3):
    opened = start_service(s3)
    opened.wait_log(
        lambda line: line["level"].startswith("warn") and "API" in line["message"], "no keys"
    )
    guarded = start_service(s3, API_KEYS="a-key-of-some-length")
    guarded.wait_log(lambda line: "listens" in line["message"], "listens")
    assert not [line for line in guarded.logs() if line["level"].startswith("warn")]


def test_development_logs_are_for_people(start_service, s3):
    service = start_service(s3, ENVIRONMENT="development")
    ask(service, "readable", "GET", "/")

    def found():
        return [line for line in service.log_lines() if "readable" in line]

    wait_until(found, 5, "the request's line")
    assert not any(line.startswith("{") for line in service.log_lines())


def test_the_level_is_a_setting(start_service, s3):
    service = start_service(s3, LOG_LEVEL="error")
    s3.script_always("HeadObject", Answer(403, error="InvalidAccessKeyId"))
    s3.script_always("GetObject", Answer(403, error="InvalidAccessKeyId"))
    ask(service, "quiet", "GET", "/")
    ask(service, "loud", "GET", "/file/bucket/key")
    request_line(service, "loud")
    assert {line["level"] for line in service.logs()} == {"error"}
    assert "quiet" not in {line.get("request_id") for line in service.logs()}


# CloudWatch


def events_of(localstack, group, stream):
    found, token = [], None
    while True:
        more = {"nextToken": token} if token else {}
        page = localstack.logs.get_log_events(
            logGroupName=group, logStreamName=stream, startFromHead=True, **more
        )
        found += page["events"]
        if page["nextForwardToken"] == token or not page["events"]:
            return found
        token = page["nextForwardToken"]


@pytest.fixture
def shipped(start_service, localstack, bucket):
    """(service, group): a service that has worked, and ended by SIGTERM, with all logs shipped."""
    group = f"/tests/{bucket}"
    service = start_service(
        localstack,
        AWS_CLOUDWATCH_LOGS_ENDPOINT=localstack.url,
        AWS_CLOUDWATCH_LOGS_LOG_GROUP=group,
        AWS_SESSION_TOKEN=TOKEN,
        API_KEYS=API_KEY,
        LOG_LEVEL="debug",
    )
    path = f"/file/{bucket}/a%20b"
    urls = []
    for number in range(30):
        assert service.put(f"{path}{number}", b"x" * number, headers=BEARER).status_code == 201
        urls.append(service.get(f"{path}{number}", headers=BEARER).json()["data"]["location"])
        answer = service.get(f"{path}{number}?delivery=redirect", headers=BEARER)
        urls.append(answer.headers["Location"])
    check_error(service.get(f"{path}none", headers=BEARER), 404)
    check_error(service.get("/nowhere?X-Amz-Signature=0123456789abcdef", headers=BEARER), 404)
    check_error(service.get(f"{path}0", headers={"Authorization": f"Bearer x{API_KEY}"}), 401)
    service.signal()
    assert service.wait_end() == 0, service.stderr()
    service.signatures = [
        urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["X-Amz-Signature"][0]
        for url in urls
    ]
    return service, group


def test_cloudwatch_has_every_line_byte_for_byte(shipped, localstack):
    service, group = shipped
    lines = service.log_lines()
    by_stream = {"service": [], "default": []}
    for line, fields in zip(lines, service.logs(), strict=True):
        by_stream[fields["stream"]].append(line)
    assert len(by_stream["service"]) >= 93 and by_stream["default"]
    for stream, wanted in by_stream.items():
        events = events_of(localstack, group, stream)
        assert [event["message"] for event in events] == wanted
    names = localstack.logs.describe_log_streams(logGroupName=group)["logStreams"]
    assert {stream["logStreamName"] for stream in names} == {"service", "default"}


def test_no_secret_is_ever_in_a_line(shipped):
    service, _ = shipped
    text = service.output() + service.stderr()
    for secret in (SECRET_KEY, TOKEN, urllib.parse.quote(TOKEN, safe=""), API_KEY, "X-Amz-"):
        assert secret not in text
    for signature in service.signatures:
        assert signature not in text


def test_no_secret_is_logged_when_all_goes_wrong(start_service, s3):
    s3.script_always("*", Answer(403, error="SignatureDoesNotMatch"))
    service = start_service(
        s3, AWS_SESSION_TOKEN=TOKEN, API_KEYS=API_KEY, ENVIRONMENT="development"
    )
    for method in ("GET", "PUT", "DELETE"):
        answer = service.request(method, "/file/bucket/key", headers=BEARER)
        assert answer.status_code == 502
        for secret in (SECRET_KEY, TOKEN, API_KEY):
            assert secret not in answer.text
    text = service.output() + service.stderr()
    for secret in (SECRET_KEY, TOKEN, API_KEY):
        assert secret not in text


def test_a_cloudwatch_that_is_down_costs_no_request(start_service, s3):
    service = start_service(
        s3,
        AWS_CLOUDWATCH_LOGS_ENDPOINT=f"http://127.0.0.1:{free_port()}",
        AWS_CLOUDWATCH_LOGS_LOG_GROUP="/tests/down",
        SHUTDOWN_TIMEOUT_SECONDS="4",
    )
    for number in range(20):
        answer = ask(service, f"down-{number}", "GET", "/healthz")
        assert answer.status_code == 200 and answer.elapsed.total_seconds() < 1
    service.signal()
    assert service.wait_end(6) == 0
    ids = [line.get("request_id") for line in service.logs()]
    assert all(f"down-{number}" in ids for number in range(20)), "standard output is not complete"

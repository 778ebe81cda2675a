"""The command line and the settings."""

import os
import socket
import urllib.parse

import pytest
from s3_stand_in import Answer
from support.checks import check_error, check_url
from support.process import free_port
from support.raw import connect, fetch, reset
from support.service import ACCESS_KEY, DEFAULTS, SECRET_KEY, run_once
from support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("binary")

MIB = 1 << 20


# The command line


def test_help_names_the_commands(work):
    done = run_once(work, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("--help", "--version", "--check-config"):
        assert word in done.stdout


def test_version_is_one_line(work):
    done = run_once(work, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("fileservice ")
    assert done.stdout.count("\n") == 1


def test_an_unknown_argument_is_refused(work):
    done = run_once(work, "--nonsense", **DEFAULTS)
    assert done.returncode not in (0, 78)
    assert "--help" in done.stderr


def test_check_config_hides_secrets(work):
    secrets = {
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_SESSION_TOKEN": "session/token+of=tests",
        "API_KEYS": "first-api-key,second-api-key",
    }
    done = run_once(work, "--check-config", **{**DEFAULTS, **secrets})
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "AWS_DEFAULT_REGION=us-east-1" in lines
    assert "PRESIGN_EXPIRES_SECONDS=86400" in lines
    assert "UPLOAD_PART_BYTES=5242880" in lines
    assert "BUCKET_AUTO_CREATE=true" in lines
    for secret in (SECRET_KEY, secrets["AWS_SESSION_TOKEN"], "first-api-key", "second-api-key"):
        assert secret not in done.stdout + done.stderr


def test_check_config_shows_what_was_set(work):
    done = run_once(work, "--check-config", **{**DEFAULTS, "UPLOAD_MAX_BYTES": "12345678"})
    assert "UPLOAD_MAX_BYTES=12345678" in done.stdout.splitlines()


# Bad settings

BAD = {
    "PORT": "70000",
    "ADMIN_PORT": "x",
    "WORKERS": "0",
    "MAX_CONNECTIONS": "-1",
    "ENVIRONMENT": "staging",
    "LOG_LEVEL": "loud",
    "LOG_FORMAT": "xml",
    "AWS_S3_ENDPOINT": "ftp://host",
    "AWS_S3_PUBLIC_ENDPOINT": "not a url",
    "AWS_S3_ADDRESSING_STYLE": "sideways",
    "S3_EXPECTED_BUCKET_OWNER": "123",
    "BUCKET_AUTO_CREATE": "maybe",
    "BUCKET_PREFIX": "UPPER_",
    "BUCKET_ALLOWLIST": "good,Not Good",
    "CORS_ORIGINS": "app.example/path",
    "TRUSTED_PROXIES": "10.0.0.0/33",
    "PRESIGN_EXPIRES_SECONDS": "604801",
    "UPLOAD_MAX_BYTES": "5 GiB",
    "UPLOAD_PART_BYTES": "1024",
    "UPLOAD_MEMORY_BYTES": "1",
    "S3_TIMEOUT_MS": "0x10",
    "S3_MAX_ATTEMPTS": "0",
    "SHUTDOWN_TIMEOUT_SECONDS": "soon",
    "API_KEYS_FILE": "/does/not/exist",
}


@pytest.mark.parametrize("arguments", [(), ("--check-config",)])
def test_every_bad_value_is_named_at_once(work, arguments):
    settings = {**DEFAULTS, **BAD, "AWS_DEFAULT_REGION": None}
    done = run_once(work, *arguments, **settings)
    assert done.returncode == 78
    lines = done.stderr.splitlines()
    for name in ("AWS_DEFAULT_REGION", *BAD):
        about = [line for line in lines if line.startswith(name)]
        assert len(about) == 1, f"{name}: {about} in\n{done.stderr}"
    assert len(lines) == len(BAD) + 1, done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(("name", "value"), BAD.items())
def test_one_bad_value_stops_the_start(work, name, value):
    done = run_once(work, **{**DEFAULTS, name: value})
    assert done.returncode == 78
    assert [line for line in done.stderr.splitlines() if line.startswith(name)], done.stderr


@pytest.mark.parametrize(
    ("part", "most", "names"),
    [
        (5 * MIB - 1, 1, ["UPLOAD_PART_BYTES"]),
        (5 * MIB + 1, 1, ["UPLOAD_PART_BYTES"]),
        (5 * MIB, 50_000 * MIB + 1, ["UPLOAD_MAX_BYTES"]),
        (6 * MIB, 60_000 * MIB, ["UPLOAD_PART_BYTES", "UPLOAD_MAX_BYTES"]),
        (5 * MIB, 50_000 * MIB, []),
    ],
)
def test_the_parts_that_the_settings_lead_to_fit_a_quarter_of_the_memory(work, part, most, names):
    sizes = {"UPLOAD_PART_BYTES": part, "UPLOAD_MAX_BYTES": most}
    settings = {**DEFAULTS, "UPLOAD_MEMORY_BYTES": 20 * MIB, **sizes}
    done = run_once(work, "--check-config", **settings)
    assert done.returncode == (78 if names else 0)
    lines = done.stderr.splitlines()
    assert [line.partition(":")[0] for line in lines] == names
    if part > 5 * MIB - 1:
        assert all("UPLOAD_MEMORY_BYTES" in line for line in lines), lines


def test_a_bad_secret_is_not_repeated(work):
    bad = "secret with\ttab \x01"
    done = run_once(work, **{**DEFAULTS, "AWS_SECRET_ACCESS_KEY": None, "API_KEYS": bad + "é"})
    assert done.returncode == 78
    assert "secret with" not in done.stdout + done.stderr


def test_more_connections_than_descriptors_stop_the_start(work):
    limited = ["prlimit", "--nofile=1024:1024"]
    if os.geteuid() == 0:  # who may raise the limit would do so
        limited += ["setpriv", "--bounding-set=-sys_resource"]
    settings = {**DEFAULTS, "PORT": free_port(), "MAX_CONNECTIONS": "5000"}
    done = run_once(work, wrapper=limited, **settings)
    assert done.returncode == 78
    assert done.stderr.startswith("MAX_CONNECTIONS"), done.stderr


def test_an_empty_value_counts_as_unset(start_service, s3):
    service = start_service(s3, BUCKET_ALLOWLIST="", API_KEYS="", AWS_SESSION_TOKEN="")
    assert service.put("/file/bucket/key", b"x").status_code == 201


# Starting


def test_a_taken_port_is_said_in_clear_words(work):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_once(work, **{**DEFAULTS, "PORT": port})
    assert done.returncode not in (0, -11, -6)
    assert str(port) in done.stderr and "PORT" in done.stderr, done.stderr


def test_it_starts_and_says_so_without_s3(start_service, s3):
    s3.url = f"http://127.0.0.1:{free_port()}"
    service = start_service(s3)
    assert service.get("/healthz").status_code == 200
    assert service.get("/").status_code == 200
    body = check_error(service.get("/readyz"), 503)
    assert "S3" in body["message"]
    assert service.get("/readyz").headers["Retry-After"]


def test_readiness_follows_s3_with_at_most_one_call_in_5_s(start_service, s3):
    service = start_service(s3)
    for _ in range(20):
        assert service.get("/readyz").status_code == 200
    assert len(s3.requests()) == 1
    assert service.get("/healthz").status_code == 200
    assert len(s3.requests()) == 1, "liveness asked S3"


def test_readiness_says_that_s3_was_not_heard_yet(start_service, s3):
    s3.script("GetObject", Answer(hang=True))
    service = start_service(s3)
    first = connect(service.port)
    first.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until(lambda: s3.requests("GetObject"), 5, "S3 is asked")
    body = check_error(service.get("/readyz"), 503, "S3Unavailable")
    reset(first)
    assert "not answered yet" in body["message"]
    # Who asked is gone, so the next one asks.
    wait_until(lambda: service.get("/readyz").status_code == 200, 5, "S3 has answered")


@pytest.mark.parametrize(
    ("status", "code", "ready"),
    [
        (403, "AccessDenied", True),
        (404, "NoSuchBucket", True),
        (403, "InvalidAccessKeyId", False),
        (403, "SignatureDoesNotMatch", False),
        (500, "InternalError", False),
    ],
)
def test_readiness_needs_an_answer_that_takes_our_credentials(
    start_service, s3, status, code, ready
):
    s3.script_always("*", Answer(status, error=code))
    answer = start_service(s3).get("/readyz")
    assert answer.status_code == (200 if ready else 503), answer.text


# Settings that change what S3 is asked


def test_a_prefix_is_put_before_bucket_names_and_never_seen(start_service, s3):
    service = start_service(s3, BUCKET_PREFIX="team-a-")
    answer = service.put("/file/bucket/key", b"hello")
    assert answer.status_code == 201, answer.text
    assert answer.json()["data"]["bucket"] == "bucket"
    assert answer.headers["Location"] == "/file/bucket/key"
    assert s3.object("team-a-bucket", "key").body == b"hello"
    assert {r.bucket for r in s3.requests()} == {"team-a-bucket"}


def test_the_owner_is_named_on_all_calls_but_the_making_of_a_bucket(start_service, s3):
    service = start_service(s3, S3_EXPECTED_BUCKET_OWNER="123456789012")
    assert service.put("/file/bucket/key", b"hello").status_code == 201
    assert service.get("/file/bucket/key").status_code == 200
    assert service.request("DELETE", "/file/bucket/key").status_code == 200
    assert "CreateBucket" in s3.operations()
    for request in s3.requests():
        owner = request.headers.get("x-amz-expected-bucket-owner")
        wanted = None if request.operation == "CreateBucket" else "123456789012"
        assert owner == wanted, request.operation


def test_a_session_token_is_sent_and_signed(start_service, s3):
    s3.put("bucket", "key", b"hello")
    token = "a/session+token="
    service = start_service(s3, AWS_SESSION_TOKEN=token)
    location = service.get("/file/bucket/key").json()["data"]["location"]
    request = s3.requests("HeadObject")[0]
    assert request.headers["x-amz-security-token"] == token
    assert "x-amz-security-token" in request.headers["authorization"]
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(location).query)
    assert query["X-Amz-Security-Token"] == [token]
    assert query["X-Amz-Credential"][0].startswith(ACCESS_KEY + "/")


def test_urls_are_signed_for_the_public_endpoint(start_service, versitygw, bucket):
    """versitygw is asked by the name that clients use: its signature check covers Host."""
    public = versitygw.url.replace("127.0.0.1", "localhost")
    service = start_service(versitygw, AWS_S3_PUBLIC_ENDPOINT=public)
    answer = service.put(f"/file/{bucket}/key", b"hello")
    assert answer.status_code == 201, answer.text
    location = answer.json()["data"]["location"]
    assert location.startswith(public + "/")
    check_url(location, b"hello")
    assert fetch("GET", location.replace("localhost", "127.0.0.1", 1)).status == 403


def test_virtual_addressing_puts_the_bucket_into_the_host(start_service, s3):
    s3.put("bucket", "key", b"hello")
    service = start_service(s3, AWS_S3_PUBLIC_ENDPOINT="https://s3.example.com")
    location = service.get("/file/bucket/key").json()["data"]["location"]
    assert location.startswith("https://s3.example.com/bucket/key?"), "auto: path style"
    service = start_service(
        s3,
        AWS_S3_ENDPOINT=s3.url.replace("127.0.0.1", "localhost"),  # libcurl knows *.localhost
        AWS_S3_ADDRESSING_STYLE="virtual",
        AWS_S3_PUBLIC_ENDPOINT="https://s3.example.com",
    )
    answer = service.put("/file/bucket/key", b"hello")
    assert s3.requests()[-1].headers["host"] == f"bucket.localhost:{s3.port}", answer.text


def test_api_keys_come_from_a_file(start_service, s3, work):
    path = work / "api-keys"
    path.write_text("one-key-of-the-file\nanother-key-of-the-file\n")
    service = start_service(s3, API_KEYS_FILE=str(path))
    check_error(service.get("/file/bucket/key"), 401)
    for key in ("one-key-of-the-file", "another-key-of-the-file"):
        answer = service.get("/file/bucket/key", headers={"Authorization": f"Bearer {key}"})
        check_error(answer, 404)


def test_connections_above_the_limit_are_turned_away(start_service, s3):
    service = start_service(s3, MAX_CONNECTIONS="4")
    service.http.close()  # the kept connection of the health check
    sockets = []
    try:
        for _ in range(4):
            s = socket.create_connection(("127.0.0.1", service.port), timeout=5)
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            sockets.append(s)

        def turned_away():
            with socket.create_connection(("127.0.0.1", service.port), timeout=5) as s:
                answer = s.recv(4096)
                return b"503" in answer and b"Retry-After" in answer and answer

        wait_until(turned_away, 5, "a fifth connection is turned away")
    finally:
        for s in sockets:
            s.close()
    wait_until(lambda: service.get("/healthz").status_code == 200, 5, "room for a connection again")

"""/metrics on the admin port: what is counted, that it is bounded, and that it always answers."""

import concurrent.futures
import http.server
import json
import re
import socket
import threading
import time

import pytest
import requests
from s3_stand_in import Answer
from support.checks import check_error
from support.metrics import ask_admin, scrape, with_metrics
from support.process import free_port
from support.raw import ask, connect, read_answer, reset
from support.service import DEFAULTS, PART_BYTES, SECRET_KEY, run_once
from support.waiting import wait_until

OBJECT = "/file/{bucket}/{key}"
ROUTES = {"none", "/", "/healthz", "/readyz", "/file", "/file/{bucket}", OBJECT}
METHODS = {"OTHER", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"}
STATUSES = set(
    "200 201 204 206 302 304 400 401 403 404 405 409 412 413 415 416 499 500 502 503 504 other".split()
)
REQUESTS = "fileservice_http_requests_total"
DURATION = "fileservice_http_request_duration_seconds"
CALLS = "fileservice_s3_calls_total"


@pytest.fixture
def s3(s3):
    s3.make_bucket("bucket")
    return s3


@pytest.fixture
def service(start_service, s3):
    return start_service(s3, **with_metrics())


def wait_page(service, matches, what):
    """The end of a request is counted a moment after its client has the answer."""

    def find():
        page = scrape(service)
        return page if matches(page) else None

    return wait_until(find, 10, what)


# The page


def test_the_page_is_what_prometheus_reads(service):
    answer = ask_admin(service)
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-Id"])
    page = scrape(service)
    types = {name: family.type for name, family in page.families.items()}
    assert types == {
        "fileservice_build_info": "gauge",
        "fileservice_http_requests": "counter",
        DURATION: "histogram",
        "fileservice_http_received_bytes": "counter",
        "fileservice_http_sent_bytes": "counter",
        "fileservice_connections": "gauge",
        "fileservice_connections_limit": "gauge",
        "fileservice_connections_rejected": "counter",
        "fileservice_draining": "gauge",
        "fileservice_uploads_in_flight": "gauge",
        "fileservice_upload_memory_used_bytes": "gauge",
        "fileservice_upload_memory_limit_bytes": "gauge",
        "fileservice_s3_calls": "counter",
        "fileservice_s3_call_duration_seconds": "histogram",
        "fileservice_s3_retries": "counter",
        "fileservice_credentials_available": "gauge",
        "fileservice_log_lines_produced": "counter",
        "fileservice_log_lines_delivered": "counter",
        "fileservice_log_lines_dropped": "counter",
        "fileservice_log_lines_rejected": "counter",
        "fileservice_log_queue_bytes": "gauge",
        "fileservice_stdout_lines_dropped": "counter",
        "process_virtual_memory_bytes": "gauge",
        "process_resident_memory_bytes": "gauge",
        "process_open_fds": "gauge",
        "process_max_fds": "gauge",
        "process_cpu_seconds": "counter",
        "process_start_time_seconds": "gauge",
    }
    ((build, one),) = page.all("fileservice_build_info")
    assert one == 1 and re.fullmatch(r"\d+\.\d+\.\d+", build["version"])


def test_docs_list_every_family(service, pytestconfig):
    listed = (pytestconfig.rootpath / "docs" / "metrics.md").read_text()
    for name, family in scrape(service).families.items():
        shown = name + "_total" if family.type == "counter" else name
        assert f"`{shown}`" in listed, shown


def test_head_has_the_headers_of_get(service):
    answer = ask_admin(service, "HEAD")
    assert answer.status_code == 200
    assert int(answer.headers["Content-Length"]) > 1000 and answer.content == b""


@pytest.mark.parametrize("path", ["/", "/metrics/", "/healthz", "/file/bucket/key", "/metrics%00"])
def test_it_knows_no_other_path(service, path):
    answer = ask_admin(service, path=path)
    check_error(answer, 404)
    assert answer.json()["message"] == f"Route {path} does not exist."


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
def test_it_knows_no_other_method(service, method):
    answer = ask_admin(service, method, data=b"body" if method in ("POST", "PUT") else None)
    check_error(answer, 405, "MethodNotAllowed")
    assert answer.headers["Allow"] == "GET, HEAD"


def test_the_main_door_has_no_metrics(service):
    check_error(service.get("/metrics"), 404)


def test_port_0_turns_it_off(start_service, s3):
    service = start_service(s3, ADMIN_PORT="0")
    with open(f"/proc/{service.pid}/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table][1:]
    ports = {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A"}
    assert service.port in ports and 9464 not in ports


def test_a_taken_port_stops_the_start(work, binary):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = {**DEFAULTS, "PORT": free_port(), "ADMIN_PORT": port}
        ended = run_once(work, AWS_S3_ENDPOINT="http://127.0.0.1:1", **settings)
    assert ended.returncode == 1
    assert f"port {port} on 127.0.0.1 is taken" in ended.stderr
    assert "set ADMIN_PORT to a free one" in ended.stderr


# Requests


def test_requests_are_counted_by_route_method_and_status(service, s3):
    content = b"x" * 1000
    form = {"files": {"file": ("name", content)}}
    asked = [
        (("GET", "/"), "/", 200),
        (("HEAD", "/"), "/", 200),
        (("GET", "/healthz"), "/healthz", 200),
        (("GET", "/readyz"), "/readyz", 200),
        (("PUT", "/file/bucket/key"), OBJECT, 201),
        (("GET", "/file/bucket/key"), OBJECT, 200),
        (("GET", "/file/bucket/key?delivery=redirect"), OBJECT, 302),
        (("GET", "/file/bucket/key?delivery=stream"), OBJECT, 200),
        (("HEAD", "/file/bucket/key"), OBJECT, 200),
        (("GET", "/file/bucket/missing"), OBJECT, 404),
        (("PATCH", "/file/bucket/key"), OBJECT, 405),
        (("POST", "/file/bucket"), "/file/{bucket}", 201),
        (("GET", "/file/bucket"), "/file/{bucket}", 200),
        (("POST", "/file"), "/file", 400),
        (("DELETE", "/file/bucket/key"), OBJECT, 200),
        (("OPTIONS", "/file/bucket/key"), "none", 204),
        (("GET", "/nothing/here"), "none", 404),
        (("GET", "/file/BAD/key"), OBJECT, 400),
    ]
    start = {"route": "/healthz", "status": "200"}  # the start was waited for
    before = wait_page(service, lambda p: p.value(REQUESTS, **start) == 1, "its own is counted")
    expected = {}
    received = sent = 0
    for (method, path), route, status in asked:
        options = {"data": content} if method == "PUT" else form if method == "POST" else {}
        answer = service.request(method, path, **options)
        assert answer.status_code == status, (method, path, answer.text)
        key = (route, "OTHER" if method == "PATCH" else method, str(status))
        expected[key] = expected.get(key, 0) + 1
        received += int(answer.request.headers.get("Content-Length", 0))
        sent += len(answer.content)

    total = before.value(REQUESTS) + len(asked)
    page = wait_page(service, lambda p: p.value(REQUESTS) == total, "all requests are counted")
    counted = {}
    for labels, value in page.all(REQUESTS):
        key = (labels["route"], labels["method"], labels["status"])
        old = before.value(REQUESTS, **labels)
        if value != old:
            counted[key] = value - old
    assert counted == expected

    for labels, value in page.all(REQUESTS):
        del labels["status"]
        assert page.value(DURATION + "_count", **labels) == page.value(REQUESTS, **labels)
        assert page.value(DURATION + "_bucket", le="+Inf", **labels) == page.value(REQUESTS, **labels)
    rises = [
        page.value("fileservice_http_received_bytes_total")
        - before.value("fileservice_http_received_bytes_total"),
        page.value("fileservice_http_sent_bytes_total")
        - before.value("fileservice_http_sent_bytes_total"),
    ]
    assert rises == [received, sent]


def test_durations_are_those_of_the_requests(service, s3):
    s3.put("bucket", "key", b"content")
    s3.script("HeadObject", Answer(delay_s=0.3, late=True))
    assert service.get("/file/bucket/key").status_code == 200
    here = {"route": OBJECT, "method": "GET"}
    page = wait_page(service, lambda p: p.value(REQUESTS, **here) == 1, "it is counted")
    assert page.value(DURATION + "_bucket", le="0.25", **here) == 0
    assert page.value(DURATION + "_bucket", le="5", **here) == 1
    assert 0.3 <= page.value(DURATION + "_sum", **here) < 5


def test_bytes_count_while_they_come_and_when_they_end_too_soon(service, s3):
    before = scrape(service).value("fileservice_http_received_bytes_total")
    with connect(service.port) as s:
        s.sendall(b"PUT /file/bucket/key HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        s.sendall(b"x" * 5000)
        wait_page(
            service,
            lambda p: p.value("fileservice_http_received_bytes_total") == before + 5000,
            "bytes count while the body comes",
        )
    wait_page(
        service,
        lambda p: p.value(REQUESTS, route=OBJECT, method="PUT", status="400") == 1,
        "the unfinished upload is counted",
    )


def test_a_client_that_goes_away_unanswered_is_499(service, s3):
    s3.script("HeadObject", Answer(hang=True))
    s = connect(service.port)
    s.sendall(b"GET /file/bucket/key HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until(lambda: s3.requests("HeadObject"), 10, "S3 is asked")
    reset(s)
    page = wait_page(service, lambda p: p.value(REQUESTS, route=OBJECT) == 1, "it is counted")
    assert page.value(REQUESTS, route=OBJECT, status="499") == 1
    assert page.value(CALLS, operation="HeadObject", result="cancelled") == 1


def test_a_stream_counts_what_its_reader_took(service, s3):
    size = 30_000_000
    s3.put("bucket", "key", b"x" * size)
    before = scrape(service).value("fileservice_http_sent_bytes_total")
    s = connect(service.port)
    s.sendall(b"GET /file/bucket/key?delivery=stream HTTP/1.1\r\nHost: x\r\n\r\n")
    got = len(s.recv(1000))
    wait_page(
        service,
        lambda p: p.value("fileservice_http_sent_bytes_total") > before + got,
        "bytes count while the stream goes",
    )
    reset(s)
    page = wait_page(service, lambda p: p.value(REQUESTS, route=OBJECT) == 1, "it is counted")
    assert page.value("fileservice_http_sent_bytes_total") < before + size


def test_a_stream_whose_client_has_all_of_it_is_a_call_that_went_well(
    start_service, versitygw, bucket
):
    """The client may have it before the HTTP client has noticed the end."""
    service = start_service(versitygw, **with_metrics())
    path = f"/file/{bucket}/key"
    assert service.put(path, b"small").status_code == 201
    for _ in range(50):
        assert service.get(f"{path}?delivery=stream").content == b"small"
        assert service.request("HEAD", f"{path}?delivery=stream").status_code == 200
    etag = service.get(f"{path}?delivery=stream").headers["ETag"]
    headers = {"If-None-Match": etag}
    assert service.get(f"{path}?delivery=stream", headers=headers).status_code == 304
    page = wait_page(service, lambda p: p.value(REQUESTS, route=OBJECT) == 103, "all are counted")
    assert page.value(CALLS, operation="GetObject", result="ok") == 52
    assert page.value(CALLS, operation="HeadObject", result="ok") == 50
    assert page.value(CALLS, result="cancelled") == 0


def test_what_the_library_answers_is_other(service):
    line = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n"
    answer = ask(service.port, line)
    assert answer is None or answer.status == 431
    wait_page(service, lambda p: p.value(REQUESTS, status="other") == 1, "it is counted")


def test_counting_does_not_depend_on_the_log_level(start_service, s3):
    service = start_service(s3, **with_metrics(LOG_LEVEL="error"))
    assert service.get("/").status_code == 200
    wait_page(service, lambda p: p.value(REQUESTS, route="/", status="200") == 1, "it is counted")


def test_labels_are_bounded_whatever_clients_send(start_service, s3):
    key = "metrics-api-key"
    service = start_service(s3, **with_metrics(API_KEYS=key, TRUSTED_PROXIES="127.0.0.1"))
    headers = {
        "Authorization": f"Bearer {key}",
        "X-Request-Id": "metrics-request-id",
        "X-Forwarded-For": "198.51.100.7",
    }
    for i in range(40):
        for method in ("GET", "PUT", f"ODD{i}", "get"):
            for path in (
                f"/metricsbucket{i}/metricskey{i}",
                f"/file/metricsbucket{i}/metricskey{i}?metricsquery={i}",
                f"/file/metricsbucket{i}?metricsquery=%22%0A{i}",
                f"/file/METRICSBUCKET{i}/k",
                f"/file/metricsbucket{i}/metricskey%22%7D%0A{i}",
                f"//metricskey{i}",
            ):
                service.request(method, path, headers=headers)
    total = 40 * 4 * 6
    page = wait_page(service, lambda p: p.value(REQUESTS) >= total, "all are counted")
    for labels, _ in page.all(REQUESTS):
        assert labels["route"] in ROUTES
        assert labels["method"] in METHODS
        assert labels["status"] in STATUSES
    assert len(page.all(REQUESTS)) < 40
    text = page.text.lower()
    for word in ("metricsbucket", "metricskey", "metricsquery", "odd1", "198.51", "127.0.0.1"):
        assert word not in text
    for secret in (key, "metrics-request-id", SECRET_KEY.lower(), DEFAULTS["AWS_ACCESS_KEY_ID"].lower()):
        assert secret not in text
    for _, name in re.findall(r'(\w+)="([^"]*)"', page.text):
        assert len(name) < 40


# S3


def calls(page):
    return {(labels["operation"], labels["result"]): value for labels, value in page.all(CALLS)}


def test_s3_calls_are_counted_with_their_retries(service, s3):
    s3.script("PutObject", Answer(503, error="ServiceUnavailable"))
    assert service.put("/file/bucket/key", b"content").status_code == 201
    assert service.get("/file/bucket/key").status_code == 200
    assert service.get("/file/bucket/missing").status_code == 404
    page = wait_page(service, lambda p: p.value(REQUESTS, route=OBJECT) == 3, "all is counted")
    counted = calls(page)
    assert counted[("PutObject", "ok")] == 1
    assert counted[("HeadObject", "ok")] == 1
    assert counted[("HeadObject", "not_found")] == 1
    retries = {labels["operation"]: n for labels, n in page.all("fileservice_s3_retries_total")}
    assert retries == {"PutObject": 1}
    name = "fileservice_s3_call_duration_seconds"
    for labels, _ in page.all(CALLS):
        here = {"operation": labels["operation"]}
        assert page.value(name + "_count", **here) == page.value(CALLS, **here)


def test_an_s3_that_refuses_or_is_silent_has_its_results(start_service, s3):
    service = start_service(s3, **with_metrics(S3_TIMEOUT_MS=300, S3_MAX_ATTEMPTS=1))
    s3.script("PutObject", Answer(403, error="AccessDenied"), Answer(hang=True))
    assert service.put("/file/bucket/key", b"content").status_code == 403
    assert service.put("/file/bucket/key", b"content").status_code == 504
    page = wait_page(service, lambda p: p.value(REQUESTS, route=OBJECT) == 2, "all is counted")
    counted = calls(page)
    assert counted[("PutObject", "denied")] == 1
    assert counted[("PutObject", "timeout")] == 1
    assert not page.has("fileservice_s3_retries_total")


def test_an_s3_that_is_not_there_is_unreachable(start_service, s3):
    endpoint = f"http://127.0.0.1:{free_port()}"
    service = start_service(s3, **with_metrics(AWS_S3_ENDPOINT=endpoint))
    assert service.put("/file/bucket/key", b"content").status_code == 502
    page = wait_page(service, lambda p: p.has(CALLS), "the call is counted")
    assert calls(page) == {("PutObject", "unreachable"): 1}
    assert page.value("fileservice_s3_retries_total", operation="PutObject") == 2


# Uploads, connections, credentials


def test_an_upload_under_way_shows_and_goes(service, s3):
    before = scrape(service)
    assert before.value("fileservice_uploads_in_flight") == 0
    assert before.value("fileservice_upload_memory_used_bytes") == 0
    size = PART_BYTES // 2
    with connect(service.port) as s:
        s.sendall(f"PUT /file/bucket/key HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
        s.sendall(b"x" * (size - 1))

        def is_under_way(page):
            return (
                page.value("fileservice_uploads_in_flight") == 1
                and page.value("fileservice_upload_memory_used_bytes") >= size
            )

        page = wait_page(service, is_under_way, "the upload and its memory show")
        assert page.value("fileservice_upload_memory_limit_bytes") == 268435456
        s.sendall(b"x")
        assert read_answer(s).status == 201

    def is_over(page):
        return (
            page.value("fileservice_uploads_in_flight") == 0
            and page.value("fileservice_upload_memory_used_bytes") == 0
        )

    wait_page(service, is_over, "the upload is gone")


def test_connections_and_those_turned_away(start_service, s3):
    service = start_service(s3, **with_metrics(MAX_CONNECTIONS=4))
    kept = scrape(service).value("fileservice_connections")  # of the session that waited for the start
    assert kept <= 1
    sockets = [connect(service.port) for _ in range(4 - int(kept))]
    try:
        wait_page(service, lambda p: p.value("fileservice_connections") == 4, "all are there")
        with connect(service.port) as s:
            assert read_answer(s).status == 503
    finally:
        for s in sockets:
            s.close()
    page = wait_page(service, lambda p: p.value("fileservice_connections") == kept, "all are gone")
    assert page.value("fileservice_connections_limit") == 4
    assert page.value("fileservice_connections_rejected_total") == 1


class Container(http.server.BaseHTTPRequestHandler):
    """Credentials for an hour."""

    def do_GET(self):
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        body = json.dumps(
            {"AccessKeyId": "AKIDMETRICS", "SecretAccessKey": "s", "Token": "t", "Expiration": end}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_credentials_say_how_long_they_live(start_service, s3):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Container) as container:
        threading.Thread(target=container.serve_forever, daemon=True).start()
        try:
            service = start_service(
                s3,
                AWS_ACCESS_KEY_ID=None,
                AWS_SECRET_ACCESS_KEY=None,
                AWS_CONTAINER_CREDENTIALS_FULL_URI=f"http://127.0.0.1:{container.server_port}/",
                **with_metrics(),
            )
            page = wait_page(
                service, lambda p: p.value("fileservice_credentials_available") == 1, "they are there"
            )
        finally:
            container.shutdown()
    assert 3500 < page.value("fileservice_credentials_expiry_seconds") <= 3600


def test_static_credentials_have_no_end_and_missing_ones_are_not_available(start_service, s3):
    page = scrape(start_service(s3, **with_metrics()))
    assert page.value("fileservice_credentials_available") == 1
    assert not page.has("fileservice_credentials_expiry_seconds")
    service = start_service(
        s3, AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None, **with_metrics()
    )
    page = scrape(service)
    assert page.value("fileservice_credentials_available") == 0
    assert not page.has("fileservice_credentials_expiry_seconds")


# Logs and the process


def test_log_lines_are_zeros_without_cloudwatch(service):
    page = scrape(service)
    for what in ("produced", "delivered", "dropped", "rejected"):
        assert page.has(f"fileservice_log_lines_{what}_total")
        assert page.value(f"fileservice_log_lines_{what}_total") == 0


def test_log_lines_are_counted_on_their_way(start_service, s3, localstack):
    service = start_service(
        s3,
        AWS_CLOUDWATCH_LOGS_ENDPOINT=localstack.url,
        AWS_CLOUDWATCH_LOGS_LOG_GROUP="/tests/metrics",
        **with_metrics(),
    )
    for _ in range(10):
        assert service.get("/").status_code == 200

    def all_delivered(page):
        produced = page.value("fileservice_log_lines_produced_total")
        return produced >= 10 and page.value("fileservice_log_lines_delivered_total") == produced

    page = wait_page(service, all_delivered, "every line is delivered")
    assert page.value("fileservice_log_lines_dropped_total") == 0
    assert page.value("fileservice_log_lines_rejected_total") == 0
    assert page.value("fileservice_log_queue_bytes") == 0


def test_the_process_is_what_the_kernel_says(service):
    page = scrape(service)
    started = page.value("process_start_time_seconds")
    assert time.time() - 60 < started <= time.time()
    memory = service.memory_bytes("VmRSS")
    assert 0.5 * memory < page.value("process_resident_memory_bytes") < 2 * memory
    assert page.value("process_virtual_memory_bytes") > page.value("process_resident_memory_bytes")
    assert 5 < page.value("process_open_fds") < page.value("process_max_fds")
    assert 0 < page.value("process_cpu_seconds_total") < 60


# It always answers


def test_it_answers_while_workers_are_loaded(service, s3):
    content = b"x" * 100_000
    end = time.monotonic() + 3

    def load(number):
        sent = 0
        with requests.Session() as session:
            session.trust_env = False
            while time.monotonic() < end:
                url = f"{service.url}/file/bucket/key{number}"
                assert session.put(url, data=content, timeout=10).status_code == 201
                assert session.get(url, timeout=10).status_code == 200
                sent += 1
        return sent

    last = 0
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        loads = [pool.submit(load, i) for i in range(8)]
        while time.monotonic() < end:
            page = scrape(service)
            now = page.value(REQUESTS)
            assert now >= last
            last = now
        sent = sum(f.result() for f in loads)
    wait_page(
        service,
        lambda p: p.value(REQUESTS, method="PUT", status="201") == sent
        and p.value(DURATION + "_count", method="GET", route=OBJECT) == sent
        and p.value(CALLS, operation="PutObject", result="ok") == sent,
        "every request is counted once",
    )


def test_the_page_during_the_drain(start_service, s3):
    service = start_service(s3, **with_metrics(SHUTDOWN_TIMEOUT_SECONDS="20"))
    assert scrape(service).value("fileservice_draining") == 0
    with connect(service.port) as s:
        s.sendall(b"PUT /file/bucket/key HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        wait_page(service, lambda p: p.value("fileservice_uploads_in_flight") == 1, "it runs")
        service.signal()
        page = wait_page(service, lambda p: p.value("fileservice_draining") == 1, "it drains")
        assert page.value("fileservice_uploads_in_flight") == 1
        s.sendall(b"67890")
        assert read_answer(s).status == 201
    assert service.wait_end() == 0

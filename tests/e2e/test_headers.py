"""Headers of every answer: request ids, CORS, nosniff, no-store."""

import re

import pytest
from support.checks import REQUEST_ID
from support.service import REGION

ORIGIN = "https://app.example"
EXPOSED = {
    "etag", "location", "x-request-id", "content-range", "accept-ranges", "content-disposition",
    "retry-after",
}  # fmt: skip

# One of each kind of answer: (method, path, status).
KINDS = [
    ("GET", "/", 200),
    ("GET", "/healthz", 200),
    ("OPTIONS", "/file/bucket/key", 204),
    ("GET", "/file/bucket/key", 200),
    ("HEAD", "/file/bucket/key", 200),
    ("GET", "/file/bucket/key?delivery=redirect", 302),
    ("PUT", "/file/bucket/new", 201),
    ("DELETE", "/file/bucket/gone", 404),
    ("HEAD", "/file/bucket/gone", 404),
    ("GET", "/file/bucket/key?expires=0", 400),
    ("GET", "/file/BUCKET/key", 400),
    ("GET", "/nowhere", 404),
    ("DELETE", "/", 405),
    ("POST", "/file/bucket", 415),
]


@pytest.fixture(scope="module")
def any_origin(start_module_service, module_s3):
    module_s3.put("bucket", "key", b"hello")
    return start_module_service(module_s3)


@pytest.fixture(scope="module")
def listed_origins(start_module_service, module_s3):
    module_s3.put("bucket", "key", b"hello")
    return start_module_service(module_s3, CORS_ORIGINS=f"{ORIGIN}, http://localhost:3000")


def ask(service, kind, **headers):
    method, path, status = kind
    answer = service.request(method, path, headers=headers)
    assert answer.status_code == status, answer.text
    return answer


def names(value):
    return {name.lower() for name in re.split(r"\s*,\s*", value)}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: " ".join(map(str, kind)))
def test_every_answer_has_an_id_and_nosniff(any_origin, kind):
    first, second = ask(any_origin, kind), ask(any_origin, kind)
    for answer in (first, second):
        assert REQUEST_ID.match(answer.headers["X-Request-Id"])
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: " ".join(map(str, kind)))
def test_the_clients_own_id_is_kept(any_origin, kind):
    given = "My.id_1-" + "x" * 56  # 64 characters, the most
    answer = ask(any_origin, kind, **{"X-Request-Id": given})
    assert answer.headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["x" * 65, "a b", "a,b", "ä".encode(), "a/b", "", "<script>"])
def test_an_id_that_breaks_the_rule_is_replaced(any_origin, given):
    answer = any_origin.get("/", headers={"X-Request-Id": given})
    assert answer.status_code == 200
    assert REQUEST_ID.match(answer.headers["X-Request-Id"])
    assert answer.headers["X-Request-Id"] != given


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: " ".join(map(str, kind)))
def test_any_origin_may_read_every_answer(any_origin, kind):
    answer = ask(any_origin, kind, Origin=ORIGIN)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    if kind[0] != "OPTIONS":
        assert names(answer.headers["Access-Control-Expose-Headers"]) >= EXPOSED


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: " ".join(map(str, kind)))
def test_a_listed_origin_is_named_and_the_answer_varies(listed_origins, kind):
    answer = ask(listed_origins, kind, Origin=ORIGIN)
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "origin" in names(answer.headers["Vary"])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: " ".join(map(str, kind)))
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "https://app.example.evil", "null", None]
)
def test_an_origin_off_the_list_gets_no_cors_headers(listed_origins, kind, origin):
    answer = ask(listed_origins, kind, Origin=origin)
    cors = [name for name in answer.headers if name.lower().startswith("access-control-")]
    assert cors == []
    assert "origin" in names(answer.headers["Vary"])


def test_the_second_origin_of_the_list_is_known_too(listed_origins):
    answer = listed_origins.get("/", headers={"Origin": "http://localhost:3000"})
    assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/file/bucket/key"),
        ("HEAD", "/file/bucket/key"),
        ("GET", "/file/bucket/key?delivery=redirect"),
        ("PUT", "/file/bucket/new"),
    ],
)
def test_an_answer_with_a_presigned_url_is_never_kept(any_origin, method, path):
    answer = any_origin.request(method, path)
    assert answer.status_code in (200, 201, 302)
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_url_is_presigned_by_the_rules(any_origin):
    location = any_origin.get("/file/bucket/key").json()["data"]["location"]
    assert f"%2F{REGION}%2Fs3%2Faws4_request" in location
    assert "X-Amz-SignedHeaders=host" in location
    assert re.search(r"X-Amz-Signature=[0-9a-f]{64}", location)

"""Every route, in front of LocalStack: what a user of curl or of a browser's form sees."""

import datetime
import re
import urllib.parse

import pytest
import requests
from support.checks import check_error, check_stored, check_url, sha256
from support.raw import ask, fetch, path_of

CONTENT = b"some bytes of a file\x00\xff\r\n--and a line that looks like a boundary\r\n"


@pytest.fixture(scope="module")
def stored(service):
    """A file that tests may read: (path, content, bucket, key)."""
    bucket, key = "e2e-routes-stored", "folder/a file.txt"
    answer = service.put(path_of(bucket, key), CONTENT, headers={"Content-Type": "text/plain"})
    assert answer.status_code == 201, answer.text
    return path_of(bucket, key), CONTENT, bucket, key


def form(name="hello.txt", content=CONTENT, content_type="text/plain", **fields):
    """A form as requests sends it: the fields first, then the file."""
    return {"data": fields, "files": {"file": (name, content, content_type)}}


def life_of(data):
    """Seconds that a URL says it lives, by its own query."""
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(data["location"]).query)
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    return int(query["X-Amz-Expires"][0]), query["X-Amz-Date"][0]


# Root and health


def test_the_root_says_that_the_service_runs(service):
    answer = service.get("/")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    body = answer.json()
    assert body["message"] == "The service is running."
    assert re.match(r"\d+\.\d+", body["data"]["version"])


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
def test_head_of_an_open_route_is_get_without_a_body(service, path):
    get, head = service.get(path), service.request("HEAD", path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(get.content))
    assert head.headers["Content-Type"] == get.headers["Content-Type"]


def test_the_service_is_alive_and_ready(service):
    assert service.get("/healthz").status_code == 200
    ready = service.get("/readyz")
    assert ready.status_code == 200, ready.text


# Uploads by form


@pytest.mark.parametrize("path", ["/file/", "/file"])
def test_a_form_names_its_bucket_in_a_field(service, bucket, path):
    answer = service.request("POST", path, **form(bucket=bucket))
    data = check_stored(answer, CONTENT, bucket, "hello.txt")
    assert answer.headers["Location"] == f"/file/{bucket}/hello.txt"
    assert data["content_type"] == "text/plain"


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_form_goes_to_the_bucket_of_the_path(service, bucket, slash):
    answer = service.request("POST", f"/file/{bucket}{slash}", **form())
    check_stored(answer, CONTENT, bucket, "hello.txt")


def test_the_field_key_overrides_the_file_name(service, bucket):
    answer = service.request("POST", f"/file/{bucket}", **form(key="nested/ключ +1.txt"))
    check_stored(answer, CONTENT, bucket, "nested/ключ +1.txt")
    location = answer.headers["Location"]
    assert location == f"/file/{bucket}/" + urllib.parse.quote("nested/ключ +1.txt")
    check_url(service.get(location).json()["data"]["location"], CONTENT)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "C:\\Users\\me\\passwd", "../../passwd", "a/\\passwd"]
)
def test_only_the_last_segment_of_a_file_name_counts(service, bucket, name):
    quoted = name.replace("\\", "\\\\")
    body = (
        '--B\r\nContent-Disposition: form-data; name="file"; filename="'
        + quoted
        + '"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--B--\r\n'
    )
    headers = {"Content-Type": "multipart/form-data; boundary=B"}
    answer = service.request("POST", f"/file/{bucket}", data=body.encode(), headers=headers)
    check_stored(answer, b"hello", bucket, "passwd")


def test_a_file_name_beyond_ascii_is_kept(service, bucket):
    answer = service.request("POST", f"/file/{bucket}", **form(name="Übung 1 €.txt"))
    check_stored(answer, CONTENT, bucket, "Übung 1 €.txt")


def test_an_empty_file_of_a_form_is_stored(service, bucket):
    answer = service.request("POST", f"/file/{bucket}", **form(content=b""))
    check_stored(answer, b"", bucket, "hello.txt")


# Uploads by PUT


def test_put_stores_the_body_with_its_content_type(service, localstack, bucket):
    answer = service.put(
        f"/file/{bucket}/a/b.json", b"{}", headers={"Content-Type": "application/json; a=b"}
    )
    data = check_stored(answer, b"{}", bucket, "a/b.json")
    assert answer.headers["Location"] == f"/file/{bucket}/a/b.json"
    assert data["content_type"] == "application/json; a=b"
    head = localstack.s3.head_object(Bucket=bucket, Key="a/b.json")
    assert head["ContentType"] == "application/json; a=b"
    assert head["ETag"] == data["etag"]


def test_put_again_replaces_the_file(service, bucket):
    for content in (b"first", b"second, and longer"):
        answer = service.put(f"/file/{bucket}/key", content)
        check_stored(answer, content, bucket, "key")


def test_if_none_match_any_keeps_what_is_there(service, bucket):
    only_new = {"If-None-Match": "*"}
    first = service.put(f"/file/{bucket}/key", b"first", headers=only_new)
    check_stored(first, b"first", bucket, "key")
    second = service.put(f"/file/{bucket}/key", b"second", headers=only_new)
    check_error(second, 412, "PreconditionFailed")
    check_url(first.json()["data"]["location"], b"first")


@pytest.mark.parametrize("key", ["a//b", "/leading", "trailing/", "a+b c%20d", "ä/😀", "a\\b"])
def test_a_key_is_decoded_exactly_once(service, localstack, bucket, key):
    head = f"PUT {path_of(bucket, key)} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
    answer = ask(service.port, head.encode() + b"hello")
    assert answer.status == 201, answer.body
    keys = [o["Key"] for o in localstack.s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == [key]


@pytest.mark.parametrize("key", ["//", "/", "a//", "//a///b"])
def test_slashes_reach_s3_as_they_are(start_service, s3, key):
    service = start_service(s3)
    assert fetch("PUT", f"{service.url}/file/bucket/{key}", body=b"hello").status == 201
    assert list(s3.buckets["bucket"]) == [key]


def test_a_new_bucket_gets_its_cors_rule(service, localstack, bucket):
    assert service.put(f"/file/{bucket}/key", b"x").status_code == 201
    rules = localstack.s3.get_bucket_cors(Bucket=bucket)["CORSRules"]
    assert len(rules) == 1
    assert set(rules[0]["AllowedMethods"]) == {"GET", "HEAD"}
    assert rules[0]["AllowedOrigins"] == ["*"]
    assert rules[0]["ExposeHeaders"] == ["ETag"]
    assert rules[0]["MaxAgeSeconds"] == 3600


def test_a_bucket_that_exists_keeps_its_own_cors_rule(service, localstack, bucket):
    localstack.s3.create_bucket(Bucket=bucket)
    assert service.put(f"/file/{bucket}/key", b"x").status_code == 201
    with pytest.raises(localstack.s3.exceptions.ClientError, match="NoSuchCORSConfiguration"):
        localstack.s3.get_bucket_cors(Bucket=bucket)


# Downloads


def test_get_answers_with_a_url_that_works(service, stored):
    path, content, _, _ = stored
    answer = service.get(path)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    data = answer.json()["data"]
    assert set(data) >= {
        "location", "expires_at", "size", "etag", "content_type", "last_modified",
    }  # fmt: skip
    assert (data["size"], data["content_type"]) == (len(content), "text/plain")
    fetched = check_url(data["location"], content)
    assert fetched.headers["ETag"] == data["etag"]
    modified = datetime.datetime.fromisoformat(data["last_modified"])
    age = datetime.datetime.now(datetime.UTC) - modified
    assert datetime.timedelta(seconds=-2) < age < datetime.timedelta(minutes=10)


def test_head_of_a_file_is_get_without_a_body(service, stored):
    get, head = service.get(stored[0]), service.request("HEAD", stored[0])
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(get.content))
    assert head.headers["Cache-Control"] == "no-store"


def test_redirect_sends_the_client_to_the_bytes(service, stored):
    answer = service.get(stored[0] + "?delivery=redirect")
    assert answer.status_code == 302
    assert answer.headers["Cache-Control"] == "no-store"
    check_url(answer.headers["Location"], stored[1])


def test_redirect_of_head_is_signed_for_head(strict_service, bucket):
    """Against versitygw: LocalStack takes a URL that is signed for another method."""
    assert strict_service.put(f"/file/{bucket}/key", b"hello").status_code == 201
    answer = strict_service.request("HEAD", f"/file/{bucket}/key?delivery=redirect")
    assert (answer.status_code, answer.content) == (302, b"")
    assert answer.headers["Cache-Control"] == "no-store"
    location = answer.headers["Location"]
    followed = fetch("HEAD", location)
    assert (followed.status, followed.headers["Content-Length"]) == (200, "5")
    assert fetch("GET", location).status == 403


def test_a_redirect_is_followed_by_a_client(service, stored):
    url = service.url + stored[0] + "?delivery=redirect"
    assert sha256(requests.get(url, timeout=30).content) == sha256(stored[1])
    head = requests.head(url, allow_redirects=True, timeout=30)
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(stored[1])))


# The life of URLs


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
@pytest.mark.parametrize(
    ("query", "seconds"), [("", 86400), ("?expires=1", 1), ("?expires=604800", 604800)]
)
def test_expires_sets_the_life_of_the_url(service, stored, bucket, method, query, seconds):
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    if method == "GET":
        answer = service.get(stored[0] + query)
    elif method == "PUT":
        answer = service.put(f"/file/{bucket}/key{query}", b"x")
    else:
        answer = service.request("POST", f"/file/{bucket}{query}", **form())
    after = datetime.datetime.now(datetime.UTC)
    assert answer.status_code in (200, 201), answer.text
    data = answer.json()["data"]
    life, signed_at = life_of(data)
    assert life == seconds
    expires_at = datetime.datetime.fromisoformat(data["expires_at"])
    signed = datetime.datetime.strptime(signed_at + "+0000", "%Y%m%dT%H%M%SZ%z")
    assert expires_at == signed + datetime.timedelta(seconds=seconds), "expires_at is not honest"
    assert before <= signed <= after


def test_a_url_is_dead_when_its_life_is_over(strict_service, bucket):
    answer = strict_service.put(f"/file/{bucket}/key?expires=1", b"x")
    url = answer.json()["data"]["location"]
    deadline = datetime.datetime.now() + datetime.timedelta(seconds=10)
    while fetch("GET", url).status == 200:
        assert datetime.datetime.now() < deadline, "the URL outlives what was asked"
    assert fetch("GET", url).status == 403


# Deleting


def test_delete_removes_and_then_there_is_nothing(service, bucket):
    path = f"/file/{bucket}/a%20b"
    assert service.put(path, b"x").status_code == 201
    answer = service.request("DELETE", path)
    assert (answer.status_code, answer.json()) == (200, {"message": "Deleted file successfully."})
    check_error(service.request("DELETE", path), 404, "NoSuchKey")
    check_error(service.get(path), 404, "NoSuchKey")


def test_delete_in_a_bucket_that_is_missing_is_404(service, bucket):
    check_error(service.request("DELETE", f"/file/{bucket}/key"), 404, "NoSuchBucket")


# Preflight


@pytest.mark.parametrize("path", ["/", "/file/", "/file/bucket/key", "/healthz", "/nowhere"])
def test_options_answers_a_preflight_anywhere(service, path):
    headers = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "x-request-id, content-type",
    }
    answer = service.request("OPTIONS", path, headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    methods = re.split(r",\s*", answer.headers["Access-Control-Allow-Methods"])
    assert sorted(methods) == ["DELETE", "GET", "HEAD", "POST", "PUT"]
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    assert set(re.split(r",\s*", allowed)) >= {"x-request-id", "content-type"}
    assert answer.headers["Access-Control-Max-Age"] == "3600"

"""Listing a bucket: pages, groups and cursors, in front of real servers and of a scripted one."""

import base64
import datetime
import json
import urllib.parse

import pytest
from s3_stand_in import Answer
from support.checks import check_error
from support.raw import ask, connect, path_of, reset

# Keys that break XML, URLs or JSON when they are not written with care.
AWKWARD = [
    " ", "+", "%", "%2F", "a b+c", "&<>\"'", "<![CDATA[", "]]>", "ä/ö/ü", "😀", "日本/語",
    "back\\slash", "a//b", "q?a=b&c", "#", "a/.../b", "\u00a0", "\ufeff", "e\u0301", "%00", "+%2B+",
]  # fmt: skip


def listing(service, bucket, **query):
    """One page; the answer's form is checked."""
    answer = service.get(f"/file/{bucket}?{urllib.parse.urlencode(query)}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("application/json")
    body = answer.json()
    assert body["message"] == "Listed files successfully."
    data = body["data"]
    assert set(data) - {"prefix", "delimiter", "cursor"} == {"bucket", "objects", "prefixes"}
    assert data["bucket"] == bucket
    for name in ("prefix", "delimiter"):
        assert data.get(name, "") == query.get(name, "")
    return data


def keys_of(data):
    return [o["key"] for o in data["objects"]]


def all_pages(service, bucket, **query):
    """Every page from the first to the last, each asked for with the cursor of the one before."""
    pages = [listing(service, bucket, **query)]
    while "cursor" in pages[-1]:
        assert len(pages) < 100
        pages.append(listing(service, bucket, cursor=pages[-1]["cursor"], **query))
    return pages


def every(pages, what):
    return [item for page in pages for item in page[what]]


def boto3_pages(server, bucket, **query):
    """What an independent client says: (keys, prefixes)."""
    found = list(server.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, **query))
    keys = [o["Key"] for page in found for o in page.get("Contents", [])]
    return keys, [p["Prefix"] for page in found for p in page.get("CommonPrefixes", [])]


def fill(server, bucket, keys):
    server.s3.create_bucket(Bucket=bucket)
    for key in keys:
        server.s3.put_object(Bucket=bucket, Key=key, Body=key.encode())


# What is there


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_list_says_what_is_there(service, localstack, bucket, slash):
    fill(localstack, bucket, ["b.txt", "a/1.txt", "a/2.txt"])
    answer = service.get(f"/file/{bucket}{slash}")
    data = answer.json()["data"]
    assert keys_of(data) == ["a/1.txt", "a/2.txt", "b.txt"]
    assert (data["prefixes"], "cursor" in data) == ([], False)
    for o in data["objects"]:
        assert set(o) == {"key", "size", "etag", "last_modified"}
        head = localstack.s3.head_object(Bucket=bucket, Key=o["key"])
        assert (o["size"], o["etag"]) == (head["ContentLength"], head["ETag"])
        modified = datetime.datetime.fromisoformat(o["last_modified"])
        assert abs(modified - head["LastModified"]) < datetime.timedelta(seconds=2)


def test_an_empty_bucket_has_an_empty_list(service, localstack, bucket):
    localstack.s3.create_bucket(Bucket=bucket)
    data = listing(service, bucket)
    assert (data["objects"], data["prefixes"], "cursor" in data) == ([], [], False)
    data = listing(service, bucket, prefix="nothing/", delimiter="/")
    assert (data["objects"], data["prefixes"]) == ([], [])


def test_head_of_a_list_is_get_without_a_body(service, localstack, bucket):
    fill(localstack, bucket, ["a"])
    get, head = service.get(f"/file/{bucket}"), service.request("HEAD", f"/file/{bucket}")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(get.content))
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert service.request("HEAD", f"/file/{bucket}?limit=0").status_code == 400
    assert service.request("HEAD", f"/file/{bucket}-missing").status_code == 404


def test_what_was_uploaded_is_listed(strict_service, bucket):
    for key in ("a/b c+d.txt", "ä.txt"):
        assert strict_service.put(path_of(bucket, key), b"x").status_code == 201
    data = listing(strict_service, bucket)
    assert keys_of(data) == ["a/b c+d.txt", "ä.txt"]
    for o in data["objects"]:
        answer = strict_service.get(path_of(bucket, o["key"]))
        assert answer.json()["data"]["etag"] == o["etag"]


# Prefix and delimiter

TREE = ["a.txt", "a/1", "a/2", "a/b/3", "a/b/4", "b/5", "c d/6", "z"]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"prefix": "a"},
        {"prefix": "a/"},
        {"prefix": "c d"},
        {"prefix": "nothing"},
        {"delimiter": "/"},
        {"prefix": "a/", "delimiter": "/"},
        {"prefix": "a", "delimiter": "/"},
        {"prefix": "", "delimiter": ""},
        {"prefix": "c ", "delimiter": "/"},
    ],
    ids=str,
)
@pytest.mark.parametrize("limit", [1000, 1, 2])
def test_pages_are_what_another_client_sees(strict_service, versitygw, tree_bucket, query, limit):
    pages = all_pages(strict_service, tree_bucket, limit=limit, **query)
    named = {name.capitalize(): value for name, value in query.items() if value}
    keys, prefixes = boto3_pages(versitygw, tree_bucket, **named)
    assert [o["key"] for o in every(pages, "objects")] == keys
    assert every(pages, "prefixes") == prefixes
    for page in pages:
        assert len(page["objects"]) + len(page["prefixes"]) <= limit


@pytest.fixture(scope="module")
def tree_bucket(versitygw):
    fill(versitygw, "e2e-list-tree", TREE)
    return "e2e-list-tree"


def test_a_delimiter_may_be_any_text(service, localstack, bucket):
    fill(localstack, bucket, ["a--b--c", "a--d", "e"])
    data = listing(service, bucket, delimiter="--")
    assert (keys_of(data), data["prefixes"]) == (["e"], ["a--"])


# Awkward keys


def test_any_key_survives(service, localstack, bucket):
    fill(localstack, bucket, AWKWARD)
    assert sorted(keys_of(listing(service, bucket))) == sorted(AWKWARD)


def test_any_key_survives_from_page_to_page(start_service, s3):
    """Not in front of LocalStack, which compares encoded keys with tokens that are not."""
    for key in AWKWARD:
        s3.put("bucket", key, b"x")
    service = start_service(s3)
    for limit in (1, 3):
        pages = all_pages(service, "bucket", limit=limit)
        assert [o["key"] for o in every(pages, "objects")] == sorted(AWKWARD)
    for key in AWKWARD:
        assert key in keys_of(listing(service, "bucket", prefix=key)), key


def test_control_characters_of_other_clients_survive(start_service, s3):
    """This service stores no such key, but others may have."""
    keys = ["\x01\x02", "a\nb", "tab\t", "\x7f"]
    for key in keys:
        s3.put("bucket", key, b"x")
    service = start_service(s3)
    assert keys_of(listing(service, "bucket")) == sorted(keys)
    assert keys_of(listing(service, "bucket", prefix="\x01")) == ["\x01\x02"]


@pytest.mark.parametrize("letter", ["\x01", "ä", "&", "%", "k"])
def test_a_full_page_of_the_longest_keys(start_service, s3, letter):
    """1,000 keys of 1,024 bytes that grow most on their way through URL encoding and JSON."""
    rest = 1020 // len(letter.encode())
    for number in range(1001):
        s3.put("bucket", f"{number:04}" + letter * rest, b"")
    service = start_service(s3)
    first = listing(service, "bucket", limit=1000)
    assert len(first["objects"]) == 1000
    second = listing(service, "bucket", limit=1000, cursor=first["cursor"])
    assert "cursor" not in second
    assert keys_of(first) + keys_of(second) == sorted(s3.buckets["bucket"])


# Pages


def test_the_default_limit_is_100(start_service, s3):
    for number in range(101):
        s3.put("bucket", f"{number:03}", b"")
    service = start_service(s3)
    assert len(listing(service, "bucket")["objects"]) == 100
    assert s3.requests("ListObjects")[-1].query["max-keys"] == "100"
    assert len(all_pages(service, "bucket")) == 2


def test_a_cursor_works_on_any_copy_of_the_service(start_service, localstack, bucket):
    fill(localstack, bucket, ["a", "b", "c", "d", "e"])
    copies = [start_service(localstack), start_service(localstack)]
    found, cursor = [], {}
    for turn in range(5):
        data = listing(copies[turn % 2], bucket, limit=1, **cursor)
        found += keys_of(data)
        cursor = {"cursor": data["cursor"]} if "cursor" in data else {}
    assert (found, cursor) == (["a", "b", "c", "d", "e"], {})


def test_the_limit_may_change_from_page_to_page(strict_service, tree_bucket):
    first = listing(strict_service, tree_bucket, limit=2)
    rest = listing(strict_service, tree_bucket, limit=1000, cursor=first["cursor"])
    assert keys_of(first) + keys_of(rest) == TREE


def test_a_cursor_is_plain_in_a_url(strict_service, tree_bucket):
    cursor = listing(strict_service, tree_bucket, limit=1)["cursor"]
    assert urllib.parse.quote(cursor, safe="") == cursor


# Bad input


@pytest.fixture(scope="module")
def door(start_module_service, module_s3):
    for key in ("a/1", "a/2", "b/1", "b/2"):
        module_s3.put("bucket", key, b"x")
        module_s3.put("other-bucket", key, b"x")
    return start_module_service(module_s3)


def check_refused(service, s3, path, code):
    seen = len(s3.requests())
    body = check_error(service.get(path), 400, code)
    assert len(s3.requests()) == seen, "S3 was asked"
    return body


@pytest.mark.parametrize(
    "value", ["0", "1001", "-1", "", "ten", "1.5", "+5", "%2B5", "0x10", "5&limit=6", "9" * 40]
)
def test_a_bad_limit_is_400(door, module_s3, value):
    body = check_refused(door, module_s3, f"/file/bucket?limit={value}", "InvalidLimit")
    assert "1 to 1000" in body["message"]


@pytest.mark.parametrize("name", ["prefix", "delimiter"])
@pytest.mark.parametrize("value", ["%FF", "%C3", "%ED%A0%80", "k" * 1025, "a&{}=b"])
def test_a_bad_prefix_or_delimiter_is_400(door, module_s3, name, value):
    path = f"/file/bucket?{name}=" + value.replace("{}", name)
    body = check_refused(door, module_s3, path, "Invalid" + name.capitalize())
    assert name in body["message"]


@pytest.mark.parametrize("name", ["limit", "prefix", "delimiter", "cursor"])
@pytest.mark.parametrize("value", ["%", "%4", "%zz"])
def test_a_badly_encoded_query_is_400(door, module_s3, name, value):
    seen = len(module_s3.requests())
    head = f"GET /file/bucket?{name}={value} HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = ask(door.port, head.encode())
    assert (answer.status, json.loads(answer.body)["code"]) == (400, "Invalid" + name.capitalize())
    assert len(module_s3.requests()) == seen


@pytest.mark.parametrize(
    "value",
    ["", "x", "none", "AA", "AQ", "%00", "ä", "=" * 8, "a+b", "A" * 6000, "AQ" + "A" * 40,
     "x&cursor=y",
     base64.urlsafe_b64encode(b"\x01" + bytes(16) + b"token").decode().rstrip("=")],
)  # fmt: skip
def test_what_is_no_cursor_is_400(door, module_s3, value):
    check_refused(door, module_s3, f"/file/bucket?cursor={value}", "InvalidCursor")


def test_a_cursor_of_another_list_is_400(door, module_s3):
    cursor = listing(door, "bucket", limit=1, prefix="a/", delimiter="/")["cursor"]
    same = f"prefix=a%2F&delimiter=%2F&cursor={cursor}"
    assert door.get(f"/file/bucket?{same}").status_code == 200
    for path in (
        f"/file/other-bucket?{same}",
        f"/file/bucket?cursor={cursor}",
        f"/file/bucket?prefix=a%2F&cursor={cursor}",
        f"/file/bucket?delimiter=%2F&cursor={cursor}",
        f"/file/bucket?prefix=b%2F&delimiter=%2F&cursor={cursor}",
        f"/file/bucket?prefix=a&delimiter=%2F%2F&cursor={cursor}",
    ):
        check_refused(door, module_s3, path, "InvalidCursor")


def test_a_cursor_that_was_changed_is_400(door, module_s3):
    cursor = listing(door, "bucket", limit=1)["cursor"]
    for at in range(len(cursor)):
        other = cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :]
        check_refused(door, module_s3, f"/file/bucket?cursor={other}", "InvalidCursor")
    for changed in (cursor[:-1], cursor + "A", cursor + "=", cursor.lower()):
        check_refused(door, module_s3, f"/file/bucket?cursor={changed}", "InvalidCursor")


def test_a_bad_bucket_name_is_400(door, module_s3):
    for name in ("ab", "Upper", "a..b", "b%20c"):
        check_refused(door, module_s3, f"/file/{name}", "InvalidBucketName")


# Rules of buckets


def test_a_bucket_that_is_not_allowed_is_403(start_service, s3):
    s3.make_bucket("allowed")
    service = start_service(s3, BUCKET_ALLOWLIST="allowed")
    check_error(service.get("/file/bucket"), 403, "AccessDenied")
    assert s3.requests() == []
    assert listing(service, "allowed")["objects"] == []


def test_the_prefix_of_bucket_names_is_not_seen(start_service, s3):
    s3.put("secret-bucket", "key", b"x")
    service = start_service(s3, BUCKET_PREFIX="secret-")
    answer = service.get("/file/bucket")
    assert keys_of(answer.json()["data"]) == ["key"]
    assert "secret-" not in answer.text


def test_an_api_key_is_needed(start_service, s3):
    s3.make_bucket("bucket")
    service = start_service(s3, API_KEYS="alpha-key-1")
    check_error(service.get("/file/bucket"), 401)
    headers = {"Authorization": "Bearer alpha-key-1"}
    assert service.get("/file/bucket", headers=headers).status_code == 200


@pytest.mark.parametrize("which", ["service", "strict_service"])
def test_a_missing_bucket_is_404(request, bucket, which):
    check_error(request.getfixturevalue(which).get(f"/file/{bucket}"), 404, "NoSuchBucket")


# What S3 does wrong

GOOD = b"<ListBucketResult><Contents><Key>k</Key><Size>1</Size></Contents></ListBucketResult>"


def test_access_denied_by_s3_is_403(start_service, s3):
    s3.script_always("ListObjects", Answer(403, error="AccessDenied"))
    check_error(start_service(s3).get("/file/bucket"), 403, "AccessDenied")


@pytest.mark.parametrize(
    "fault",
    [
        Answer(500, error="InternalError"),
        Answer(503, error="SlowDown"),
        Answer(close_before=True),
        Answer(200, body=GOOD, close_after=40),
        Answer(200, body=GOOD[:40]),
        Answer(200, body=b""),
        Answer(200, body=b"<html>not S3"),
        Answer(200, error="InternalError"),
    ],
    ids=["500", "SlowDown", "closed", "cut", "cut-short", "empty", "html", "error-in-200"],
)
def test_a_list_that_fails_once_is_asked_for_again(start_service, s3, fault):
    s3.put("bucket", "key", b"x")
    s3.script("ListObjects", fault)
    assert keys_of(listing(start_service(s3), "bucket")) == ["key"]
    assert len(s3.requests("ListObjects")) == 2


@pytest.mark.parametrize(
    "body",
    [
        GOOD[:40],
        b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + GOOD,
        b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        b"<ListBucketResult>" + GOOD[18:-19] * 1001 + b"</ListBucketResult>",
        b"<ListBucketResult>" + b"<a>" * 100 + b"</a>" * 100 + b"</ListBucketResult>",
    ],
    ids=["cut", "dtd", "more-without-token", "too-many", "deep"],
)
def test_a_list_that_cannot_be_read_is_502(start_service, s3, body):
    s3.script_always("ListObjects", Answer(200, body=body))
    service = start_service(s3, S3_MAX_ATTEMPTS="2")
    body = check_error(service.get("/file/bucket"), 502)
    assert "could not be read" in body["message"]
    assert len(s3.requests("ListObjects")) == 2


def test_a_list_without_end_is_an_error(start_service, s3):
    s3.script_always("ListObjects", Answer(200, body=b" " * (9 << 20)))
    service = start_service(s3)
    assert service.get("/file/bucket").status_code in (500, 502)
    assert service.get("/healthz").status_code == 200


def test_an_s3_that_hangs_is_504(start_service, s3):
    s3.script_always("ListObjects", Answer(hang=True))
    service = start_service(s3, S3_TIMEOUT_MS="1000", S3_MAX_ATTEMPTS="1")
    answer = service.get("/file/bucket")
    check_error(answer, 504)
    assert answer.elapsed.total_seconds() < 5


def test_an_s3_that_fails_for_ever_is_502(start_service, s3):
    s3.script_always("ListObjects", Answer(500, error="InternalError"))
    check_error(start_service(s3).get("/file/bucket"), 502)


def test_a_token_that_s3_refuses_is_its_own_error(start_service, s3):
    s3.put("bucket", "a", b"x")
    s3.put("bucket", "b", b"x")
    service = start_service(s3)
    cursor = listing(service, "bucket", limit=1)["cursor"]
    s3.script("ListObjects", Answer(400, error="InvalidArgument"))
    check_error(service.get(f"/file/bucket?cursor={cursor}"), 400, "InvalidArgument")


def test_a_client_that_goes_away_ends_the_call(start_service, s3):
    s3.script_always("ListObjects", Answer(hang=True))
    service = start_service(s3)
    with connect(service.port) as s:
        s.sendall(b"GET /file/bucket HTTP/1.1\r\nHost: x\r\n\r\n")
        s3.wait_for("ListObjects")
        reset(s)
    service.wait_log(
        lambda line: line.get("path") == "/file/bucket" and line["status"] == 499, "a client gone"
    )


def test_the_log_line_has_the_request_id_of_s3(start_service, s3):
    s3.make_bucket("bucket")
    service = start_service(s3)
    listing(service, "bucket", prefix="not-in-the-log")
    line = service.wait_log(lambda line: line.get("path") == "/file/bucket", "the request")
    assert line["s3_request_id"]
    assert "not-in-the-log" not in json.dumps(line)

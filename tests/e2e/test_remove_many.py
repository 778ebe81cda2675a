"""Deleting many files by one request, in front of real servers and of a scripted one."""

import json
import re
import select
from xml.sax.saxutils import escape

import pytest
from s3_stand_in import Answer
from support.checks import check_error, check_stored
from support.raw import ask, connect, read_answer, reset

MIB = 1 << 20
JSON = {"Content-Type": "application/json"}
AWKWARD = [
    " ", "+", "%2F", "a b+c", "&<>\"'", "]]>", "<![CDATA[", "ä/ö", "😀", "back\\slash", "a//b",
    "q?a=b", "\u0085\u2028", "\ufeff", " lead and trail ", "&amp;", "&#10;", "...",
]  # fmt: skip


def post(service, bucket, body, headers=None, query="?delete"):
    if not isinstance(body, (bytes, str)):
        body = json.dumps(body)
    data = body.encode() if isinstance(body, str) else body
    path = f"/file/{bucket}{query}"
    return service.request("POST", path, data=data, headers=JSON if headers is None else headers)


def remove(service, bucket, keys, **options):
    """A request that worked: (deleted, errors)."""
    answer = post(service, bucket, {"keys": keys}, **options)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("application/json")
    body = answer.json()
    data = body["data"]
    assert (set(body), set(data)) == ({"message", "data"}, {"deleted", "errors"})
    if data["errors"]:
        assert body["message"] == "Some files could not be deleted."
    else:
        assert body["message"] == "Deleted files successfully."
    for error in data["errors"]:
        assert set(error) == {"key", "code", "message"}
        assert all(isinstance(value, str) and value for value in error.values())
    return data["deleted"], data["errors"]


def keys_in(server, bucket):
    found = server.s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    return sorted(o["Key"] for o in found)


def fill(server, bucket, keys):
    server.s3.create_bucket(Bucket=bucket)
    for key in keys:
        server.s3.put_object(Bucket=bucket, Key=key, Body=b"x")


@pytest.fixture(params=["localstack", "versitygw"])
def door(request):
    """(service, the server behind it) for each real server."""
    name = {"localstack": "service", "versitygw": "strict_service"}[request.param]
    return request.getfixturevalue(name), request.getfixturevalue(request.param)


# What works


def test_only_the_keys_that_are_named_are_deleted(door, bucket):
    service, server = door
    fill(server, bucket, ["a", "b/c", "d", "kept"])
    deleted, errors = remove(service, bucket, ["a", "b/c", "d"])
    assert (sorted(deleted), errors) == (["a", "b/c", "d"], [])
    assert keys_in(server, bucket) == ["kept"]


@pytest.mark.parametrize("query", ["?delete", "?delete=", "?delete=1", "/?delete", "?a=b&delete&c"])
def test_the_parameter_alone_decides(start_service, s3, query):
    s3.put("bucket", "a", b"x")
    assert remove(start_service(s3), "bucket", ["a"], query=query) == (["a"], [])
    assert s3.buckets["bucket"] == {}
    assert s3.operations() == ["DeleteObjects"]


def test_any_key_survives(service, localstack, bucket):
    fill(localstack, bucket, [*AWKWARD, "kept"])
    deleted, errors = remove(service, bucket, AWKWARD)
    assert (sorted(deleted), errors) == (sorted(AWKWARD), [])
    assert keys_in(localstack, bucket) == ["kept"]


def test_escapes_of_json_are_read(start_service, s3):
    for key in ("ä/😀", "b"):
        s3.put("bucket", key, b"x")
    body = b'\r\n{ "keys" : ["\\u00e4\\/\\ud83d\\ude00",\t"b"] }\n'
    answer = post(start_service(s3), "bucket", body)
    assert answer.json()["data"]["deleted"] == ["ä/😀", "b"]
    assert s3.buckets["bucket"] == {}


def test_a_key_that_s3_never_had_counts_as_deleted(door, bucket):
    service, server = door
    fill(server, bucket, ["a"])
    deleted, errors = remove(service, bucket, ["never", "a"])
    assert (sorted(deleted), errors) == (["a", "never"], [])
    assert remove(service, bucket, ["never"]) == (["never"], [])


def test_a_key_that_is_named_twice_is_no_error(door, bucket):
    service, server = door
    fill(server, bucket, ["a"])
    deleted, errors = remove(service, bucket, ["a", "a"])
    assert (set(deleted), errors) == ({"a"}, [])
    assert keys_in(server, bucket) == []


def test_a_thousand_keys(door, bucket):
    service, server = door
    server.s3.create_bucket(Bucket=bucket)
    for number in range(5):
        server.s3.put_object(Bucket=bucket, Key=f"{number:04}", Body=b"")
    keys = [f"{number:04}" for number in range(1000)]
    deleted, errors = remove(service, bucket, keys)
    assert (sorted(deleted), errors) == (keys, [])
    assert keys_in(server, bucket) == []


@pytest.mark.parametrize("letter", ["&", '"', "ä", "k"])
def test_a_thousand_of_the_longest_keys(start_service, s3, letter):
    """The letters that grow most on their way through JSON and XML."""
    rest = 1020 // len(letter.encode())
    keys = [f"{number:04}" + letter * rest for number in range(1000)]
    for key in keys:
        s3.put("bucket", key, b"")
    assert remove(start_service(s3), "bucket", keys) == (keys, [])
    assert s3.buckets["bucket"] == {}


def test_the_call_to_s3_is_signed_and_has_its_checksum(start_service, s3):
    s3.put("bucket", "a", b"x")
    remove(start_service(s3), "bucket", ["a"])
    request = s3.requests("DeleteObjects")[0]
    assert request.headers["x-amz-content-sha256"] == request.sha256
    assert re.fullmatch(r"[A-Za-z0-9+/]{22}==", request.headers["content-md5"])
    assert request.headers["content-type"] == "application/xml"


@pytest.mark.parametrize(
    "given", ["application/json; charset=utf-8", "Application/JSON", "application/json ;x=y"]
)
def test_the_type_may_be_written_otherwise(start_service, s3, given):
    s3.make_bucket("bucket")
    assert post(start_service(s3), "bucket", {"keys": ["a"]}, {"Content-Type": given}).ok


def test_a_body_of_unknown_length_is_taken(start_service, s3):
    s3.make_bucket("bucket")
    body = iter([b'{"ke', b'ys":["a', b'"]}'])
    answer = start_service(s3).request("POST", "/file/bucket?delete", data=body, headers=JSON)
    assert answer.json()["data"]["deleted"] == ["a"]


def test_a_form_upload_stays_one_without_the_parameter(service, bucket):
    for query in ("", "?deleted", "?x=delete"):
        files = {"file": ("hello.txt", b"hello", "text/plain")}
        answer = service.request("POST", f"/file/{bucket}{query}", files=files)
        check_stored(answer, b"hello", bucket, "hello.txt")
    check_error(post(service, bucket, {"keys": ["a"]}, query=""), 415, "UnsupportedMediaType")


# Some keys fail


def test_keys_that_s3_refuses_are_named_with_its_reason(start_service, s3):
    rows = (
        "<Deleted><Key>a</Key></Deleted>"
        "<Error><Key>b&amp;&quot;</Key><Code>AccessDenied</Code><Message>Access Denied</Message>"
        "</Error><Error><Key>c</Key><Code>InternalError</Code></Error><Error><Key>d</Key></Error>"
    )
    s3.script("DeleteObjects", Answer(200, body=f"<DeleteResult>{rows}</DeleteResult>".encode()))
    deleted, errors = remove(start_service(s3), "bucket", ["a", 'b&"', "c", "d"])
    assert deleted == ["a"]
    assert [(e["key"], e["code"]) for e in errors] == [
        ('b&"', "AccessDenied"), ("c", "InternalError"), ("d", "Unknown"),
    ]  # fmt: skip
    assert errors[0]["message"] == "Access Denied"


def test_a_key_of_which_s3_says_nothing_is_an_error(start_service, s3):
    body = b"<DeleteResult><Deleted><Key>a</Key></Deleted></DeleteResult>"
    s3.script("DeleteObjects", Answer(200, body=body))
    deleted, errors = remove(start_service(s3), "bucket", ["a", "b"])
    assert (deleted, [(e["key"], e["code"]) for e in errors]) == (["a"], [("b", "NotReported")])


def test_a_thousand_failures_fit_the_answer(start_service, s3):
    keys = [f"{number:04}" + '"' * 1020 for number in range(1000)]
    rows = "".join(
        f"<Error><Key>{escape(key)}</Key><Code>AccessDenied</Code><Message>{'m' * 600}</Message>"
        "</Error>"
        for key in keys
    )
    s3.script("DeleteObjects", Answer(200, body=f"<DeleteResult>{rows}</DeleteResult>".encode()))
    deleted, errors = remove(start_service(s3), "bucket", keys)
    assert (deleted, [e["key"] for e in errors]) == ([], keys)
    assert {e["message"] for e in errors} == {"m" * 512}


# Bad input


@pytest.fixture(scope="module")
def guard(start_module_service, module_s3):
    module_s3.put("bucket", "key", b"x")
    return start_module_service(module_s3)


def check_refused(service, s3, status, code, body, **options):
    """An error before S3 is asked: nothing was deleted."""
    seen = len(s3.requests())
    error = check_error(post(service, "bucket", body, **options), status, code)
    assert len(s3.requests()) == seen, "S3 was asked"
    return error


@pytest.mark.parametrize(
    "body",
    ["", " ", "{", '{"keys":["key"]', '{"keys":["key"]} x', "keys=key", '{"keys":["key",]}',
     "{'keys':['key']}", '{"keys":["key"],"keys":["key"]}', b'{"keys":["\xff"]}',
     '{"keys":["\\ud800"]}',
     '{"keys":["a\\u0000b"]}', "\ufeff{}", "[" * 100_000, '{"keys":' * 5000, "<keys/>"],
    ids=range(16),
)  # fmt: skip
def test_what_is_no_json_is_400(guard, module_s3, body):
    check_refused(guard, module_s3, 400, "MalformedJSON", body)


@pytest.mark.parametrize(
    "body",
    [[], ["key"], {}, {"key": ["key"]}, {"keys": "key"}, {"keys": {"0": "key"}}, {"keys": None},
     {"keys": []}, {"keys": [1]}, {"keys": ["key", None]}, {"keys": [["key"]]},
     {"keys": [{"key": "key"}]}, {"keys": ["key"], "quiet": True}, {"Keys": ["key"]}],
    ids=str,
)  # fmt: skip
def test_json_of_another_form_is_400(guard, module_s3, body):
    error = check_refused(guard, module_s3, 400, "InvalidRequest", body)
    assert "keys" in error["message"]


@pytest.mark.parametrize(
    "key",
    ["", "k" * 1025, "ä" * 513, "a\nb", "\x01", "\x7f", ".", "..", "a/../b", "a/./b", "a\ufffeb",
     "\uffff"],
    ids=ascii,
)  # fmt: skip
def test_a_bad_key_is_400_and_named(guard, module_s3, key):
    error = check_refused(guard, module_s3, 400, "InvalidKey", {"keys": ["key", key]})
    assert error["message"].startswith("keys[1]: ")


@pytest.mark.parametrize("count", [1001, 2000, 500_000])
def test_too_many_keys_are_400(guard, module_s3, count):
    body = '{"keys":[' + ",".join(['"key"'] * count) + "]}"
    error = check_refused(guard, module_s3, 400, "TooManyKeys", body)
    assert "1000" in error["message"]


def test_commas_in_keys_are_no_keys(start_service, s3):
    keys = ["," * 1000, '\\",' * 300, "\\"]
    for key in keys:
        s3.put("bucket", key, b"x")
    assert remove(start_service(s3), "bucket", keys) == (keys, [])


@pytest.mark.parametrize(
    "given",
    [None, "text/plain", "text/json", "application/jsonx", "multipart/form-data; boundary=B",
     "application/x-www-form-urlencoded"],
)  # fmt: skip
def test_another_type_is_415(guard, module_s3, given):
    headers = {"Content-Type": given} if given else {"X-Nothing": "1"}
    check_refused(
        guard, module_s3, 415, "UnsupportedMediaType", {"keys": ["key"]}, headers=headers
    )


def test_a_promised_body_that_is_too_large_is_413_before_it_comes(guard, module_s3):
    head = (
        "POST /file/bucket?delete HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {4 * MIB + 1}\r\nExpect: 100-continue\r\n\r\n"
    )
    answer = ask(guard.port, head.encode())
    assert answer.status == 413, "a 100 or nothing came first"
    assert b"EntityTooLarge" in answer.body


def test_a_body_of_unknown_length_that_is_too_large_is_413(guard, module_s3):
    body = iter([b'{"keys":["key"', *[b" " * MIB] * 4, b"]}"])
    answer = guard.request("POST", "/file/bucket?delete", data=body, headers=JSON)
    check_error(answer, 413, "EntityTooLarge")
    body = b'{"keys":["key"]' + b" " * 4 * MIB + b"}"
    check_refused(guard, module_s3, 413, "EntityTooLarge", body)


def test_the_largest_body_is_taken(start_service, s3):
    s3.put("bucket", "key", b"x")
    body = b'{"keys":["key"]' + b" " * (4 * MIB - 16) + b"}"
    assert len(body) == 4 * MIB
    assert post(start_service(s3), "bucket", body).json()["data"]["deleted"] == ["key"]


def test_a_body_shorter_than_promised_deletes_nothing(guard, module_s3):
    seen = len(module_s3.requests())
    head = (
        b"POST /file/bucket?delete HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100\r\n\r\n"
    )
    with connect(guard.port) as s:
        s.sendall(head + b'{"keys":["key"]}')
        reset(s)
    guard.wait_log(lambda line: line.get("bytes_in") == 16, "the client that went away")
    assert len(module_s3.requests()) == seen
    assert module_s3.object("bucket", "key") is not None


def test_too_many_bodies_at_once_are_503(start_service, s3):
    """17 lists of 4 MiB but one byte, where a worker keeps 64 MiB: one at least is told to wait."""
    s3.make_bucket("bucket")
    service = start_service(s3, WORKERS="1")
    head = (
        "POST /file/bucket?delete HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {4 * MIB}\r\n\r\n"
    )
    waiting = [connect(service.port) for _ in range(17)]
    for s in waiting:
        s.sendall(head.encode() + b" " * (4 * MIB - 1))
    refused = select.select(waiting, [], [], 20)[0]
    assert refused, "all of them are kept"
    answer = read_answer(refused[0])
    assert (answer.status, json.loads(answer.body)["code"]) == (503, "ServiceUnavailable")
    assert int(answer.headers["retry-after"]) > 0
    for s in waiting:
        reset(s)
    service.wait_log(
        lambda _: sum(line.get("method") == "POST" for line in service.logs()) == 17, "all are gone"
    )
    assert remove(service, "bucket", ["a"]) == (["a"], [])


# Rules of buckets


def test_a_bucket_that_is_not_allowed_is_403(start_service, s3):
    service = start_service(s3, BUCKET_ALLOWLIST="allowed")
    check_error(post(service, "bucket", {"keys": ["a"]}), 403, "AccessDenied")
    assert s3.requests() == []


def test_the_prefix_of_bucket_names_is_added(start_service, s3):
    s3.put("secret-bucket", "a", b"x")
    assert remove(start_service(s3, BUCKET_PREFIX="secret-"), "bucket", ["a"]) == (["a"], [])
    assert s3.buckets["secret-bucket"] == {}


def test_an_api_key_is_needed(start_service, s3):
    s3.make_bucket("bucket")
    service = start_service(s3, API_KEYS="alpha-key-1")
    check_error(post(service, "bucket", {"keys": ["a"]}), 401)
    headers = {**JSON, "Authorization": "Bearer alpha-key-1"}
    assert post(service, "bucket", {"keys": ["a"]}, headers).status_code == 200


def test_a_missing_bucket_is_404_and_not_made(door, bucket):
    service, server = door
    check_error(post(service, bucket, {"keys": ["a"]}), 404, "NoSuchBucket")
    assert bucket not in [b["Name"] for b in server.s3.list_buckets()["Buckets"]]


# What S3 does wrong


def test_access_denied_by_s3_is_403(start_service, s3):
    s3.script_always("DeleteObjects", Answer(403, error="AccessDenied"))
    check_error(post(start_service(s3), "bucket", {"keys": ["a"]}), 403, "AccessDenied")


@pytest.mark.parametrize(
    "fault",
    [
        Answer(500, error="InternalError"),
        Answer(503, error="SlowDown"),
        Answer(close_before=True),
        Answer(reset_after=10),
        Answer(200, body=b"<DeleteResult><Deleted>"),
        Answer(200, body=b""),
        Answer(200, error="InternalError"),
        Answer(200, body=b"<DeleteResult></DeleteResult>", close_after=10, apply=True),
    ],
    ids=["500", "SlowDown", "closed", "reset", "cut", "empty", "error-in-200", "lost"],
)
def test_a_deletion_that_fails_once_is_sent_again_whole(start_service, s3, fault):
    for key in ("a", "b"):
        s3.put("bucket", key, b"x")
    s3.script("DeleteObjects", fault)
    assert remove(start_service(s3), "bucket", ["a", "b"]) == (["a", "b"], [])
    tries = s3.requests("DeleteObjects")
    assert len(tries) == 2
    assert s3.buckets["bucket"] == {}


@pytest.mark.parametrize(
    "body",
    [
        b"<DeleteResult><Deleted><Key>a</Key></Deleted>",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><DeleteResult/>",
        b"<DeleteResult>" + b"<Deleted><Key>a</Key></Deleted>" * 1001 + b"</DeleteResult>",
        b"<html>not S3</html>",
    ],
    ids=["cut", "dtd", "too-many", "html"],
)
def test_an_answer_that_cannot_be_read_is_502(start_service, s3, body):
    s3.script_always("DeleteObjects", Answer(200, body=body))
    service = start_service(s3, S3_MAX_ATTEMPTS="2")
    check_error(post(service, "bucket", {"keys": ["a"]}), 502)
    assert len(s3.requests("DeleteObjects")) == 2


def test_an_s3_that_hangs_is_504(start_service, s3):
    s3.script_always("DeleteObjects", Answer(hang=True))
    service = start_service(s3, S3_TIMEOUT_MS="1000", S3_MAX_ATTEMPTS="1")
    answer = post(service, "bucket", {"keys": ["a"]})
    check_error(answer, 504)
    assert answer.elapsed.total_seconds() < 5


def test_an_s3_that_fails_for_ever_is_502(start_service, s3):
    s3.script_always("DeleteObjects", Answer(500, error="InternalError"))
    check_error(post(start_service(s3), "bucket", {"keys": ["a"]}), 502)


def test_a_client_that_goes_away_ends_the_call(start_service, s3):
    s3.script_always("DeleteObjects", Answer(hang=True))
    service = start_service(s3)
    head = b"POST /file/bucket?delete HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with connect(service.port) as s:
        s.sendall(head + b'Content-Length: 14\r\n\r\n{"keys":["a"]}')
        s3.wait_for("DeleteObjects")
        reset(s)
    service.wait_log(lambda line: line.get("status") == 499, "a client gone")

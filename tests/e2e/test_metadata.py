"""What is stored with a file besides its bytes, as boto3 reads it back."""

import base64
import random
import string
import struct
import zlib

import pytest
from support.checks import check_error, check_stored
from support.raw import ask
from support.service import PART_BYTES

SIZES = [0, 1000, PART_BYTES + 1]
PRINTABLE = "".join(c for c in string.printable if " " <= c <= "~")
STANDARD = {
    "Cache-Control": "max-age=60, public",
    "Content-Disposition": "attachment; filename=\"a b.txt\"; filename*=UTF-8''%C3%A9.txt",
    "Content-Encoding": "gzip",
    "Content-Language": "de, en",
}
USER = {
    "x-amz-meta-author": "Ann",
    "X-Amz-Meta-Mixed-Case": "Kept As It Is",
    "x-amz-meta-printable": "v" + PRINTABLE + "v",
    "x-amz-meta-blanks": "two  blanks,   three",  # a signature takes them for one
    "x-amz-meta-_.~!#$%&'*+-^`|": "a name of all that may be in one",
}


def b64(raw):
    return base64.b64encode(raw).decode()


@pytest.fixture(params=["localstack", "versitygw"])
def door(request):
    """(the service, its S3) for each of the real servers."""
    name = "service" if request.param == "localstack" else "strict_service"
    return request.getfixturevalue(name), request.getfixturevalue(request.param)


def upload(service, way, bucket, content, said):
    if way == "form":
        files = {"file": ("file.bin", content, "application/x-test")}
        return service.request("POST", f"/file/{bucket}", data=said, files=files)
    headers = {"Content-Type": "application/x-test", **said}
    return service.put(f"/file/{bucket}/file.bin", content, headers=headers)


def stored(server, bucket):
    """(user metadata, standard headers) of the object."""
    head = server.s3.head_object(Bucket=bucket, Key="file.bin")
    assert head["ContentType"] == "application/x-test"
    in_boto3 = {name: name.replace("-", "") for name in STANDARD}
    return head["Metadata"], {name: head[b] for name, b in in_boto3.items() if b in head}


def user_of(said):
    prefix = "x-amz-meta-"
    return {
        name.lower().removeprefix(prefix): value
        for name, value in said.items()
        if name.lower().startswith(prefix)
    }


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("way", ["put", "form"])
def test_metadata_is_stored(door, bucket, way, size):
    service, server = door
    content = random.Random(size).randbytes(size)
    said = {**STANDARD, **USER}
    answer = upload(service, way, bucket, content, said)
    assert answer.status_code == 201, answer.text
    assert stored(server, bucket) == (user_of(USER), STANDARD)
    # Uploaded again without any, nothing of it is left.
    check_stored(upload(service, way, bucket, content, {}), content, bucket, "file.bin")
    user, standard = stored(server, bucket)
    assert user == {} and "Cache-Control" not in standard, standard


@pytest.mark.parametrize("way", ["put", "form"])
def test_names_are_without_regard_to_case(door, bucket, way):
    service, server = door
    said = {**STANDARD, "x-amz-meta-author": "Ann"}
    said = {name.upper(): value for name, value in said.items()}
    assert upload(service, way, bucket, b"x", said).status_code == 201
    assert stored(server, bucket) == ({"author": "Ann"}, STANDARD)


def test_an_empty_value_is_stored(strict_service, versitygw, bucket):
    said = {"x-amz-meta-empty": "", "x-amz-meta-after": "it", "Cache-Control": ""}
    for way in ("put", "form"):
        assert upload(strict_service, way, bucket, b"x", said).status_code == 201
        assert stored(versitygw, bucket)[0] == {"empty": "", "after": "it"}


@pytest.mark.parametrize("way", ["put", "form"])
@pytest.mark.parametrize("size", [1000, PART_BYTES + 1])
def test_as_much_as_s3_takes_is_signed_and_stored(door, bucket, way, size):
    """32 names and 2,048 bytes, all other headers, and a checksum: the most that a call can have."""
    service, server = door
    said = {f"x-amz-meta-name-{n:02d}": "v" * (2048 // 32 - 7) for n in range(32)}
    assert sum(len(n) + len(v) for n, v in user_of(said).items()) == 2048
    content = bytes(size)
    checksum = {"x-amz-checksum-crc32": b64(struct.pack(">I", zlib.crc32(content)))}
    answer = upload(service, way, bucket, content, {**said, **STANDARD, **checksum})
    assert answer.status_code == 201, answer.text
    assert stored(server, bucket) == (user_of(said), STANDARD)
    assert answer.json()["data"]["checksum_crc32"] == checksum["x-amz-checksum-crc32"]
    said["x-amz-meta-name-31"] += "v"
    check_error(upload(service, way, bucket, content, said), 400, "MetadataTooLarge")


@pytest.mark.parametrize("way", ["put", "form"])
@pytest.mark.parametrize(
    "said, code",
    [
        ({f"x-amz-meta-{n}": "v" for n in range(33)}, "MetadataTooLarge"),
        ({"x-amz-meta-a": "v" * 2048}, "MetadataTooLarge"),
        ({"x-amz-meta-a": "v" * 5000}, "MetadataTooLarge"),
        ({"Cache-Control": "v" * 2048}, "MetadataTooLarge"),
        ({"x-amz-meta-a": "café".encode()}, "InvalidMetadata"),
        ({"Content-Disposition": 'attachment; filename="é"'.encode()}, "InvalidMetadata"),
        ({"x-amz-meta-": "v"}, "InvalidMetadata"),
        ({"Content-Encoding": "aws-chunked"}, "InvalidRequest"),
        ({"Content-Encoding": "gzip,aws-chunked"}, "InvalidRequest"),
    ],
)
def test_what_s3_would_not_keep_is_refused(strict_service, versitygw, bucket, way, said, code):
    versitygw.s3.create_bucket(Bucket=bucket)
    check_error(upload(strict_service, way, bucket, b"x", said), 400, code)
    assert "Contents" not in versitygw.s3.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize("target", ["PUT /file/bucket/key", "POST /file/bucket"])
@pytest.mark.parametrize(
    "header",
    [
        "Content-Encoding: aws-chunked",
        "X-Amz-Content-Sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    ],
)
def test_a_body_framed_by_an_sdk_is_refused(strict_service, target, header):
    head = f"{target} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n"
    head += f"Content-Type: multipart/form-data; boundary=B\r\n{header}\r\n\r\n"
    answer = ask(strict_service.port, head.encode())
    assert answer.status == 400 and b"aws-chunked" in answer.body, answer


def test_a_header_twice_is_refused(strict_service):
    head = b"PUT /file/bucket/key HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
    answer = ask(strict_service.port, head + b"x-amz-meta-a: 1\r\nX-Amz-Meta-A: 2\r\n\r\nx")
    assert answer.status == 400 and b'"InvalidMetadata"' in answer.body, answer


# Forms

FORM = {"Content-Type": "multipart/form-data; boundary=B"}
FILE = '--B\r\nContent-Disposition: form-data; name="file"; filename="file.bin"\r\n\r\nx\r\n'


def field(name, value):
    return f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'


def post(service, bucket, body, headers=None):
    headers = {**FORM, **(headers or {})}
    return service.request("POST", f"/file/{bucket}", data=body.encode(), headers=headers)


def test_a_form_takes_user_metadata_from_its_request_too(strict_service, versitygw, bucket):
    """Cache-Control of the request is not the file's: browsers send it with every reload."""
    headers = {"x-amz-meta-a": "1", "Cache-Control": "no-cache", "Content-Language": "en"}
    body = field("x-amz-meta-b", "2") + field("Cache-Control", "public") + FILE + "--B--\r\n"
    assert post(strict_service, bucket, body, headers).status_code == 201
    head = versitygw.s3.head_object(Bucket=bucket, Key="file.bin")
    assert head["Metadata"] == {"a": "1", "b": "2"}
    assert head["CacheControl"] == "public" and "ContentLanguage" not in head


@pytest.mark.parametrize(
    "body, code",
    [
        (FILE + field("x-amz-meta-a", "late"), "MalformedForm"),
        (FILE + field("cache-control", "late"), "MalformedForm"),
        (field("x-amz-meta-a", "1") + field("X-Amz-Meta-A", "2") + FILE, "InvalidMetadata"),
        (field("x-amz-meta-a b", "1") + FILE, "InvalidMetadata"),
        (field("x-amz-meta-a: b%0D%0Ax-amz-acl", "1") + FILE, "InvalidMetadata"),
        (field("x-amz-meta-a", "1\r\nx-amz-acl: public-read") + FILE, "InvalidMetadata"),
        (field("x-amz-meta-a", "1\x00") + FILE, "InvalidMetadata"),
        (field("x-amz-meta-" + "a" * 3000, "1") + FILE, "MalformedForm"),
    ],
)
def test_fields_that_are_no_headers_are_refused(strict_service, versitygw, bucket, body, code):
    versitygw.s3.create_bucket(Bucket=bucket)
    check_error(post(strict_service, bucket, body + "--B--\r\n"), 400, code)
    assert "Contents" not in versitygw.s3.list_objects_v2(Bucket=bucket)
    assert versitygw.uploads_left(bucket) == []

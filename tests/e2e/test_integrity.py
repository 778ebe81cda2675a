"""Digests that a client sends with an upload: what holds is stored and answered, what does not
leaves nothing on S3."""

import base64
import functools
import hashlib
import random
import struct
import zlib

import pytest
from s3_stand_in import Answer
from support.checks import check_error, check_stored
from support.raw import connect, read_answer
from support.service import PART_BYTES
from support.waiting import wait_until

SIZES = [0, 1000, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES + 12_345]
CRC64NVME_REFLECTED = 0x9A6C9329AC4BC9B5
ONES = (1 << 64) - 1


def _crc64nvme_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (CRC64NVME_REFLECTED if byte & 1 else 0)
        table.append(byte)
    return table


@functools.lru_cache(maxsize=None)
def crc64nvme(data):
    table = _crc64nvme_table()
    crc = ONES
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    return crc ^ ONES


def b64(raw):
    return base64.b64encode(raw).decode()


def b64_hash(name, data):
    return b64(hashlib.new(name, data).digest())


# How each way to send a digest is written, of some bytes.
DIGESTS = {
    "Content-MD5": lambda data: b64_hash("md5", data),
    "Content-Digest": lambda data: f"sha-256=:{b64_hash('sha256', data)}:",
    "content-digest": lambda data: f"md5=:AAAA:, sha-512=:{b64_hash('sha512', data)}:",
    "x-amz-checksum-crc32": lambda data: b64(struct.pack(">I", zlib.crc32(data))),
    "x-amz-checksum-crc64nvme": lambda data: b64(struct.pack(">Q", crc64nvme(data))),
    "x-amz-checksum-sha256": lambda data: b64_hash("sha256", data),
}
# What S3 calls those that it is given: in boto3, and in `data`.
AT_S3 = {
    "x-amz-checksum-crc32": ("ChecksumCRC32", "checksum_crc32"),
    "x-amz-checksum-crc64nvme": ("ChecksumCRC64NVME", "checksum_crc64nvme"),
    "x-amz-checksum-sha256": ("ChecksumSHA256", "checksum_sha256"),
}
ANOTHER = b"something else"


@functools.lru_cache(maxsize=None)
def content_of(size):
    return random.Random(size).randbytes(size)


@pytest.fixture(params=["localstack", "versitygw"])
def door(request):
    """(the service, its S3) for each of the real servers."""
    name = "service" if request.param == "localstack" else "strict_service"
    return request.getfixturevalue(name), request.getfixturevalue(request.param)


def pieces_of(content):
    """A generator: requests sends it chunked, of unknown length."""
    for at in range(0, len(content), 100_003):
        yield content[at : at + 100_003]


def upload(service, way, bucket, content, digests):
    if way == "form":
        files = {"file": ("file.bin", content, "application/x-test")}
        return service.request("POST", f"/file/{bucket}", data=digests, files=files)
    body = content if way == "put" else pieces_of(content)
    return service.put(f"/file/{bucket}/file.bin", body, headers=digests)


def check_no_uploads(server, bucket):
    """A part that was cut on its way may land after the abort; the service then aborts again."""
    wait_until(lambda: not server.uploads_left(bucket), 5, "the multipart upload is aborted")


def check_nothing_left(server, bucket):
    assert "Contents" not in server.s3.list_objects_v2(Bucket=bucket)
    check_no_uploads(server, bucket)
    assert "Contents" not in server.s3.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", DIGESTS)
@pytest.mark.parametrize("way", ["put", "put-chunked", "form"])
def test_an_upload_is_what_its_digest_says(door, bucket, way, name, size):
    service, server = door
    content = content_of(size)
    server.s3.create_bucket(Bucket=bucket)
    wrong = DIGESTS[name](ANOTHER)
    check_error(upload(service, way, bucket, content, {name: wrong}), 400, "BadDigest")
    check_nothing_left(server, bucket)

    right = DIGESTS[name](content)
    answer = upload(service, way, bucket, content, {name: right})
    data = check_stored(answer, content, bucket, "file.bin")
    check_no_uploads(server, bucket)
    if name in AT_S3:
        in_boto3, in_data = AT_S3[name]
        head = server.s3.head_object(Bucket=bucket, Key="file.bin", ChecksumMode="ENABLED")
        # A SHA-256 of a multipart upload has no full-object form: the service alone has checked it.
        expected = None if "sha256" in name and size > PART_BYTES else right
        assert (head.get(in_boto3), data.get(in_data)) == (expected, expected)


@pytest.mark.parametrize("size", [1000, PART_BYTES + 1])
@pytest.mark.parametrize("way", ["put", "form"])
def test_all_digests_at_once(door, bucket, way, size):
    """S3 takes only one x-amz-checksum: the CRC64NVME is passed on, the rest is checked here."""
    service, server = door
    content = content_of(size)
    digests = {name: of(content) for name, of in DIGESTS.items() if name != "content-digest"}
    answer = upload(service, way, bucket, content, digests)
    data = check_stored(answer, content, bucket, "file.bin")
    assert data["checksum_crc64nvme"] == digests["x-amz-checksum-crc64nvme"]
    for name in digests:
        wrong = {**digests, name: DIGESTS[name](ANOTHER)}
        answer = upload(service, way, bucket, content, wrong)
        # SHA-256 is there twice: two values of it contradict each other before any byte.
        twice = name in ("Content-Digest", "x-amz-checksum-sha256")
        check_error(answer, 400, "InvalidDigest" if twice else "BadDigest")
    check_no_uploads(server, bucket)
    assert server.s3.head_object(Bucket=bucket, Key="file.bin")["ETag"] == data["etag"]


# What is malformed

MALFORMED = [
    ("Content-MD5", "x"),
    ("Content-MD5", hashlib.md5(b"").hexdigest()),
    ("Content-Digest", "sha-256"),
    ("Content-Digest", f"sha-256={b64_hash('sha256', b'')}"),
    ("Content-Digest", f"sha-256=:{b64_hash('md5', b'')}:"),
    ("x-amz-checksum-crc32", "AAAAAAAAAAA="),
    ("x-amz-checksum-crc64nvme", "AAAAAA=="),
    ("x-amz-checksum-sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
]


@pytest.mark.parametrize("name, value", MALFORMED)
@pytest.mark.parametrize("target", ["PUT /file/bucket/key", "POST /file/bucket"])
def test_a_malformed_digest_is_refused_before_the_body(strict_service, target, name, value):
    head = f"{target} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n"
    head += f"Content-Type: multipart/form-data; boundary=B\r\n{name}: {value}\r\n\r\n"
    with connect(strict_service.port) as s:
        s.sendall(head.encode())
        answer = read_answer(s)
    assert answer.status == 400 and b'"InvalidDigest"' in answer.body, answer


@pytest.mark.parametrize("name, value", MALFORMED)
def test_a_malformed_field_is_refused(strict_service, bucket, name, value):
    check_error(upload(strict_service, "form", bucket, b"x", {name: value}), 400, "InvalidDigest")


@pytest.mark.parametrize("way", ["put", "form"])
def test_a_checksum_that_is_not_checked_here_is_refused(strict_service, bucket, way):
    answer = upload(strict_service, way, bucket, b"x", {"x-amz-checksum-crc32c": "AAAAAA=="})
    assert "x-amz-checksum-crc32c" in check_error(answer, 400, "InvalidRequest")["message"]


# Forms

FORM = {"Content-Type": "multipart/form-data; boundary=B"}


def form_of(content, before=b"", after=b""):
    return (
        before
        + b'--B\r\nContent-Disposition: form-data; name="file"; filename="file.bin"\r\n\r\n'
        + content
        + b"\r\n"
        + after
        + b"--B--\r\nand an epilogue"
    )


def field(name, value):
    return f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


@pytest.mark.parametrize("size", [0, PART_BYTES + 1])
@pytest.mark.parametrize("name", DIGESTS)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_header_of_a_form_covers_the_whole_form(door, bucket, name, size, chunked):
    service, server = door
    server.s3.create_bucket(Bucket=bucket)
    content = content_of(size)
    body = form_of(content)

    def post(digest):
        data = pieces_of(body) if chunked else body
        headers = {**FORM, name: digest}
        return service.request("POST", f"/file/{bucket}", data=data, headers=headers)

    of_the_file = DIGESTS[name](content)
    check_error(post(of_the_file), 400, "BadDigest")
    check_nothing_left(server, bucket)
    check_stored(post(DIGESTS[name](body)), content, bucket, "file.bin")


@pytest.mark.parametrize("name", ["Content-MD5", "X-AMZ-CHECKSUM-CRC32"])
def test_a_field_after_the_file_is_refused(strict_service, versitygw, bucket, name):
    versitygw.s3.create_bucket(Bucket=bucket)
    body = form_of(b"x", after=field(name, "AAAAAA=="))
    answer = strict_service.request("POST", f"/file/{bucket}", data=body, headers=FORM)
    assert "before the part file" in check_error(answer, 400, "MalformedForm")["message"]
    check_nothing_left(versitygw, bucket)


# What S3 is asked


def checksum_headers(request):
    return {n: v for n, v in request.headers.items() if n.startswith("x-amz-checksum")}


@pytest.mark.parametrize("name", DIGESTS)
@pytest.mark.parametrize("size", [1000, 2 * PART_BYTES + 12_345])
def test_a_bad_digest_is_found_before_s3_could_show_the_object(start_service, s3, name, size):
    service = start_service(s3)
    s3.make_bucket("bucket")
    answer = upload(service, "put", "bucket", content_of(size), {name: DIGESTS[name](ANOTHER)})
    check_error(answer, 400, "BadDigest")
    if size > PART_BYTES:
        s3.wait_for("AbortMultipartUpload")
    asked = set(s3.operations())
    assert asked <= {"CreateMultipartUpload", "UploadPart", "AbortMultipartUpload"}, asked
    assert s3.object("bucket", "file.bin") is None and s3.uploads == {}


def test_s3_is_told_nothing_that_nobody_said(start_service, s3):
    service = start_service(s3)
    for size in (1000, PART_BYTES + 1):
        answer = upload(service, "put", "bucket", content_of(size), {})
        assert not any("checksum" in name for name in answer.json()["data"])
    assert all(checksum_headers(r) == {} for r in s3.requests())


@pytest.mark.parametrize("name", list(AT_S3))
def test_s3_gets_what_each_call_takes(start_service, s3, name):
    service = start_service(s3)
    s3.make_bucket("bucket")
    small, large = content_of(1000), content_of(2 * PART_BYTES + 12_345)
    right = {name: DIGESTS[name](small)}
    assert upload(service, "put", "bucket", small, right).status_code == 201
    assert [checksum_headers(r) for r in s3.requests("PutObject")] == [right]

    right = {name: DIGESTS[name](large)}
    assert upload(service, "put", "bucket", large, right).status_code == 201
    crc = "crc" in name
    full = {"x-amz-checksum-type": "FULL_OBJECT"} if crc else {}
    kind = {"x-amz-checksum-algorithm": name.rsplit("-", 1)[1].upper()} if crc else {}
    [create] = s3.requests("CreateMultipartUpload")
    assert checksum_headers(create) == {**kind, **full}
    parts = [large[at : at + PART_BYTES] for at in range(0, len(large), PART_BYTES)]
    for part in s3.requests("UploadPart"):
        of_part = DIGESTS[name](parts[int(part.query["partNumber"]) - 1])
        assert checksum_headers(part) == ({name: of_part} if crc else {})
    [complete] = s3.requests("CompleteMultipartUpload")
    assert checksum_headers(complete) == ({**right, **full} if crc else {})
    element = AT_S3[name][0].encode()
    assert complete.body.count(b"<%s>" % element) == (len(parts) if crc else 0)


def test_a_part_is_sent_again_with_its_checksum(start_service, s3):
    service = start_service(s3)
    s3.make_bucket("bucket")
    s3.script("UploadPart", Answer(503, error="SlowDown"))
    s3.script("CompleteMultipartUpload", Answer(200, error="InternalError"))
    content = content_of(PART_BYTES + 1)
    name = "x-amz-checksum-crc32"
    answer = upload(service, "put", "bucket", content, {name: DIGESTS[name](content)})
    assert answer.status_code == 201, answer.text
    parts = s3.requests("UploadPart")
    sent = {r.query["partNumber"]: r.headers[name] for r in parts}
    assert len(parts) == 3 and all(r.headers[name] == sent[r.query["partNumber"]] for r in parts)
    assert len(s3.requests("CompleteMultipartUpload")) == 2


@pytest.mark.parametrize("size", [1000, PART_BYTES + 1])
def test_bytes_that_change_behind_us_are_no_fault_of_the_client(start_service, s3, size):
    service = start_service(s3)
    s3.make_bucket("bucket")
    s3.script("PutObject", Answer(400, error="BadDigest"))
    s3.script("CompleteMultipartUpload", Answer(400, error="BadDigest"))
    content = content_of(size)
    name = "x-amz-checksum-crc64nvme"
    answer = upload(service, "put", "bucket", content, {name: DIGESTS[name](content)})
    check_error(answer, 502, "BadDigest")
    wait_until(lambda: s3.uploads == {}, 5, "the upload is aborted")
    assert s3.object("bucket", "file.bin") is None


def test_what_s3_says_by_itself_is_passed_on(start_service, s3):
    """S3 computes a CRC64NVME when it is given nothing; a checksum of parts' checksums is not the
    file's."""
    service = start_service(s3)
    s3.make_bucket("bucket")
    headers = {"ETag": '"e"', "x-amz-checksum-crc64nvme": "rosUhgp5mIg="}
    s3.script("PutObject", Answer(200, headers=headers))
    data = upload(service, "put", "bucket", b"123456789", {}).json()["data"]
    assert data["checksum_crc64nvme"] == "rosUhgp5mIg="
    document = (
        b"<CompleteMultipartUploadResult><ETag>&quot;e-2&quot;</ETag>"
        b"<ChecksumCRC32>y/Q5Jg==-2</ChecksumCRC32><ChecksumCRC64NVME>rosUhgp5mIg="
        b"</ChecksumCRC64NVME></CompleteMultipartUploadResult>"
    )
    s3.script("CompleteMultipartUpload", Answer(200, body=document))
    data = upload(service, "put", "bucket", content_of(PART_BYTES + 1), {}).json()["data"]
    assert data["checksum_crc64nvme"] == "rosUhgp5mIg=" and "checksum_crc32" not in data

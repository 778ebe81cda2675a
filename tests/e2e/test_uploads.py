"""Contents: what was uploaded comes back, byte for byte, for sizes, keys and many clients."""

import concurrent.futures
import hashlib
import http.client
import random

import pytest
from support.checks import check_stored, check_url, sha256
from support.paths import is_sanitized
from support.raw import fetch, path_of
from support.service import PART_BYTES

MIB = 1 << 20
SIZES = [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 40 * MIB]
MEMORY_MAX_KIB = 64 * 1024
CLIENTS = 32


def content_of(size, seed=0):
    return random.Random(f"{size} {seed}").randbytes(size)


def pieces_of(content, piece_bytes=100_003):
    """A generator: requests sends it chunked, of unknown length."""
    for at in range(0, len(content), piece_bytes):
        yield content[at : at + piece_bytes]


@pytest.fixture(params=["localstack", "versitygw"])
def door(request):
    """(the service, its S3) for each of the real servers."""
    name = "service" if request.param == "localstack" else "strict_service"
    return request.getfixturevalue(name), request.getfixturevalue(request.param)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("way", ["put", "put-chunked", "post"])
def test_a_file_of_any_size_comes_back_whole(door, bucket, way, size):
    service, server = door
    content = content_of(size)
    if way == "post":
        files = {"file": ("file.bin", content, "application/x-test")}
        answer = service.request("POST", f"/file/{bucket}", files=files)
    else:
        body = content if way == "put" else pieces_of(content)
        headers = {"Content-Type": "application/x-test"}
        answer = service.put(f"/file/{bucket}/file.bin", body, headers=headers)
    data = check_stored(answer, content, bucket, "file.bin")
    head = server.s3.head_object(Bucket=bucket, Key="file.bin")
    assert (head["ContentLength"], head["ETag"]) == (size, data["etag"])
    assert head["ContentType"] == "application/x-test"
    assert ("-" in data["etag"]) == (size > PART_BYTES), "parts only above UPLOAD_PART_BYTES"
    assert server.uploads_left(bucket) == []
    assert service.request("DELETE", f"/file/{bucket}/file.bin").status_code == 200


def test_a_large_file_passes_through_little_memory(start_service, versitygw, bucket):
    """A sanitizer has memory of its own: there only the content is compared, of a smaller file."""
    sanitized = is_sanitized()
    size = 256 * MIB if sanitized else 1024 * MIB
    block = content_of(MIB)
    digest = hashlib.sha256()

    def pieces():
        for number in range(size // MIB):
            piece = number.to_bytes(8, "big") + block[8:]
            digest.update(piece)
            yield piece

    service = start_service(versitygw, UPLOAD_PART_BYTES=None)  # the default
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=120)
    headers = {"Content-Length": str(size)}
    connection.request("PUT", f"/file/{bucket}/large", body=pieces(), headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 201, body
    peak_kib = peak_memory_kib(service.pid)
    found = fetch("GET", service.get(f"/file/{bucket}/large").json()["data"]["location"])
    versitygw.s3.delete_object(Bucket=bucket, Key="large")
    assert (found.size, found.sha256) == (size, digest.hexdigest())
    assert sanitized or peak_kib < MEMORY_MAX_KIB, f"{peak_kib} KiB"


def peak_memory_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1])


# Keys that are easily mangled

PIECES = [
    " ", "+", "%", "%20", "%2F", "%252e", "&", "#", "?", "=", "~", "'", '"', "\\", ";", ":", "@",
    "!", "$", "*", "(", ")", ",", "[", "]", "{", "}", "|", "^", "`", "<", ">", "/", "a", "Z", "9",
    ".", "..x", "-", "_", "é", "e\u0301", "ß", "中文", "ключ", "😀", "\u202e", "\u00a0", "\ufeff",
]  # fmt: skip


def nasty_keys(count):
    """Different keys that versitygw's folders can hold: no empty or dot segment, none over 255
    bytes, and a first segment of its own for each."""
    pick = random.Random(20240229)
    keys = ["/".join(["000" + "é" * 126, "x" * 255, "+" * 255, "%" * 200, "~" * 55])]
    while len(keys) < count:
        lead = "".join(p for p in pick.choices(PIECES, k=pick.randint(0, 3)) if p != "/")
        rest = "".join(pick.choices(PIECES, k=pick.randint(1, 12)))
        segments = [
            s for s in f"{lead}{len(keys):03d}{rest}".split("/") if s not in ("", ".", "..")
        ]
        keys.append("/".join(segments))
    return keys


def round_trip(service, bucket, key):
    """Uploads, asks, fetches and deletes; returns what went wrong, in words, or None."""
    content = b"content of " + key.encode()
    url = service.url + path_of(bucket, key)
    put = fetch("PUT", url, body=content)
    if put.status != 201:
        return f"PUT {key!r}: {put.status} {put.first}"
    get = fetch("GET", url + "?delivery=redirect")
    if get.status != 302:
        return f"GET {key!r}: {get.status} {get.first}"
    found = fetch("GET", get.headers["Location"])
    if found.sha256 != sha256(content):
        return f"presigned GET {key!r}: {found.status} {found.first}"
    deleted = fetch("DELETE", url)
    if deleted.status != 200:
        return f"DELETE {key!r}: {deleted.status} {deleted.first}"
    return None


def test_nasty_keys_are_signed_and_encoded_right(strict_service, bucket):
    keys = nasty_keys(200)
    assert len(set(keys)) == 200 and len(keys[0].encode()) == 1024
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda key: round_trip(strict_service, bucket, key), keys))
    wrong = [words for words in found if words]
    assert not wrong, f"{len(wrong)} of {len(keys)}:\n" + "\n".join(wrong)


def test_a_nasty_key_reaches_s3_as_it_is(service, localstack, bucket):
    keys = sorted(key for key in nasty_keys(60)[1:])
    for key in keys:
        assert fetch("PUT", service.url + path_of(bucket, key), body=b"x").status == 201, key
    listed = localstack.s3.list_objects_v2(Bucket=bucket, MaxKeys=1000)["Contents"]
    assert sorted(o["Key"] for o in listed) == keys


# Many clients


def test_many_clients_at_once_get_their_own_bytes(strict_service, versitygw, bucket):
    def upload(number):
        content = content_of(6 * MIB if number % 2 else 100_000 + number, seed=number)
        path = f"/file/{bucket}/client-{number}"
        put = fetch("PUT", strict_service.url + path, body=content, timeout_s=60)
        assert put.status == 201, f"client {number}: {put.status} {put.first}"
        get = fetch("GET", strict_service.url + path + "?delivery=redirect")
        check_url(get.headers["Location"], content)

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(upload, number) for number in range(CLIENTS)]:
            done.result()
    assert versitygw.uploads_left(bucket) == []


def test_many_uploads_share_a_small_budget(start_service, versitygw, bucket):
    """Clients are held back, none fails, none waits for ever."""
    budget = 40 * MIB
    service = start_service(versitygw, UPLOAD_MEMORY_BYTES=budget)
    contents = [content_of(11 * MIB, seed=number) for number in range(4)]

    def upload(number):
        url = f"{service.url}/file/{bucket}/{number}"
        return fetch("PUT", url, body=contents[number % 4], timeout_s=60).status

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert set(pool.map(upload, range(16))) == {201}
    peak_kib = peak_memory_kib(service.pid)
    for number in range(16):
        data = service.get(f"/file/{bucket}/{number}").json()["data"]
        check_url(data["location"], contents[number % 4])
    assert is_sanitized() or peak_kib < (budget + 24 * MIB) // 1024, f"{peak_kib} KiB"


def test_many_clients_on_one_key_leave_one_whole_file(strict_service, bucket):
    contents = [content_of(PART_BYTES + 1000 + number, seed=number) for number in range(8)]
    url = f"{strict_service.url}/file/{bucket}/same"
    assert fetch("PUT", url, body=b"first").status == 201
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        put = pool.map(
            lambda content: fetch("PUT", url, body=content, timeout_s=60).status, contents
        )
        assert set(put) == {201}
    found = fetch("GET", fetch("GET", url + "?delivery=redirect").headers["Location"])
    assert found.sha256 in {sha256(content) for content in contents}


def test_a_kept_connection_serves_many_requests(strict_service, bucket):
    connection = http.client.HTTPConnection("127.0.0.1", strict_service.port, timeout=30)
    connection.connect()
    local = connection.sock.getsockname()
    for number in range(20):
        connection.request("PUT", f"/file/{bucket}/kept-{number}", body=b"x" * number)
        answer = connection.getresponse()
        assert (answer.status, bool(answer.read())) == (201, True)
        assert connection.sock is not None and connection.sock.getsockname() == local
    connection.close()

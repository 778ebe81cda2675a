"""More uploads than the memory holds: who waits, who is cut, and that all others get their bytes."""

import concurrent.futures
import contextlib
import select
import threading
import time

import pytest
from support.checks import check_url
from support.raw import connect, fetch, read_answer
from support.service import PART_BYTES
from support.waiting import wait_until
from test_uploads import content_of

KIB = 1 << 10
MIB = 1 << 20
CHUNK_BYTES = 64 * KIB
MEMORY_BYTES = 20 * MIB  # reservations of 240 chunks; a part of 5 MiB takes 80 of them
REST_BYTES = 80 * CHUNK_BYTES  # takes what two parts leave


@pytest.fixture
def door(start_service, versitygw, bucket):
    """The service with little memory, and the path of a bucket that is there already."""
    service = start_service(versitygw, UPLOAD_MEMORY_BYTES=MEMORY_BYTES)
    path = f"/file/{bucket}"
    assert service.put(f"{path}/first", b"x").status_code == 201
    return service, path


@contextlib.contextmanager
def begun(service, paths, length):
    """Clients that have sent the heads of their uploads."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(service.port, 60)) for _ in paths]
        for s, path in zip(clients, paths, strict=True):
            head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
            s.sendall(head.encode())
        yield clients


@contextlib.contextmanager
def trickling(clients, content, bytes_per_s, at=0):
    """Sends on, slowly, from a thread, as long as the block runs. Yields the position, in a list."""
    end = threading.Event()
    position = [at]

    def run():
        step = bytes_per_s // 10
        while not end.wait(0.1):
            for s in clients:
                s.sendall(content[position[0] : position[0] + step])
            position[0] += step

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        done = pool.submit(run)
        try:
            yield position
        finally:
            end.set()
            done.result()


def all_is_read(clients):
    """Whether what these sockets sent has left the kernel at both ends. Of two chunks more than one
    was taken then, so the room of the whole part was asked for."""
    ports = {s.getsockname()[1] for s in clients}
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table][1:]
    ours = [r for r in rows if ports & {int(r[1][-4:], 16), int(r[2][-4:], 16)}]
    return all(r[4] == "00000000:00000000" for r in ours)


def check_overload(answer):
    assert answer is not None and answer.status == 503, answer
    assert int(answer.headers["retry-after"]) > 0
    assert b"try again" in answer.body


def is_readable(s, timeout_s):
    return bool(select.select([s], [], [], timeout_s)[0])


def check_whole(service, path, content):
    check_url(service.get(path).json()["data"]["location"], content)


def test_ordinary_uploads_pass_those_that_trickle_and_those_that_stall(door, versitygw, bucket):
    """40 clients trickle and never fill a chunk. Three hold all room, a part each, and stall, one of
    them after a part that S3 has. All others finish. Who stalls is told if others waited; the last may
    have been in nobody's way any more, and ends well when it goes on."""
    service, path = door
    large = [content_of(11 * MIB, seed=n) for n in range(8)]
    small = content_of(60 * KIB)

    def upload(name, content):
        start = time.monotonic()
        put = fetch("PUT", f"{service.url}{path}/{name}", body=content, timeout_s=60)
        assert put.status == 201, f"{name}: {put.status} {put.first}"
        return time.monotonic() - start

    positions = [PART_BYTES + 2 * CHUNK_BYTES, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES]
    stalled_paths = [f"{path}/stalled-{n}" for n in range(3)]
    slow_paths = [f"{path}/slow-{n}" for n in range(40)]
    with (
        begun(service, stalled_paths, 11 * MIB) as stalled,
        begun(service, slow_paths, MIB) as slow,
        trickling(slow, small, 1 * KIB),
        concurrent.futures.ThreadPoolExecutor(24) as pool,
    ):
        for s, at in zip(stalled, positions, strict=True):
            s.sendall(large[0][:at])
        wait_until(lambda: all_is_read(stalled), 5, "the room is theirs")
        time_of_small = [pool.submit(upload, f"small-{n}", small) for n in range(16)]
        time_of_large = [pool.submit(upload, f"large-{n}", c) for n, c in enumerate(large)]
        assert max(t.result() for t in time_of_small) < 8, "a first chunk was waited for"
        assert max(t.result() for t in time_of_large) < 28, "the line does not move"
        cut = [is_readable(s, 1) for s in stalled]
        assert any(cut), "who stalls keeps the room that others wait for"
        for s, at, was_cut in zip(stalled, positions, cut, strict=True):
            if was_cut:
                check_overload(read_answer(s))
            else:
                s.sendall(large[0][at:])
                assert read_answer(s).status == 201
    for n, content in enumerate(large):
        check_whole(service, f"{path}/large-{n}", content)
    wait_until(lambda: not versitygw.uploads_left(bucket), 5, "nothing is left on S3")
    found = versitygw.s3.list_objects_v2(Bucket=bucket)["Contents"]
    stored = [o["Key"].split("-")[0] for o in found]
    assert {name: stored.count(name) for name in set(stored) - {"stalled"}} == {
        "first": 1,
        "small": 16,
        "large": 8,
    }
    assert stored.count("stalled") == cut.count(False)


def test_who_waits_30_s_for_room_is_told_to_come_back(door, versitygw, bucket):
    """Three uploads that are just quick enough hold all room. One waiter has a part on S3 by then."""
    service, path = door
    content = content_of(11 * MIB)
    middle = PART_BYTES + KIB

    with (
        begun(service, [f"{path}/waits-{n}" for n in range(2)], 11 * MIB) as waiting,
        begun(service, [f"{path}/holds-{n}" for n in range(2)], 11 * MIB) as holding,
        begun(service, [f"{path}/holds-rest"], REST_BYTES) as rest,
    ):
        waiting[0].sendall(content[:middle])
        wait_until(lambda: versitygw.uploads_left(bucket), 5, "a multipart upload has begun")
        for s in (*holding, *rest):
            s.sendall(content[: 2 * CHUNK_BYTES])
        wait_until(lambda: all_is_read([*holding, *rest]), 5, "the room is theirs")
        with trickling([*holding, *rest], content, 40 * KIB, at=2 * CHUNK_BYTES) as position:
            start = time.monotonic()
            waiting[0].sendall(content[middle : middle + 2 * CHUNK_BYTES])
            waiting[1].sendall(content[: 2 * CHUNK_BYTES])
            for s in waiting:
                check_overload(read_answer(s))
            assert 29 < time.monotonic() - start < 40
        for s in holding:
            s.sendall(content[position[0] :])
        rest[0].sendall(content[position[0] : REST_BYTES])
        for s in (*holding, *rest):
            answer = read_answer(s)
            assert answer is not None and answer.status == 201, answer
    for n in range(2):
        check_whole(service, f"{path}/holds-{n}", content)
    check_whole(service, f"{path}/holds-rest", content[:REST_BYTES])
    wait_until(lambda: not versitygw.uploads_left(bucket), 5, "nothing is left on S3")
    found = versitygw.s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert {o["Key"].split("-")[0] for o in found} == {"first", "holds"}

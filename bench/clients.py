"""Clients that no tool at hand can be: many at once, slow ones, one that sends a file several times as one."""

import contextlib
import dataclasses
import json
import socket
import threading
import time

from report import Failed
from support.raw import connect, read_answer

BOUNDARY = "benchmark"
TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()
ANSWER_TIMEOUT_S = 300


@dataclasses.dataclass(frozen=True)
class Upload:
    """`size` bytes of a file from `begin` on, over and over where the file is shorter."""

    source: object
    key: str
    begin: int
    size: int

    def ranges(self):
        """(offset, size) of each piece of the file, in order."""
        offset, left = self.begin % self.source.size, self.size
        while left > 0:
            n = min(left, self.source.size - offset)
            yield offset, n
            offset, left = 0, left - n


def _form_begin(upload):
    """Everything before the file."""
    part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{upload.key}"\r\n\r\n'
    head = (
        f"POST /file/bench HTTP/1.1\r\nHost: bench\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(part) + upload.size + len(TAIL)}\r\n\r\n"
    )
    return (head + part).encode()


def _check_created(s, upload):
    answer = read_answer(s)
    if answer is None or answer.status != 201:
        said = "no answer" if answer is None else f"{answer.status} {answer.body.decode(errors='replace')}"
        raise Failed(f"the upload of {upload.key}: {said}")
    if json.loads(answer.body)["data"]["size"] != upload.size:
        raise Failed(f"the upload of {upload.key} says another size: {answer.body.decode()}")


def send_form(port, upload):
    """As fast as it goes."""
    with connect(port, ANSWER_TIMEOUT_S) as s, open(upload.source.path, "rb") as file:
        # Refused early: the answer says why, and is read below.
        with contextlib.suppress(ConnectionError):
            s.sendall(_form_begin(upload))
            for offset, size in upload.ranges():
                s.sendfile(file, offset, size)
            s.sendall(TAIL)
        _check_created(s, upload)


def send_forms_at_once(port, uploads):
    failures = []
    start = threading.Barrier(len(uploads))

    def run(upload):
        start.wait()
        try:
            send_form(port, upload)
        except (Failed, OSError) as failure:
            failures.append(f"{upload.key}: {failure}")

    threads = [threading.Thread(target=run, args=[upload], daemon=True) for upload in uploads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise Failed(f"{len(failures)} of {len(uploads)} uploads failed; the first: {failures[0]}")


def send_forms_slowly(port, uploads, seconds, steps):
    """All at once, each a little at every step. The pieces are small enough for the buffers of the kernel."""
    with contextlib.ExitStack() as open_things:
        senders = []
        for upload in uploads:
            with open(upload.source.path, "rb") as file:
                file.seek(upload.begin)
                body = file.read(upload.size) + TAIL
            s = open_things.enter_context(connect(port, ANSWER_TIMEOUT_S))
            s.sendall(_form_begin(upload))
            senders.append((s, body))
        begin = time.monotonic()
        for step in range(steps):
            for s, body in senders:
                with contextlib.suppress(ConnectionError):
                    s.sendall(body[len(body) * step // steps : len(body) * (step + 1) // steps])
            time.sleep(max(0, begin + seconds * (step + 1) / steps - time.monotonic()))
        for (s, _), upload in zip(senders, uploads, strict=True):
            _check_created(s, upload)


def read_slowly(port, path, count, seconds, steps, piece_bytes):
    """`count` clients at once ask for a path, read a piece at every step, and go. Returns the beginning of the body
    that each has read."""
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
    received = [b""] * count
    with contextlib.ExitStack() as open_things:
        readers = []
        for _ in range(count):
            s = open_things.enter_context(socket.socket())
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, piece_bytes)
            s.settimeout(ANSWER_TIMEOUT_S)
            s.connect(("127.0.0.1", port))
            s.sendall(request)
            readers.append(s)
        begin = time.monotonic()
        for step in range(steps):
            for i, s in enumerate(readers):
                received[i] += s.recv(piece_bytes)
            time.sleep(max(0, begin + seconds * (step + 1) / steps - time.monotonic()))
    bodies = []
    for answer in received:
        head, _, body = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise Failed(f"GET {path}: {answer[:500].decode(errors='replace')}")
        bodies.append(body)
    return bodies

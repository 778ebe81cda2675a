"""HTTP by hand: for requests that no library would send, and URLs that none may tidy up."""

import dataclasses
import hashlib
import http.client
import socket
import struct
import urllib.parse


@dataclasses.dataclass
class RawAnswer:
    status: int
    headers: dict  # names in lower case
    body: bytes


def connect(port, timeout_s=10):
    return socket.create_connection(("127.0.0.1", port), timeout=timeout_s)


def read_answer(s, head_only=False):
    """Reads one answer; None when the connection ends, or is reset, without a whole one."""
    try:
        answer = http.client.HTTPResponse(s, method="HEAD" if head_only else None)
        answer.begin()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return RawAnswer(answer.status, headers, answer.read())
    except (http.client.HTTPException, ConnectionError):
        return None


def ask(port, request, timeout_s=10):
    """Sends bytes as they are. None when the server closed without an answer."""
    with connect(port, timeout_s) as s:
        try:
            s.sendall(request)
        except ConnectionError:
            pass  # it has had enough; what it said before may still be read
        return read_answer(s)


def reset(s):
    """Closes with an RST."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def fetch(method, url, body=None, headers=None, timeout_s=30):
    """One request with the URL's target sent exactly as it is written. The body comes back as its
    SHA-256 and length: presigned URLs are compared by those."""
    parts = urllib.parse.urlsplit(url)
    target = url[url.index(parts.netloc) + len(parts.netloc) :]
    connection = http.client.HTTPConnection(parts.netloc, timeout=timeout_s)
    try:
        connection.request(method, target, body=body, headers=headers or {})
        answer = connection.getresponse()
        digest = hashlib.sha256()
        size = 0
        first = b""
        while piece := answer.read(1 << 20):
            digest.update(piece)
            size += len(piece)
            first = first or piece
        return Fetched(answer.status, dict(answer.getheaders()), digest.hexdigest(), size, first)
    finally:
        connection.close()


@dataclasses.dataclass
class Fetched:
    status: int
    headers: dict
    sha256: str
    size: int
    first: bytes  # the first piece, to be read in a failure


def path_of(bucket, key):
    """The path of a file, every byte of the key that could mean something else encoded."""
    return f"/file/{bucket}/{urllib.parse.quote(key, safe='/~')}"

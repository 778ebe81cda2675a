"""A scripted stand-in for S3, for faults that a real server does not produce on demand.

Unscripted it is a tiny S3 in memory (path style, no signatures checked). A test scripts answers by
operation; they are used up in order:

    s3.script("PutObject", Answer(500, error="InternalError"), Answer(reset_after=1000))
    s3.script_always("UploadPart", Answer(503, error="SlowDown"))

Every request is recorded with operation, headers and the SHA-256 of its body.
"""

import base64
import dataclasses
import hashlib
import re
import time
import urllib.parse
import uuid
from email.utils import formatdate
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from scripted_server import PIECE_BYTES, Connection, Gone, ScriptedServer


@dataclasses.dataclass
class Answer:
    """One scripted answer. Without `hang`, `close_*` and `reset_after` it is a plain response."""

    status: int = 200
    error: str = ""  # code of an S3 error document, made into the body
    headers: dict = dataclasses.field(default_factory=dict)
    body: bytes = b""
    apply: bool = False  # the operation takes effect although this answer is given
    hang: bool = False  # the request is read, and never answered
    close_before: bool = False  # closed after the request was read, without an answer
    close_after: int | None = None  # closed after this many bytes of the answer's body
    reset_after: int | None = None  # RST after this many bytes of the request's body were read
    delay_s: float = 0.0  # before the answer
    late: bool = False  # after delay_s it takes effect and is answered as if it were not scripted


@dataclasses.dataclass
class Recorded:
    operation: str
    method: str
    path: str  # as it was sent
    bucket: str
    key: str
    query: dict
    headers: dict  # names in lower case
    size: int
    sha256: str
    body: bytes  # at most the first PIECE_BYTES
    whole: bool  # the body came to its end
    at: float  # time.monotonic() when the body had ended
    answer_id: str = ""  # x-amz-request-id of the answer; none was given while it is empty


@dataclasses.dataclass
class Stored:
    body: bytes
    etag: str
    content_type: str
    modified: float


@dataclasses.dataclass
class Upload:
    bucket: str
    key: str
    content_type: str
    parts: dict
    initiator: str = "arn:aws:sts::1:assumed-role/files/this-task"
    begun: float = dataclasses.field(default_factory=time.time)


def operation_of(method, bucket, key, query):
    if not bucket:
        return {"GET": "ListBuckets"}.get(method, "Unknown")
    if not key and method == "GET" and "uploads" in query:
        return "ListMultipartUploads"
    if not key:
        if method == "PUT":
            return "PutBucketCors" if "cors" in query else "CreateBucket"
        if method == "POST" and "delete" in query:
            return "DeleteObjects"
        return {"HEAD": "HeadBucket", "GET": "ListObjects", "DELETE": "DeleteBucket"}.get(
            method, "Unknown"
        )
    if method == "PUT":
        return "UploadPart" if "partNumber" in query else "PutObject"
    if method == "POST":
        return "CreateMultipartUpload" if "uploads" in query else "CompleteMultipartUpload"
    if method == "DELETE":
        return "AbortMultipartUpload" if "uploadId" in query else "DeleteObject"
    return {"HEAD": "HeadObject", "GET": "GetObject"}.get(method, "Unknown")


def error_body(code):
    return f"<Error><Code>{escape(code)}</Code><Message>scripted {escape(code)}</Message></Error>"


class _Connection(Connection):
    def _read_body(self, headers, keep, reset_after):
        """Returns (the bytes, or b"" when they are not kept, digest, size, first piece, whole)."""
        digest, size, first, kept = hashlib.sha256(), 0, b"", []
        whole = int(headers.get("content-length", "0"))
        try:
            for piece in self._body_pieces(whole):
                digest.update(piece)
                size += len(piece)
                first = first if len(first) >= PIECE_BYTES else (first + piece)[:PIECE_BYTES]
                if keep:
                    kept.append(piece)
                if reset_after is not None and reset_after <= size < whole:
                    return b"", digest.hexdigest(), size, first, False
        except (OSError, Gone):
            return b"", digest.hexdigest(), size, first, False
        return b"".join(kept), digest.hexdigest(), size, first, True

    def _one_request(self):
        method, target, headers = self._read_head()
        path, _, query_text = target.partition("?")
        query = dict(urllib.parse.parse_qsl(query_text, keep_blank_values=True))
        bucket, _, key = urllib.parse.unquote(path[1:]).partition("/")
        operation = operation_of(method, bucket, key, query)
        answer = self.server.next_answer(operation)
        reset_after = answer.reset_after if answer else None
        keep = answer is None or answer.apply or answer.late
        body, digest, size, first, whole = self._read_body(headers, keep, reset_after)
        request = Recorded(
            operation, method, path, bucket, key, query, headers, size, digest, first, whole,
            time.monotonic(),
        )  # fmt: skip
        self.server.record(request)
        if not whole:
            if reset_after is not None:
                self._reset()
            raise Gone
        if answer is not None and answer.late:
            self.server.stopping.wait(answer.delay_s)
            answer = None
        effect = self.server.apply(request, body) if keep else None
        self._answer(request, answer or effect)

    def _answer(self, request, answer):
        if answer.hang:
            self._hang()
        if answer.delay_s:
            self.server.stopping.wait(answer.delay_s)
        if answer.close_before:
            raise Gone
        body = error_body(answer.error).encode() if answer.error else answer.body
        headers = {
            "x-amz-request-id": uuid.uuid4().hex[:16].upper(),
            "Date": formatdate(usegmt=True),
            "Content-Length": str(len(body)),
            **answer.headers,
        }
        request.answer_id = headers["x-amz-request-id"]
        if request.method == "HEAD":
            body = b""
        if answer.close_after is not None:
            body = body[: answer.close_after]
        self._send(answer.status, headers, body)
        if answer.close_after is not None:
            raise Gone


class StandIn(ScriptedServer):
    """The server; a context manager. `lock` guards all of what tests look at."""

    NAME = "S3"
    CONNECTION = _Connection

    def __init__(self):
        super().__init__()
        self.buckets = {}  # name -> {key: Stored}
        self.cors = {}  # name -> the document
        self.uploads = {}  # id -> Upload: those neither completed nor aborted

    # What a test says

    def make_bucket(self, name):
        with self.lock:
            self.buckets.setdefault(name, {})

    def put(self, bucket, key, body, content_type="application/octet-stream"):
        etag = '"' + hashlib.md5(body).hexdigest() + '"'
        with self.lock:
            self.buckets.setdefault(bucket, {})[key] = Stored(body, etag, content_type, time.time())

    # What a test asks

    def object(self, bucket, key):
        with self.lock:
            return self.buckets.get(bucket, {}).get(key)

    # What connections call

    def apply(self, request, body):
        with self.lock:
            act = getattr(self, "_" + request.operation, None)
            if act is None:
                return Answer(501, error="NotImplemented")
            needs_bucket = request.operation not in ("CreateBucket", "HeadBucket", "ListBuckets")
            if needs_bucket and request.bucket not in self.buckets:
                return Answer(404, error="NoSuchBucket")
            return act(request, body)

    # The tiny S3

    def _HeadBucket(self, r, body):
        return Answer(200 if r.bucket in self.buckets else 404)

    def _CreateBucket(self, r, body):
        if r.bucket in self.buckets:
            return Answer(409, error="BucketAlreadyOwnedByYou")
        self.buckets[r.bucket] = {}
        return Answer(200)

    def _PutBucketCors(self, r, body):
        self.cors[r.bucket] = body
        return Answer(200)

    def _is_taken(self, r):
        return r.headers.get("if-none-match") == "*" and r.key in self.buckets[r.bucket]

    def _PutObject(self, r, body):
        if self._is_taken(r):
            return Answer(412, error="PreconditionFailed")
        if hashlib.sha256(body).hexdigest() != r.headers.get("x-amz-content-sha256"):
            return Answer(400, error="XAmzContentSHA256Mismatch")
        etag = '"' + hashlib.md5(body).hexdigest() + '"'
        content_type = r.headers.get("content-type", "binary/octet-stream")
        self.buckets[r.bucket][r.key] = Stored(body, etag, content_type, time.time())
        return Answer(200, headers={"ETag": etag})

    def _CreateMultipartUpload(self, r, body):
        upload_id = uuid.uuid4().hex
        content_type = r.headers.get("content-type", "binary/octet-stream")
        self.uploads[upload_id] = Upload(r.bucket, r.key, content_type, {})
        return Answer(
            200,
            body=(
                "<InitiateMultipartUploadResult>"
                f"<Bucket>{r.bucket}</Bucket><Key>{escape(r.key)}</Key>"
                f"<UploadId>{upload_id}</UploadId></InitiateMultipartUploadResult>"
            ).encode(),
        )

    def _UploadPart(self, r, body):
        upload = self.uploads.get(r.query.get("uploadId"))
        if upload is None:
            return Answer(404, error="NoSuchUpload")
        if hashlib.sha256(body).hexdigest() != r.headers.get("x-amz-content-sha256"):
            return Answer(400, error="XAmzContentSHA256Mismatch")
        etag = '"' + hashlib.md5(body).hexdigest() + '"'
        upload.parts[int(r.query["partNumber"])] = (etag, body)
        return Answer(200, headers={"ETag": etag})

    def _CompleteMultipartUpload(self, r, body):
        upload = self.uploads.get(r.query.get("uploadId"))
        if upload is None:
            return Answer(404, error="NoSuchUpload")
        if self._is_taken(r):
            return Answer(412, error="PreconditionFailed")
        text = body.decode().replace("&quot;", '"')
        named = re.findall(r"<PartNumber>(\d+)</PartNumber>\s*<ETag>([^<]*)</ETag>", text)
        parts = [(int(number), etag) for number, etag in named]
        if parts != [(n, upload.parts[n][0]) for n in sorted(upload.parts)]:
            return Answer(400, error="InvalidPart")
        whole = b"".join(upload.parts[n][1] for n in sorted(upload.parts))
        etag = f'"{hashlib.md5(whole).hexdigest()}-{len(parts)}"'
        self.buckets[r.bucket][r.key] = Stored(whole, etag, upload.content_type, time.time())
        del self.uploads[r.query["uploadId"]]
        return Answer(
            200,
            body=(
                "<CompleteMultipartUploadResult>"
                f"<ETag>{escape(etag)}</ETag></CompleteMultipartUploadResult>"
            ).encode(),
        )

    def _ListBuckets(self, r, body):
        rows = "".join(f"<Bucket><Name>{name}</Name></Bucket>" for name in sorted(self.buckets))
        text = f"<ListAllMyBucketsResult><Buckets>{rows}</Buckets></ListAllMyBucketsResult>"
        return Answer(200, body=text.encode())

    def _ListMultipartUploads(self, r, body):
        """A page of two, so that tests see the next one."""
        prefix = r.query.get("prefix", "")
        after = (r.query.get("key-marker", ""), r.query.get("upload-id-marker", ""))
        found = sorted(
            (u.key, id, u)
            for id, u in self.uploads.items()
            if u.bucket == r.bucket and u.key.startswith(prefix) and (u.key, id) > after
        )
        text = f"<IsTruncated>{str(len(found) > 2).lower()}</IsTruncated>"
        for key, id, upload in found[:2]:
            begun = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(upload.begun))
            text += (
                f"<Upload><Key>{escape(key)}</Key><UploadId>{id}</UploadId>"
                f"<Initiator><ID>{upload.initiator}</ID></Initiator><Owner><ID>9</ID></Owner>"
                f"<Initiated>{begun}</Initiated></Upload>"
            )
        if len(found) > 2:
            key, id, _ = found[1]
            text += f"<NextKeyMarker>{escape(key)}</NextKeyMarker>"
            text += f"<NextUploadIdMarker>{id}</NextUploadIdMarker>"
        text = f"<ListMultipartUploadsResult>{text}</ListMultipartUploadsResult>"
        return Answer(200, body=text.encode())

    def _AbortMultipartUpload(self, r, body):
        if self.uploads.pop(r.query.get("uploadId"), None) is None:
            return Answer(404, error="NoSuchUpload")
        return Answer(204)

    def _GetObject(self, r, body):
        stored = self.buckets[r.bucket].get(r.key)
        if stored is None:
            return Answer(404, error="NoSuchKey")
        headers = {
            "ETag": stored.etag,
            "Content-Type": stored.content_type,
            "Last-Modified": formatdate(stored.modified, usegmt=True),
        }
        if r.method == "HEAD":
            headers["Content-Length"] = str(len(stored.body))
            return Answer(200, headers=headers)
        if r.headers.get("range") == "bytes=0-0":
            if not stored.body:
                return Answer(416, error="InvalidRange")
            headers["Content-Range"] = f"bytes 0-0/{len(stored.body)}"
            return Answer(206, headers=headers, body=stored.body[:1])
        return Answer(200, headers=headers, body=stored.body)

    def _HeadObject(self, r, body):
        answer = self._GetObject(r, body)
        return Answer(answer.status, headers=answer.headers) if answer.error else answer

    def _ListObjects(self, r, body):
        """ListObjectsV2; the token is the last key, or group, of the page before."""
        prefix, delimiter = r.query.get("prefix", ""), r.query.get("delimiter", "")
        after = base64.b64decode(r.query.get("continuation-token", "")).decode()
        encode = urllib.parse.quote_plus if r.query.get("encoding-type") == "url" else escape
        rows, names = [], []
        for key in sorted(self.buckets[r.bucket]):
            rest = key[len(prefix) :]
            cut = rest.find(delimiter) if delimiter else -1
            name = key if cut < 0 else prefix + rest[: cut + len(delimiter)]
            if not key.startswith(prefix) or name <= after or name in names:
                continue
            names.append(name)
            if cut >= 0:
                rows.append(f"<CommonPrefixes><Prefix>{encode(name)}</Prefix></CommonPrefixes>")
                continue
            stored = self.buckets[r.bucket][key]
            modified = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(stored.modified))
            rows.append(
                f"<Contents><Key>{encode(key)}</Key><LastModified>{modified}</LastModified>"
                f"<ETag>{escape(stored.etag)}</ETag><Size>{len(stored.body)}</Size></Contents>"
            )
        limit = int(r.query.get("max-keys", "1000"))
        more = len(rows) > limit
        token = base64.b64encode(names[limit - 1].encode()).decode() if more else ""
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>{str(more).lower()}</IsTruncated>"
            f"<EncodingType>{r.query.get('encoding-type', '')}</EncodingType>"
            + (f"<NextContinuationToken>{token}</NextContinuationToken>" if more else "")
            + "".join(rows[:limit])
            + "</ListBucketResult>"
        )
        return Answer(200, body=text.encode())

    def _DeleteObjects(self, r, body):
        """A key that is not there counts as deleted, as on S3."""
        if base64.b64encode(hashlib.md5(body).digest()).decode() != r.headers.get("content-md5"):
            return Answer(400, error="BadDigest")
        keys = [key.text for key in ElementTree.fromstring(body).findall("{*}Object/{*}Key")]
        rows = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        for key in keys:
            self.buckets[r.bucket].pop(key, None)
        return Answer(200, body=f"<DeleteResult>{rows}</DeleteResult>".encode())

    def _DeleteObject(self, r, body):
        self.buckets[r.bucket].pop(r.key, None)
        return Answer(204)

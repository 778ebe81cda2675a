"""The most memory that fileservice takes, before an S3 that answers like one and throws all bytes away."""

import hashlib

import clients
import parties
from measure import FILE_BYTES, PIECE_BYTES, memory_mib, random_file, size_text
from report import Failed, at_most
from s3_stand_in import Answer, StandIn
from scenarios.streams import check_streams

MIB = 1 << 20
BUDGET_MIB = 256  # UPLOAD_MEMORY_BYTES by default
LARGE_AIM = at_most(64, "MiB")
MANY_AIM = at_most(BUDGET_MIB + 48, "MiB")
MANY, MANY_BYTES = 200, 16 * MIB
SLOW, SLOW_BYTES, SLOW_SECONDS, SLOW_STEPS = 1000, 176 << 10, 16, 64
READERS, READ_BYTES, READ_SECONDS, READ_STEPS, READ_PIECE_BYTES = 200, 16 * MIB, 15, 60, 8192


class Sink(StandIn):
    """Keeps of each part its size and SHA-256, which is its ETag, so that no upload takes disk or memory here."""

    def __init__(self):
        super().__init__()
        self._listener.listen(SLOW)  # all of them may connect in one moment

    def record(self, request):
        """There may be too many to keep."""

    def _PutObject(self, r, body):
        self.buckets[r.bucket][r.key] = [(r.size, r.sha256)]
        return Answer(200, headers={"ETag": f'"{r.sha256}"'})

    def _UploadPart(self, r, body):
        self.uploads[r.query["uploadId"]].parts[int(r.query["partNumber"])] = (f'"{r.sha256}"', (r.size, r.sha256))
        return Answer(200, headers={"ETag": f'"{r.sha256}"'})

    def _CompleteMultipartUpload(self, r, body):
        upload = self.uploads.pop(r.query["uploadId"])
        self.buckets[r.bucket][r.key] = [upload.parts[number][1] for number in sorted(upload.parts)]
        return Answer(200, body=b'<CompleteMultipartUploadResult><ETag>"1"</ETag></CompleteMultipartUploadResult>')

    def check_upload(self, upload):
        """What came, part by part, must be what was sent."""
        file_pieces = _pieces(upload)
        rest = b""
        for size, sha256 in self.object(parties.BUCKET, upload.key):
            digest = hashlib.sha256()
            while size > 0:
                rest = rest or next(file_pieces, b"")
                if not rest:
                    raise Failed(f"{upload.key}: more came than was sent")
                digest.update(rest[:size])
                size, rest = max(0, size - len(rest)), rest[size:]
            if digest.hexdigest() != sha256:
                raise Failed(f"{upload.key}: other bytes came than were sent")
        if rest or next(file_pieces, b""):
            raise Failed(f"{upload.key}: less came than was sent")

    def check_nothing_left(self):
        if self.uploads:
            raise Failed(f"{len(self.uploads)} multipart uploads are left")


def _pieces(upload):
    with open(upload.source.path, "rb") as file:
        for offset, size in upload.ranges():
            file.seek(offset)
            while size > 0:
                piece = file.read(min(size, PIECE_BYTES))
                size -= len(piece)
                yield piece


def _upload(report, what, aim, uploads, send):
    """Sends uploads by send(port, uploads) to a fileservice of their own, and reports the most memory it took."""
    with Sink() as sink, parties.fileservice(sink.url) as ours:
        sink.make_bucket(parties.BUCKET)
        send(ours.port, uploads)
        for upload in uploads:
            sink.check_upload(upload)
        sink.check_nothing_left()
        report.value(f"most memory: {what}", memory_mib(ours.pid, "VmHWM"), aim)


def one_large_upload(report):
    """Most memory of one upload of 5 GiB (five times BENCH_BYTES)."""
    with Sink() as sink, parties.fileservice(sink.url) as ours:
        report.value("memory when idle", memory_mib(ours.pid, "VmRSS"))
    upload = clients.Upload(random_file(), "large", 0, 5 * FILE_BYTES)
    what = f"one upload of {size_text(upload.size)}"
    _upload(report, what, LARGE_AIM, [upload], lambda port, uploads: clients.send_form(port, uploads[0]))


def many_uploads(report):
    """Most memory of 200 uploads of 16 MiB at once."""
    uploads = [clients.Upload(random_file(), f"many-{i}", i * MANY_BYTES // 3, MANY_BYTES) for i in range(MANY)]
    _upload(report, f"{MANY} uploads of {size_text(MANY_BYTES)} at once", MANY_AIM, uploads, clients.send_forms_at_once)


def slow_uploads(report):
    """Most memory of 1,000 uploads at once that send 11 KiB a second."""
    source = random_file()
    last = source.size - SLOW_BYTES
    uploads = [clients.Upload(source, f"slow-{i}", i * SLOW_BYTES // 3 % last, SLOW_BYTES) for i in range(SLOW)]

    def send(port, uploads):
        clients.send_forms_slowly(port, uploads, SLOW_SECONDS, SLOW_STEPS)

    what = f"{SLOW} uploads of {size_text(SLOW_BYTES)} at once, {SLOW_SECONDS} s each"
    _upload(report, what, MANY_AIM, uploads, send)


def slow_readers(report):
    """Most memory of 200 clients that read a GET ?delivery=stream slowly."""
    with Sink() as sink, parties.fileservice(sink.url) as ours:
        body = random_file(READ_BYTES).path.read_bytes()
        sink.put(parties.BUCKET, "stream", body)
        check_streams(ours)
        path = f"/file/{parties.BUCKET}/stream?delivery=stream"
        read = clients.read_slowly(ours.port, path, READERS, READ_SECONDS, READ_STEPS, READ_PIECE_BYTES)
        if not all(len(begin) > 0 and body.startswith(begin) for begin in read):
            raise Failed("a slow reader got other bytes than are stored")
        what = f"most memory: {READERS} slow readers of delivery=stream"
        report.value(what, memory_mib(ours.pid, "VmHWM"), MANY_AIM)

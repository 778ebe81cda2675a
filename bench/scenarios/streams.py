"""One large download at a time, through each door to the same S3."""

import parties
from measure import FILE_BYTES, FOLDER, curl, file_pieces, hash_pieces, in_turns, random_file, size_text
from report import Failed, at_most

KEY = "stream"


def stream_url(ours, key=KEY):
    return f"{ours.url}/file/{parties.BUCKET}/{key}?delivery=stream"


def check_streams(ours):
    """Says so in words when there is no delivery=stream (yet)."""
    with ours.http.get(stream_url(ours), stream=True, timeout=30) as answer:
        if answer.status_code != 200:
            raise Failed(f"GET ?delivery=stream answers {answer.status_code}: {answer.text.strip()}")


def fetch(url, source, *options):
    """The seconds of a download into a file, which is checked after its time is taken."""
    path = FOLDER / "fetched.bin"
    try:
        seconds = curl(*options, "-o", path, url)
        if hash_pieces(file_pieces(path)) != (source.sha256, source.size):
            raise Failed(f"{url} gave other bytes than are stored")
        return seconds
    finally:
        path.unlink(missing_ok=True)


def _compare_all(report, name, running_store):
    with running_store as store, parties.fileservice(store.url) as ours, parties.nginx_relay(store) as relayed:
        source = random_file()
        store.put(KEY, source)
        check_streams(ours)
        direct = store.presigned("get_object", KEY)
        found = in_turns({
            "ours": lambda: fetch(stream_url(ours), source),
            "relay": lambda: fetch(relayed(direct), source),
            "direct": lambda: fetch(direct, source),
        }, "s")  # fmt: skip
    what = f"{size_text(FILE_BYTES)} GET ?delivery=stream from {name}"
    report.ratio(f"{what}, against an nginx relay of the presigned GET", found["ours"], found["relay"], at_most(1.1))
    report.ratio(f"{what}, against the presigned GET", found["ours"], found["direct"])


def from_versitygw(report):
    """A large GET ?delivery=stream from versitygw, against an nginx relay of the presigned GET, and the GET itself."""
    _compare_all(report, "versitygw", parties.versitygw())


def from_minio(report):
    """A large GET ?delivery=stream from MinIO, against the same."""
    _compare_all(report, "MinIO", parties.minio())

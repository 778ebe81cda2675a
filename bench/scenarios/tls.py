"""S3 behind TLS: MinIO with a certificate made for the run."""

import contextlib

import parties
from measure import FILE_BYTES, curl, in_turns, random_file, size_text
from report import at_most
from scenarios.streams import KEY, check_streams, fetch, stream_url
from scenarios.uploads import compare, form


@contextlib.contextmanager
def _minio_and_service():
    """(MinIO, fileservice before it, what curl needs to trust MinIO)"""
    certificate = parties.make_certificate()
    with (
        parties.minio(certificate) as store,
        parties.fileservice(store.url, parties.trusting(certificate)) as ours,
    ):
        yield store, ours, ("--cacert", certificate)


def upload(report):
    """A large POST with S3 behind TLS, against the presigned PUT behind the same TLS."""
    with _minio_and_service() as (store, ours, trust):
        found = compare(store, {
            "post": lambda source, key: form(ours.url, source, key),
            "direct": lambda source, key: curl(*trust, "-T", source.path, store.presigned("put_object", key)),
        })  # fmt: skip
    what = f"{size_text(FILE_BYTES)} POST to MinIO over TLS, against curl -T to the presigned PUT"
    report.ratio(what, found["post"], found["direct"], at_most(1.3))


def stream(report):
    """A large GET ?delivery=stream with S3 behind TLS, against the presigned GET behind the same TLS."""
    with _minio_and_service() as (store, ours, trust):
        source = random_file()
        store.put(KEY, source)
        check_streams(ours)
        direct = store.presigned("get_object", KEY)
        found = in_turns({
            "ours": lambda: fetch(stream_url(ours), source),
            "direct": lambda: fetch(direct, source, *trust),
        }, "s")  # fmt: skip
    what = f"{size_text(FILE_BYTES)} GET ?delivery=stream from MinIO over TLS, against the presigned GET"
    report.ratio(what, found["ours"], found["direct"], at_most(1.3))

"""One large upload at a time, through each door to the same S3."""

import parties
from measure import FILE_BYTES, curl, in_turns, random_file, size_text
from report import at_least, at_most

WARM_UP_BYTES = 1 << 20
WARM_UPS = 4  # so that each worker of gunicorn has had one


def form(url, source, key):
    return curl("-F", f"file=@{source.path};filename={key}", f"{url}/file/{parties.BUCKET}")


def put(url, source):
    return curl("-T", source.path, url)


def checked(store, key, send):
    """A contestant that sends a source by send(source, key), and is checked after its time is taken."""

    def run(source):
        seconds = send(source, key)
        store.check_and_delete(key, source)
        return seconds

    return run


def compare(store, senders):
    """Warms everybody up, then measures in turns. Each sender is send(source, key), its name the key."""
    runs = {key: checked(store, key, send) for key, send in senders.items()}
    for _ in range(WARM_UPS):
        for run in runs.values():
            run(random_file(WARM_UP_BYTES))
    source = random_file()
    return in_turns({key: lambda run=run: run(source) for key, run in runs.items()}, "s")


def _compare_all(report, name, running_store):
    with (
        running_store as store,
        parties.fileservice(store.url) as ours,
        parties.nginx_relay(store) as relayed,
        parties.flask(store) as flask,
    ):
        found = compare(store, {
            "post": lambda source, key: form(ours.url, source, key),
            "put": lambda source, key: put(f"{ours.url}/file/{parties.BUCKET}/{key}", source),
            "direct": lambda source, key: put(store.presigned("put_object", key), source),
            "relay": lambda source, key: put(relayed(store.presigned("put_object", key)), source),
            "flask": lambda source, key: form(flask, source, key),
        })  # fmt: skip
    post, raw, direct, relay, flask = found.values()
    size = size_text(FILE_BYTES)
    report.ratio(f"{size} POST to {name}, against curl -T to the presigned PUT", post, direct, at_most(1.15))
    report.ratio(f"{size} POST to {name}, against an nginx relay of that PUT", post, relay)
    report.ratio(f"{size} PUT to {name}, against curl -T to the presigned PUT", raw, direct, at_most(1.05))
    report.ratio(f"{size} PUT to {name}, against an nginx relay of that PUT", raw, relay)
    report.times_faster(f"{size} POST to {name}, against Flask and boto3", post, flask, at_least(1.9))


def to_versitygw(report):
    """A large POST and PUT to versitygw, against the presigned PUT, an nginx relay of it, and Flask and boto3."""
    _compare_all(report, "versitygw", parties.versitygw())


def to_minio(report):
    """A large POST and PUT to MinIO, against the same."""
    _compare_all(report, "MinIO", parties.minio())

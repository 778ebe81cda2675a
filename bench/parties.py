"""The parties of the benchmark, each a context: started on a free port of the loopback, ended in every case."""

import contextlib
import itertools
import os
import shutil
import socket
import subprocess

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from measure import BENCH, FOLDER, PIECE_BYTES, hash_pieces
from report import Failed
from support.paths import ROOT, VERSITYGW
from support.process import Server, free_port
from support.service import ACCESS_KEY, REGION, SECRET_KEY, Service
from support.waiting import wait_until

MINIO = ROOT / ".deps" / "bin" / "minio"
GUNICORN = ROOT / ".deps" / "bench-venv" / "bin" / "gunicorn"
LIBMICROHTTPD = ROOT / ".deps" / "libmicrohttpd" / "lib"
SYSTEM_ROOTS = "/etc/ssl/certs/ca-certificates.crt"
START_S = 30
URL_LIFE_S = 7200
BUCKET = "bench"
_numbers = itertools.count(1)


@contextlib.contextmanager
def _running(name, command, port, settings=None):
    """A server from the moment that its port takes connections."""
    server = Server(f"{name}-{next(_numbers)}", command, FOLDER, settings or {})

    def is_ready():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    try:
        server.wait_ready(is_ready, START_S)
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def fileservice(endpoint, wrapper=(), **settings):
    """With the settings of the product, where they say nothing else; it must end in order."""
    defaults = {"UPLOAD_PART_BYTES": None, "UPLOAD_MAX_BYTES": None, "AWS_S3_ENDPOINT": endpoint}
    service = Service(FOLDER, next(_numbers), {**defaults, **settings}, wrapper)
    try:
        service.wait_healthy()
        yield service
        service.stop()
    finally:
        service.kill()
        service.stdout_path.unlink()  # a line for each request: much, after some minutes of wrk


def _fill(name, places):
    """A file of bench/nginx with its placeholders filled in."""
    text = (BENCH / "nginx" / name).read_text()
    for place, value in places.items():
        text = text.replace(f"@{place}@", str(value))
    path = FOLDER / f"{next(_numbers)}-{name}"
    path.write_text(text)
    return path


def _nginx(servers, port, **places):
    path = _fill("nginx.conf", {"FOLDER": FOLDER, "SERVERS": _fill(servers, places)})
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    return _running("nginx", [program, "-c", path, "-p", FOLDER], port)


@contextlib.contextmanager
def nginx_stand_in():
    """(an S3 that answers at once, a plain reverse proxy before it), as URLs. Uploads go to its bucket `uploads`."""
    stand_in, proxy = free_port(), free_port()
    with _nginx("requests.conf", proxy, STAND_IN=stand_in, PROXY=proxy):
        yield f"http://127.0.0.1:{stand_in}", f"http://127.0.0.1:{proxy}"


@contextlib.contextmanager
def nginx_relay(store):
    """A relay of presigned URLs, as a function that leads such a URL through it."""
    relay = free_port()
    with _nginx("relay.conf", relay, S3=store.port, RELAY=relay):
        yield lambda url: url.replace(store.url, f"http://127.0.0.1:{relay}", 1)


class CloudWatch:
    """Takes all log events, and knows how much came."""

    def __init__(self, port, access_log):
        self.url = f"http://127.0.0.1:{port}"
        self._access_log = access_log

    def received(self):
        """(count, bytes) of the bodies of PutLogEvents that came whole and were answered with 200."""
        rows = [line.split() for line in self._access_log.read_text().splitlines()]
        sizes = [int(size) for size, *rest in rows if rest == ["200", "Logs_20140328.PutLogEvents"]]
        return len(sizes), sum(sizes)


@contextlib.contextmanager
def cloudwatch():
    """A CloudWatch Logs that answers at once."""
    port, access_log = free_port(), FOLDER / f"{next(_numbers)}-cloudwatch.log"
    with _nginx("cloudwatch.conf", port, LOGS=port, ANSWER=free_port(), ACCESS_LOG=access_log):
        yield CloudWatch(port, access_log)


@contextlib.contextmanager
def nobody():
    """The URL of a port on which nobody listens, and which nobody else can get meanwhile."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{s.getsockname()[1]}"


@contextlib.contextmanager
def hello():
    """bench/hello.c, built here; its URL."""
    program, port = FOLDER / "hello", free_port()
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libmicrohttpd"],
        env={**os.environ, "PKG_CONFIG_PATH": str(LIBMICROHTTPD / "pkgconfig")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    subprocess.run(["gcc", "-O2", "-o", program, BENCH / "hello.c", *flags, f"-Wl,-rpath,{LIBMICROHTTPD}"], check=True)
    with _running("hello", [program, port, len(os.sched_getaffinity(0))], port):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def flask(store):
    """The stand-in of the original, under gunicorn; its URL."""
    port = free_port()
    command = [GUNICORN, "--workers", 2, "--threads", 8, "--timeout", 300, "--bind", f"127.0.0.1:{port}"]
    command += ["--chdir", BENCH, "flask_app:app"]
    settings = {"S3_ENDPOINT": store.url, "S3_KEY": ACCESS_KEY, "S3_SECRET": SECRET_KEY, "S3_REGION": REGION}
    with _running("flask", command, port, settings):
        yield f"http://127.0.0.1:{port}"


class Store:
    """A bucket on a real S3 server."""

    def __init__(self, port, certificate=None, trash=None):
        self.port = port
        self.trash = trash  # where it keeps what was deleted, which would fill the disk in some rounds
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{port}"
        self.s3 = boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name=REGION,
            verify=certificate and str(certificate),
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                proxies={},
                response_checksum_validation="when_required",
            ),
        )

        def make_bucket():
            try:
                return self.s3.create_bucket(Bucket=BUCKET)
            except (BotoCoreError, ClientError):
                return None

        wait_until(make_bucket, START_S, "the bucket of the benchmark is made", every_s=0.2)

    def presigned(self, operation, key):
        parameters = {"Bucket": BUCKET, "Key": key}
        return self.s3.generate_presigned_url(operation, parameters, URL_LIFE_S)

    def put(self, key, source):
        with open(source.path, "rb") as body:
            self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)

    def check_and_delete(self, key, source):
        """What is stored must be what was sent, and no multipart upload may be left."""
        pieces = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].iter_chunks(PIECE_BYTES)
        if hash_pieces(pieces) != (source.sha256, source.size):
            raise Failed(f"{key} on {self.url} is not what was sent")
        self.s3.delete_object(Bucket=BUCKET, Key=key)
        if self.trash:
            shutil.rmtree(self.trash, ignore_errors=True)
            self.trash.mkdir(parents=True, exist_ok=True)
        left = self.s3.list_multipart_uploads(Bucket=BUCKET, Prefix=key).get("Uploads", [])
        if left:
            raise Failed(f"{len(left)} multipart uploads of {key} are left on {self.url}")


@contextlib.contextmanager
def _store(name, command, port, folder, settings, certificate=None, trash=None):
    try:
        with _running(name, command, port, settings):
            yield Store(port, certificate, trash)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def versitygw():
    port, folder = free_port(), FOLDER / "versitygw"
    folder.mkdir()
    command = [VERSITYGW, "--port", f"127.0.0.1:{port}", "--quiet", "--keep-alive"]
    command += ["--access", ACCESS_KEY, "--secret", SECRET_KEY, "posix", folder]
    return _store("versitygw", command, port, folder, {})


def minio(certificate=None):
    port, folder = free_port(), FOLDER / "minio"
    command = [MINIO, "server", "--quiet", "--address", f"127.0.0.1:{port}", "--console-address", "127.0.0.1:0"]
    command += ["--certs-dir", certificate.parent if certificate else FOLDER / "no-certificates", folder]
    settings = {"MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY, "MINIO_UPDATE": "off"}
    settings["MINIO_BROWSER"] = "off"
    trash = folder / ".minio.sys" / "tmp" / ".trash"
    return _store("minio", command, port, folder, settings, certificate, trash)


def make_certificate():
    """A certificate of 127.0.0.1, signed by itself, in a folder as MinIO wants it."""
    folder = FOLDER / "certificates"
    folder.mkdir(exist_ok=True)
    certificate = folder / "public.crt"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", folder / "private.key", "-out", certificate]
    subprocess.run(command, capture_output=True, check=True)
    return certificate


def trusting(certificate):
    """A wrapper for a program whose library knows only the system's roots: it sees this certificate in their place, in
    a mount namespace of its own."""
    script = f'mount --bind "$0" {SYSTEM_ROOTS} && exec setpriv --pdeathsig KILL "$@"'
    return ("unshare", "--map-root-user", "--mount", "sh", "-c", script, certificate)

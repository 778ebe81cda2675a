"""The real S3 servers: LocalStack (S3 and CloudWatch Logs) and versitygw (strict SigV4)."""

import shutil

import boto3
import requests
from botocore.config import Config

from support.paths import ROOT, RUN_LOCALSTACK, VERSITYGW
from support.process import Server, free_port
from support.service import ACCESS_KEY, REGION, SECRET_KEY

LOCALSTACK_START_S = 90
VERSITYGW_START_S = 20


def _boto3_client(service, endpoint):
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(s3={"addressing_style": "path"}, proxies={}, retries={"max_attempts": 2}),
    )


class S3Server(Server):
    def __init__(self, name, command, work, settings, port):
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(name, command, work, settings)
        self.s3 = _boto3_client("s3", self.url)

    def uploads_left(self, bucket):
        """Multipart uploads that were neither completed nor aborted."""
        return self.s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])


class LocalStack(S3Server):
    def __init__(self, work):
        port = free_port()
        self.folder = ROOT / "build" / f"localstack-{port}"
        super().__init__("localstack", [RUN_LOCALSTACK, port], work, {}, port)
        self.logs = _boto3_client("logs", self.url)

    def wait_started(self):
        def is_ready():
            try:
                health = requests.get(f"{self.url}/_localstack/health", timeout=5).json()
            except (requests.RequestException, ValueError):
                return False
            services = health.get("services", {})
            return all(services.get(name) in ("available", "running") for name in ("s3", "logs"))

        self.wait_ready(is_ready, LOCALSTACK_START_S)

    def kill(self):
        super().kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Versitygw(S3Server):
    def __init__(self, work):
        port = free_port()
        self.folder = work / "versitygw"
        self.folder.mkdir()
        command = [VERSITYGW, "--port", f"127.0.0.1:{port}", "--quiet", "--keep-alive"]
        command += ["--access", ACCESS_KEY, "--secret", SECRET_KEY, "posix", self.folder]
        super().__init__("versitygw", command, work, {}, port)

    def wait_started(self):
        def is_ready():
            try:
                return requests.get(self.url, timeout=5).status_code > 0
            except requests.RequestException:
                return False

        self.wait_ready(is_ready, VERSITYGW_START_S)

    def kill(self):
        super().kill()
        shutil.rmtree(self.folder, ignore_errors=True)

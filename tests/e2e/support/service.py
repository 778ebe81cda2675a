"""The program under test: started with settings, asked, stopped in order."""

import json
import os
import pathlib
import re
import signal
import subprocess
import urllib.parse

import requests

from support.paths import BINARY
from support.process import Server, clean_environment, free_port
from support.waiting import wait_until

ACCESS_KEY = "AKIDE2ETESTS"
SECRET_KEY = "e2e/Secret+Key=that-must-never-be-logged"
REGION = "us-east-1"
PART_BYTES = 5242880

DEFAULTS = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "HOST": "127.0.0.1",
    "ADMIN_PORT": "0",
    "WORKERS": "2",
    "UPLOAD_PART_BYTES": PART_BYTES,
    "UPLOAD_MAX_BYTES": 10_000 * PART_BYTES,  # more would make the parts of unknown lengths larger
    "SHUTDOWN_DELAY_SECONDS": "0",
}
START_TIMEOUT_S = 15
STOP_TIMEOUT_S = 30
SECRET_LEAST_BYTES = 8  # a shorter key stands in other words by chance
AUTHORIZATION_HINT = "Authorization: Bearer <key>"  # in the sentence of a 401
SANITIZER_WORDS = ("Sanitizer", "runtime error:")


def run_once(work, *arguments, wrapper=(), **settings):
    """Runs the program to its end; only what is given is in its environment. `wrapper` is a
    command that runs it."""
    return subprocess.run(
        [*wrapper, BINARY, *arguments],
        env=clean_environment(work, settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S,
        check=False,
    )


class Service(Server):
    def __init__(self, work, number, settings, wrapper=(), stdout=None):
        self.port = free_port()
        self.settings = {**DEFAULTS, "PORT": self.port, **settings}
        self.url = f"http://127.0.0.1:{self.port}"
        self.ended = False
        self.http = requests.Session()
        self.http.trust_env = False
        command = [*wrapper, BINARY]
        super().__init__(
            f"fileservice-{number}", command, work, self.settings, stdout=stdout
        )

    def wait_healthy(self):
        def answers():
            try:
                return self.http.get(f"{self.url}/healthz", timeout=5).status_code == 200
            except requests.ConnectionError:
                return False

        self.wait_ready(answers, START_TIMEOUT_S)

    def request(self, method, path, **options):
        """One request on a kept connection; redirects are not followed."""
        options.setdefault("timeout", 30)
        return self.http.request(method, self.url + path, allow_redirects=False, **options)

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def put(self, path, data, **options):
        return self.request("PUT", path, data=data, **options)

    def log_lines(self):
        """Whole lines of standard output so far, each as it was written."""
        text = self.stdout_path.read_text()
        return text[: text.rfind("\n") + 1].splitlines()

    def logs(self):
        return [json.loads(line) for line in self.log_lines()]

    def wait_log(self, matches, what):
        def find():
            return next((line for line in self.logs() if matches(line)), None)

        return wait_until(find, 10, f"a log line: {what}")

    def client_sockets(self, s3_port):
        """How many connections of clients it holds, also dead ones that it has not noticed."""
        return len(self._sockets(s3_port)[0])

    def s3_sockets(self, s3_port):
        """How many connections to S3 it holds."""
        return len(self._sockets(s3_port)[1])

    def _sockets(self, s3_port):
        ours = set()
        for fd in os.scandir(f"/proc/{self.pid}/fd"):
            try:
                found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(fd.path))
            except FileNotFoundError:
                continue
            if found:
                ours.add(found[1])
        with open("/proc/net/tcp", encoding="ascii") as table:
            rows = [line.split() for line in table][1:]
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:
            inner = {line.split()[6] for line in table}
        to_s3 = {row[9] for row in rows if int(row[2].split(":")[1], 16) == s3_port}
        listener = {row[9] for row in rows if row[3] == "0A"}
        return ours - inner - to_s3 - listener, ours & to_s3

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait_end(self, timeout_s=STOP_TIMEOUT_S):
        """Waits for the end and returns the exit code."""
        self.ended = True
        self.http.close()
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs {timeout_s} s after SIGTERM") from None
        finally:
            self.kill()

    def check_no_report(self):
        for word in SANITIZER_WORDS:
            assert word not in self.stderr(), f"{self.name}: {self.stderr()}"

    def check_no_secret(self):
        """Whatever a test did, nothing that it wrote may hold a secret."""
        text = (self.output() + self.stderr()).replace(AUTHORIZATION_HINT, "")
        for what, secret in self._secrets():
            assert secret not in text, f"{self.name} has written {what}"

    def _secrets(self):
        for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            if value := self.settings.get(name):
                yield name, value
                yield f"{name}, encoded", urllib.parse.quote(value, safe="")
        keys = str(self.settings.get("API_KEYS", ""))
        if path := self.settings.get("API_KEYS_FILE"):
            keys += "\n" + pathlib.Path(path).read_text()
        for key in re.split(r"[,\s]+", keys):
            if len(key) >= SECRET_LEAST_BYTES:
                yield "an API key", key
        yield "a signature", "X-Amz-Signature"
        yield "a credential", "X-Amz-Credential"
        yield "a token", "X-Amz-Security-Token"
        yield "an Authorization header", "AWS4-HMAC-SHA256"
        yield "an Authorization header", "Bearer "

    def stop(self):
        """Ends it as an operator does, unless the test did; both ways it must end in order."""
        if not self.ended:
            assert self.is_running(), (
                f"{self.name} ended unasked with {self.process.returncode}: {self.stderr()}"
            )
            self.http.close()
            self.signal()
            code = self.wait_end()
            assert code == 0, f"{self.name} ended with {code}: {self.stderr()}"
        self.check_no_report()
        self.check_no_secret()

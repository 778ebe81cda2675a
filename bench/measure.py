"""Settings of a run, and how things are measured: commands by the clock, processes by /proc."""

import dataclasses
import functools
import hashlib
import os
import pathlib
import re
import subprocess
import time

from report import Failed, Results
from support.paths import ROOT

BENCH = ROOT / "bench"
FOLDER = ROOT / "build" / "bench"  # all that a run writes; it goes at the end
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "4"))
FILE_BYTES = int(os.environ.get("BENCH_BYTES", str(1 << 30)))
PIECE_BYTES = 1 << 20
CLIENTS = 64
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True)
class Source:
    """A file of random bytes that is sent."""

    path: pathlib.Path
    size: int
    sha256: str


def hash_pieces(pieces):
    """(SHA-256, size) of bytes that come in pieces."""
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size


def file_pieces(path):
    with open(path, "rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


@functools.cache
def random_file(size=FILE_BYTES):
    """Made once in a run."""
    path = FOLDER / f"random-{size}.bin"
    with open(path, "wb") as out:
        for begin in range(0, size, PIECE_BYTES):
            out.write(os.urandom(min(PIECE_BYTES, size - begin)))
    return Source(path, size, hash_pieces(file_pieces(path))[0])


def size_text(size):
    for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size >= 1 << shift:
            return f"{size / (1 << shift):g} {unit}"
    return f"{size} bytes"


def in_turns(contestants, unit):
    """Runs each once in a round: A B C, A B C. Returns the results of each by name."""
    values = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, run in contestants.items():
            values[name].append(run())
    return {name: Results(found, unit) for name, found in values.items()}


def _run(command):
    command = [str(word) for word in command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: {done.stdout[-500:]} {done.stderr[-500:]}".strip())
    return done.stdout


def curl(*words):
    """The seconds of one curl from its start to its end."""
    begin = time.monotonic()
    _run(["curl", "-sS", "--fail-with-body", "--noproxy", "*", "-H", "Expect:", *words])
    return time.monotonic() - begin


def wrk(url, connections=CLIENTS, script=None):
    """(requests, requests each second) of SECONDS seconds; every answer must be a 2xx."""
    script_words = ["-s", script] if script else []
    output = _run(["wrk", "-t", "1", "-c", connections, "-d", f"{SECONDS}s", *script_words, url])
    if "Non-2xx" in output or "Socket errors" in output:
        raise Failed(f"{url} under {connections} connections:\n{output}")
    requests = int(re.search(r"(\d+) requests in", output)[1])
    return requests, float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])


def memory_mib(pid, what):
    """VmRSS, or VmHWM: the most it ever was."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"{what}:\s+(\d+) kB", text)[1]) / 1024


def cpu_seconds(pid):
    """User and system time of all its threads so far."""
    after_name = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / TICKS_PER_SECOND

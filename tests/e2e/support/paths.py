"""Where things are. Nothing is written outside of build/."""

import os
import pathlib
import shutil
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
BINARY = pathlib.Path(
    os.environ.get("FILESERVICE_BINARY", ROOT / "build" / "release" / "fileservice")
).absolute()
VERSITYGW = ROOT / ".deps" / "bin" / "versitygw"
RUN_LOCALSTACK = ROOT / "scripts" / "run-localstack"


def make_work_folder():
    """A folder of this run alone: logs of the servers, data of versitygw. Those of earlier runs,
    which are kept after a failure, go."""
    parent = ROOT / "build" / "e2e"
    parent.mkdir(parents=True, exist_ok=True)
    for old in parent.glob("run-*-*"):
        if not pathlib.Path("/proc", old.name.split("-")[1]).exists():
            shutil.rmtree(old, ignore_errors=True)
    return pathlib.Path(tempfile.mkdtemp(prefix=f"run-{os.getpid()}-", dir=parent))


def is_sanitized():
    """Whether the binary was built with a sanitizer: slower, and with memory of its own."""
    with open(BINARY, "rb") as binary:
        return b"__asan_init" in binary.read()

"""The log shipper without the daemon, by tests/drivers/ship_lines.c: lines of any size and time."""

import json
import subprocess
import time

from support.paths import BINARY
from support.process import Server
from support.service import ACCESS_KEY, REGION, SANITIZER_WORDS, SECRET_KEY
from support.waiting import wait_until

DRIVER = BINARY.parent / "ship_lines"
GROUP = "/tests/ship-lines"
QUEUE_BYTES = 8 << 20
ANSWER_TIMEOUT_S = 10
FLUSH_LATE_S = 15  # the driver gives up 10 s late, in words
SETTINGS = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def now_ms():
    return int(time.time() * 1000)


def settled(counts):
    """How many lines have met their fate."""
    return counts["delivered"] + counts["dropped"] + sum(counts["rejected"].values())


class Shipper(Server):
    """A started driver. `sent` has the lines of each stream, as bytes, in order."""

    def __init__(
        self, work, number, cloudwatch, queue_bytes=QUEUE_BYTES, retention_days=0, silence_ms=5000
    ):
        self.sent = {"default": [], "service": []}
        command = [DRIVER, cloudwatch.url, GROUP, queue_bytes, retention_days, silence_ms]
        super().__init__(f"ship_lines-{number}", command, work, SETTINGS, stdin=subprocess.PIPE)

    def put(self, *lines, wall_ms=None, stream="default"):
        """Gives it lines, all of one time: now, unless it is said."""
        wall_ms = now_ms() if wall_ms is None else wall_ms
        for line in lines:
            line = line.encode() if isinstance(line, str) else line
            self.process.stdin.write(b"put %s %d %d\n" % (stream.encode(), wall_ms, len(line)))
            self.process.stdin.write(line + b"\n")
            self.sent[stream].append(line)
        self.process.stdin.flush()

    def _said(self, name):
        text = self.output()
        objects = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        return [one for one in objects if name in one]

    def told(self, name):
        """What a callback told, call by call: outage, recovery, refused, no_retention."""
        return [one[name] for one in self._said(name)]

    def outages(self):
        return self.told("outage")

    def recoveries(self):
        return self.told("recovery")

    def wait_outage(self, count=1, timeout_s=ANSWER_TIMEOUT_S):
        wait_until(lambda: len(self.outages()) >= count, timeout_s, "an outage is told")
        return self.outages()

    def wait_recovery(self, count=1, timeout_s=ANSWER_TIMEOUT_S):
        wait_until(lambda: len(self.recoveries()) >= count, timeout_s, "a recovery is told")
        return self.recoveries()

    def counts(self):
        before = len(self._said("produced"))
        self.process.stdin.write(b"counts\n")
        self.process.stdin.flush()
        return self._next_counts(before, ANSWER_TIMEOUT_S)

    def _next_counts(self, before, timeout_s):
        def find():
            found = self._said("produced")[before:]
            assert found or self.is_running(), f"{self.name} has ended: {self.stderr()}"
            return found

        return wait_until(find, timeout_s, "counts")[0]

    def wait_quiet(self, timeout_s=20):
        """Waits until every line has met its fate; returns the counts."""

        def find():
            counts = self.counts()
            return counts if settled(counts) == counts["produced"] else None

        return wait_until(find, timeout_s, "every line has met its fate", every_s=0.05)

    def flush(self, timeout_ms=10_000):
        """Ends it, in order; returns the last counts, which leave no line out."""
        before = len(self._said("produced"))
        self.process.stdin.write(b"flush %d\n" % timeout_ms)
        self.process.stdin.close()
        code = self.process.wait(timeout_ms / 1000 + FLUSH_LATE_S)
        assert code == 0, f"{self.name} ended with {code}: {self.stderr()}"
        counts = self._next_counts(before, 0)
        assert settled(counts) == counts["produced"] == sum(map(len, self.sent.values())), counts
        return counts

    def check_no_report(self):
        for word in SANITIZER_WORDS:
            assert word not in self.stderr(), f"{self.name}: {self.stderr()}"

    def kill(self):
        super().kill()
        if not self.process.stdin.closed:
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                pass

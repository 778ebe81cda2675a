"""Log lines: what they cost, with CloudWatch there, not there, and not asked for."""

import json
import time

import parties
from measure import CLIENTS, cpu_seconds, in_turns, memory_mib, wrk
from report import Failed, Results, at_least, at_most
from support.waiting import wait_until

QUEUE_BYTES = 8 << 20  # LOG_QUEUE_BYTES by default
FILL_BYTES = 4 * QUEUE_BYTES  # of lines: the queue has long been full
MORE_TIMES = 4
LOAD_MOST_S = 300
IDLE_S = 1.2  # longer than a line waits for others to leave with
IDLE_CORES = 0.02
IDLE_MOST_S = 60
BATCH_BYTES = len('{"logGroupName":"bench","logStreamName":"service","logEvents":[]}') - len(",")  # without events
EVENT_BYTES = len('{"timestamp":1795593600000,"message":},')  # without its message
LEAST_DELIVERED = 0.9


def _shipping_to(url):
    return {"AWS_CLOUDWATCH_LOGS_LOG_GROUP": "bench", "AWS_CLOUDWATCH_LOGS_ENDPOINT": url}


def _url(service):
    return f"{service.url}/file/bucket/key"


def _wait_idle(service):
    """Until it has nothing left to do: what it still ships must not cost the next one time, and is its own cost."""

    def is_idle():
        begin = cpu_seconds(service.pid)
        time.sleep(IDLE_S)
        return cpu_seconds(service.pid) - begin <= IDLE_CORES * IDLE_S

    wait_until(is_idle, IDLE_MOST_S, f"{service.name} has nothing left to do")


def _load(service):
    """(requests, requests each second), each with one log line."""
    found = wrk(_url(service))
    _wait_idle(service)
    return found


class Delivery:
    """Loads a service that ships its lines, and counts, load by load, how many came out of how many."""

    def __init__(self, service, cloudwatch):
        self.service = service
        self.cloudwatch = cloudwatch
        self.came, self.written = [], []

    def load(self):
        before, written = self._events_bytes(), self.service.stdout_path.stat().st_size
        found = _load(self.service)
        count, size = self._events_since(written)
        came = (self._events_bytes() - before) / size * count
        if came < LEAST_DELIVERED * count:
            raise Failed(f"of {count} log lines only {came:.0f} came to CloudWatch")
        self.came.append(came)
        self.written.append(count)
        return found

    def _events_bytes(self):
        """Of all events that came so far."""
        batches, size = self.cloudwatch.received()
        return size - batches * BATCH_BYTES

    def _events_since(self, offset):
        """(count, bytes) of the lines that standard output has from there on, as they are in PutLogEvents."""
        with open(self.service.stdout_path, "rb") as file:
            file.seek(offset)
            lines = file.read().decode().splitlines()
        return len(lines), sum(EVENT_BYTES + len(json.dumps(line, ensure_ascii=False).encode()) for line in lines)


def _check_outage(service):
    """Of a service that has ended: it says then how many lines it lost."""
    if "dropped on their way to CloudWatch" not in service.stderr():
        raise Failed(f"{service.name} lost no line, so that there was no outage: {service.stderr()}")


def rates(report):
    """GET /file/bucket/key with its log lines going to CloudWatch, and with CloudWatch down, against without it."""
    with (
        parties.nginx_stand_in() as (s3, _),
        parties.cloudwatch() as cloudwatch,
        parties.nobody() as nobody,
        parties.fileservice(s3, **_shipping_to(cloudwatch.url)) as on,
        parties.fileservice(s3) as off,
        parties.fileservice(s3, **_shipping_to(nobody)) as down,
    ):
        for service in (on, off, down):
            _load(service)  # the first lines fill the queue of the one that cannot get rid of them
        delivery = Delivery(on, cloudwatch)
        found = in_turns({
            "on": lambda: delivery.load()[1],
            "off": lambda: _load(off)[1],
            "down": lambda: _load(down)[1],
        }, "req/s")  # fmt: skip
    _check_outage(down)
    what = "GET /file/bucket/key with its log line"
    report.ratio(f"{what} to CloudWatch, against without CloudWatch", found["on"], found["off"], at_least(0.95))
    report.ratio(f"{what} and CloudWatch down, against without it", found["down"], found["off"], at_least(0.95))
    came, written = Results(delivery.came, "lines"), Results(delivery.written, "lines")
    report.ratio("log lines that came to CloudWatch, of those written", came, written)


def cost(report):
    """CPU time of the process for one log line: to standard output, and to CloudWatch."""
    with (
        parties.nginx_stand_in() as (s3, _),
        parties.cloudwatch() as cloudwatch,
        parties.fileservice(s3, LOG_LEVEL="error") as silent,
        parties.fileservice(s3) as console,
        parties.fileservice(s3, **_shipping_to(cloudwatch.url)) as shipping,
    ):

        def microseconds(service, load):
            begin = cpu_seconds(service.pid)
            requests, _ = load()
            return (cpu_seconds(service.pid) - begin) * 1e6 / requests

        for service in (silent, console, shipping):
            _load(service)
        delivery = Delivery(shipping, cloudwatch)
        found = in_turns({
            "silent": lambda: microseconds(silent, lambda: _load(silent)),
            "console": lambda: microseconds(console, lambda: _load(console)),
            "shipping": lambda: microseconds(shipping, delivery.load),
        }, "µs")  # fmt: skip
    what = "CPU time of a GET /file/bucket/key"
    report.difference(f"{what} with its log line, against LOG_LEVEL=error", found["console"], found["silent"])
    report.difference(f"{what} with CloudWatch, against standard output alone", found["shipping"], found["console"])


def _write_lines(service, size):
    """Loads a service until it has written so many bytes of log lines."""
    aim = service.stdout_path.stat().st_size + size
    end = time.monotonic() + LOAD_MOST_S
    while service.stdout_path.stat().st_size < aim:
        if time.monotonic() > end:
            raise Failed(f"{service.name} did not write {size} bytes of log lines within {LOAD_MOST_S} s")
        wrk(_url(service))


def _resting_mib(service):
    _wait_idle(service)
    return memory_mib(service.pid, "VmRSS")


def _grow(service):
    """(MiB after as many lines as fill the queue several times, MiB after several times as many more)"""
    _write_lines(service, FILL_BYTES)
    # However the clients spread over the workers later, none will have more than now, and need memory for them.
    wrk(_url(service), 2 * CLIENTS)
    full = _resting_mib(service)
    _write_lines(service, MORE_TIMES * FILL_BYTES)
    return full, _resting_mib(service)


def memory(report):
    """Growth of memory while CloudWatch is down, with its queue long full, and over a service without CloudWatch."""
    with (
        parties.nginx_stand_in() as (s3, _),
        parties.nobody() as nobody,
        parties.fileservice(s3, **_shipping_to(nobody)) as down,
        parties.fileservice(s3) as off,
    ):
        down_full, down_end = _grow(down)
        off_full, off_end = _grow(off)
    _check_outage(down)
    what = f"growth of memory by {MORE_TIMES} times as many lines once the queue is long full, CloudWatch down"
    report.value(f"{what}, beside without CloudWatch", down_end - down_full, at_most(1, "MiB"), off_end - off_full)
    report.value("memory with CloudWatch down, over that without CloudWatch", down_end - off_end)

"""Waiting for a condition, with a bound: no test sleeps to be right."""

import time


def wait_until(condition, timeout_s, what, every_s=0.02):
    """Returns the first true value of condition(); fails in words when there is none in time."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise AssertionError(f"{what}: not within {timeout_s} s")
        time.sleep(every_s)

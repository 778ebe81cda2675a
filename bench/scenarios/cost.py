"""What a request costs as the load grows."""

import parties
from measure import cpu_seconds, in_turns, wrk
from report import at_most

CONNECTIONS = (1, 10, 100, 1000)


def cost(report):
    """CPU time of the process for one GET /file/bucket/key, by 1, 10, 100 and 1000 connections."""
    with parties.nginx_stand_in() as (stand_in, _), parties.fileservice(stand_in) as ours:

        def microseconds(connections):
            begin = cpu_seconds(ours.pid)
            requests, _ = wrk(f"{ours.url}/file/bucket/key", connections)
            return (cpu_seconds(ours.pid) - begin) * 1e6 / requests

        found = in_turns({n: lambda n=n: microseconds(n) for n in CONNECTIONS}, "µs")
    report.spread("CPU time of a GET /file/bucket/key, by connections", found, at_most(1.2))

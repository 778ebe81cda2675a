"""Requests each second of small requests."""

import parties
from measure import BENCH, CLIENTS, in_turns, wrk
from report import at_least


def _in_turns(urls, script=None):
    return in_turns({name: lambda url=url: wrk(url, script=script)[1] for name, url in urls.items()}, "req/s")


def get_file(report):
    """GET /file/bucket/key, against nginx proxy_pass to the same stand-in for S3."""
    with parties.nginx_stand_in() as (stand_in, proxy), parties.fileservice(stand_in) as ours:
        found = _in_turns({"ours": f"{ours.url}/file/bucket/key", "nginx": f"{proxy}/bucket/key"})
    report.ratio("GET /file/bucket/key, against nginx proxy_pass", found["ours"], found["nginx"], at_least(0.75))


def hello(report):
    """GET /, against a libmicrohttpd hello world."""
    with parties.hello() as url, parties.fileservice("http://127.0.0.1:9") as ours:
        found = _in_turns({"ours": f"{ours.url}/", "hello": f"{url}/"})
    report.ratio("GET /, against a libmicrohttpd hello world", found["ours"], found["hello"], at_least(0.85))


def small_posts(report):
    """Forms of 4 KiB, against nginx passing the same bytes to the same stand-in for S3."""
    with parties.nginx_stand_in() as (stand_in, proxy), parties.fileservice(stand_in) as ours:
        urls = {"ours": f"{ours.url}/file/uploads", "nginx": f"{proxy}/uploads/small.bin"}
        found = _in_turns(urls, BENCH / "small_post.lua")
    what = f"{CLIENTS} clients POST 4 KiB, against nginx proxy_pass"
    report.ratio(what, found["ours"], found["nginx"], at_least(0.5))

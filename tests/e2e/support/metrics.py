"""The page of /metrics, read as Prometheus reads it."""

import requests
from prometheus_client.parser import text_string_to_metric_families

from support.process import free_port


class Page:
    def __init__(self, text):
        self.text = text
        self.families = {}
        for family in text_string_to_metric_families(text):
            assert family.name not in self.families, f"{family.name} is there twice"
            assert family.documentation and family.type != "unknown", family
            self.families[family.name] = family
        self.samples = [s for family in self.families.values() for s in family.samples]
        keys = [(s.name, tuple(sorted(s.labels.items()))) for s in self.samples]
        assert len(keys) == len(set(keys)), "a sample is there twice"

    def all(self, name, **labels):
        """(labels, value) of every sample that has these labels, and perhaps more."""
        return [
            (s.labels, s.value)
            for s in self.samples
            if s.name == name and labels.items() <= s.labels.items()
        ]

    def value(self, name, **labels):
        """The sum of these samples; 0 when there are none."""
        return sum(value for _, value in self.all(name, **labels))

    def has(self, name):
        return bool(self.all(name))


def with_metrics(**settings):
    """Settings of a service that has an admin door."""
    return {"ADMIN_PORT": free_port(), **settings}


def ask_admin(service, method="GET", path="/metrics", **options):
    url = f"http://127.0.0.1:{service.settings['ADMIN_PORT']}{path}"
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, timeout=10, **options)


def scrape(service):
    answer = ask_admin(service)
    assert answer.status_code == 200, answer.text
    return Page(answer.text)

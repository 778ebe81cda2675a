"""Fixtures: servers that live as long as the run, and services that live as long as a test."""

import itertools
import pathlib
import shutil
import signal
import sys
import uuid

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "faults"))

from cloudwatch_stand_in import StandIn as CloudWatchStandIn  # noqa: E402
from s3_stand_in import StandIn  # noqa: E402
from support import paths  # noqa: E402
from support.s3_servers import LocalStack, Versitygw  # noqa: E402
from support.service import ACCESS_KEY, SECRET_KEY, Service  # noqa: E402
from support.shipper import Shipper  # noqa: E402

TEST_TIMEOUT_S = 90
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TEST_TIMEOUT_S))


def pytest_sessionstart():
    """A run that is cut off by its time limit still has to end its servers."""

    def end_in_order(number, frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end_in_order)


@pytest.fixture(scope="session")
def work(request):
    """The folder of this run; kept when something failed."""
    folder = paths.make_work_folder()
    yield folder
    if request.session.testsfailed == 0:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def binary():
    assert paths.BINARY.exists(), f"{paths.BINARY} is not built"
    return paths.BINARY


def _run_server(server):
    try:
        server.wait_started()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def localstack(work):
    yield from _run_server(LocalStack(work))


@pytest.fixture(scope="session")
def versitygw(work):
    yield from _run_server(Versitygw(work))


def _service_factory(work):
    services = []

    def start(s3, stdout=None, **settings):
        """Starts a service in front of an S3 server, which is anything that has a `url`."""
        settings.setdefault("AWS_S3_ENDPOINT", s3.url)
        service = Service(work, next(_numbers), settings, stdout=stdout)
        services.append(service)
        service.wait_healthy()
        return service

    try:
        yield start
        for service in reversed(services):
            service.stop()
    finally:
        for service in services:
            service.kill()


@pytest.fixture
def start_service(work, binary):
    yield from _service_factory(work)


@pytest.fixture(scope="module")
def start_module_service(work, binary):
    yield from _service_factory(work)


@pytest.fixture(scope="session")
def _start_session_service(work, binary):
    yield from _service_factory(work)


@pytest.fixture(scope="session")
def service(_start_session_service, localstack):
    """The service in front of LocalStack."""
    return _start_session_service(localstack)


@pytest.fixture(scope="session")
def strict_service(_start_session_service, versitygw):
    """The service in front of versitygw, which checks every signature."""
    return _start_session_service(versitygw)


@pytest.fixture
def s3():
    """A scripted S3 of this test alone."""
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def module_s3():
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def cloudwatch():
    """A scripted and validating CloudWatch Logs of this test alone."""
    with CloudWatchStandIn(ACCESS_KEY, SECRET_KEY) as stand_in:
        yield stand_in


@pytest.fixture
def start_shipper(work, cloudwatch):
    """Starts a log shipper in front of the stand-in; the test flushes it."""
    shippers = []

    def start(**options):
        shippers.append(Shipper(work, next(_numbers), cloudwatch, **options))
        return shippers[-1]

    try:
        yield start
    finally:
        for shipper in shippers:
            shipper.kill()
    for shipper in shippers:
        shipper.check_no_report()


@pytest.fixture
def bucket():
    """The name of a bucket that does not exist yet."""
    return f"e2e-{uuid.uuid4().hex[:16]}"

from contextlib import ExitStack

import pytest

import meterd
from store.engines import postgres_url

from .process import Daemon


@pytest.fixture
def run_daemon(tmp_path):
    """Return a function that starts a daemon in this test's folder; every one is ended with the test."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(Daemon(tmp_path, **options))


@pytest.fixture(params=["sqlite", "postgres"])
def db(request, tmp_path):
    """Where a daemon keeps its ledger, on each engine in turn; None is a file in its folder."""
    return postgres_url(tmp_path) if request.param == "postgres" else None


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """Start one daemon for the tests of a module that leave it running; each takes users of its own."""
    with Daemon(tmp_path_factory.mktemp("daemon")) as daemon:
        yield daemon


@pytest.fixture
def client(daemon):
    """Connect the blocking client to the module's daemon."""
    with meterd.Client(daemon.address) as client:
        yield client

from contextlib import ExitStack

import pytest

import meterd

from .process import Daemon


@pytest.fixture
def run_daemon(tmp_path):
    """Return a function that starts a daemon in this test's folder; every one is ended with the test."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(Daemon(tmp_path, **options))


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

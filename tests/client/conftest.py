"""A scripted daemon in this process, and a client of either kind for it."""

import pytest

from .faces import Asyncio, Blocking
from .scripted import Daemon


@pytest.fixture
def daemon():
    """Start a scripted daemon on a port of its own."""
    daemon = Daemon()
    yield daemon
    daemon.stop()


@pytest.fixture(params=[Blocking, Asyncio])
def connect(request, daemon):
    """Return a function that makes a client of either kind, by default for `daemon`, and shuts it in the end."""
    made = []

    def connect(address=None, **options):
        made.append(request.param(address or daemon.address, **options))
        return made[-1]

    yield connect
    for client in made:
        client.shut()


@pytest.fixture
def client(connect):
    """Make a client of either kind with every default."""
    return connect()

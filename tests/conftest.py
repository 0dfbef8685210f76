"""What every test may count on."""

import sys

import pytest

from clocks import Clock


@pytest.fixture(scope="session", autouse=True)
def _servers():
    """Leave no PostgreSQL server behind, if a test has asked for one."""
    yield
    if engines := sys.modules.get("store.engines"):
        engines.leave_postgres()


@pytest.fixture
def clock():
    """Return a clock that stands still until a test moves it."""
    return Clock()

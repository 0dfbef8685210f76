"""What every test may count on."""

import sys

import pytest


@pytest.fixture(scope="session", autouse=True)
def _servers():
    """Leave no PostgreSQL server behind, if a test has asked for one."""
    yield
    if engines := sys.modules.get("store.engines"):
        engines.leave_postgres()

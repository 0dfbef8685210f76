"""A SQLite ledger to damage, and the command line."""

import asyncio
import shutil

import pytest
from typer.testing import CliRunner

from audit.files import make_file
from meterd_server import config
from meterd_server.cli import app


@pytest.fixture(scope="session")
def whole_ledger(tmp_path_factory):
    """Return the path of a ledger that adds up, for reading only."""
    path = tmp_path_factory.mktemp("ledger") / "whole.sqlite3"
    asyncio.run(make_file(path))
    return path


@pytest.fixture
def ledger(whole_ledger, tmp_path):
    """Return the path of a ledger of the test's own."""
    return shutil.copy(whole_ledger, tmp_path / "ledger.sqlite3")


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run `meterd` with arguments; its result has exit_code, stdout and stderr."""
    monkeypatch.setattr(config, "user_config_path", lambda _: tmp_path / "none")
    for name in ("METERD_ADDRESS", "METERD_DB"):
        monkeypatch.delenv(name, raising=False)
    return lambda *arguments: CliRunner().invoke(app, [str(each) for each in arguments])

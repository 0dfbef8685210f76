"""Real daemons on one PostgreSQL: they are equals, and their log never shows the password."""

from contextlib import ExitStack

import pytest

import meterd
from store.engines import postgres_url

from .process import Daemon


@pytest.fixture
def daemons(tmp_path):
    """Return two daemons on one database."""
    with ExitStack() as stack:
        started = []
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            started.append(
                stack.enter_context(Daemon(folder, db=postgres_url(tmp_path), options=["--db-connections", "4"]))
            )
        yield started


def test_two_daemons_are_one_ledger(daemons):
    """What one has acknowledged the other knows, and a retry may go to either."""
    with meterd.Client(daemons[0].address) as one, meterd.Client(daemons[1].address) as two:
        funded = one.record_funding("alice", 1_000, request_id="f")
        assert 1_000 == two.check("alice", 1_000).available_microcents
        assert two.record_funding("alice", 1_000, request_id="f").replayed
        assert two.record_cost("alice", 400, request_id="c", reject_overdraft=True).entry.version == 2
        with pytest.raises(meterd.InsufficientFundsError):
            one.record_cost("alice", 601, reject_overdraft=True)
        assert [funded.entry, two.record_cost("alice", 400, request_id="c", reject_overdraft=True).entry] == list(
            one.list_entries("alice", oldest_first=True)
        )
    assert [0, 0] == [daemon.stop() for daemon in daemons]


def test_the_log_shows_no_password(daemons):
    """The daemon says which database it serves, without the password and without parameters."""
    (line,) = [line for line in daemons[0].log() if line["event"].startswith("serving on")]
    assert "database postgresql://" in line["event"]
    assert "schema=" not in line["event"]


def test_a_wrong_address_stops_the_daemon(tmp_path):
    """A database that cannot be reached is exit code 5 and one line, without the password."""
    daemon = Daemon(tmp_path, db=f"postgresql://ada:hunter2@/x?host={tmp_path}")
    with pytest.raises(AssertionError, match="nobody answers there"):
        daemon.start()
    assert "hunter2" not in daemon.log_text()

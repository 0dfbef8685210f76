"""What SQLite reads in its logs is on the disk before it is believed."""

import errno
import os
from itertools import accumulate
from unittest.mock import patch

import pytest

from meterd_server.errors import StartupError, StoreUnavailable
from meterd_server.store.sqlite import SqliteStore, engine, logs
from prove.recording import SystemCalls
from rules.commands import cost


def test_every_byte_is_written_again_and_then_synced(tmp_path):
    """Both logs are gone through from the first byte to the last, and synced once at the end."""
    expected = {"-wal": os.urandom(3_000_000), "-journal": b"journal"}
    for log, data in expected.items():
        (tmp_path / f"a.sqlite3{log}").write_bytes(data)
    told = {log: [] for log in expected}
    calls = SystemCalls(
        lambda log, offset, data: told[log].append((offset, data)), lambda log: told[log].append("sync")
    )
    with patch.object(logs, "os", calls):
        logs.make_durable(tmp_path / "a.sqlite3")
    for log, data in expected.items():
        *writes, last = told[log]
        assert "sync" == last
        assert [0, *accumulate(len(part) for _, part in writes)][:-1] == [offset for offset, _ in writes]
        assert data == b"".join(part for _, part in writes)
        assert data == (tmp_path / f"a.sqlite3{log}").read_bytes()


def test_without_logs_there_is_nothing_to_do(tmp_path):
    """A file that was closed in order has none, and none is made."""
    logs.make_durable(tmp_path / "a.sqlite3")
    assert [] == list(tmp_path.iterdir())


async def test_a_disk_that_cannot_make_them_durable(tmp_path):
    """Opening fails as it does for any other error of the disk, and the log is believed once it is written."""
    path = tmp_path / "a.sqlite3"
    (tmp_path / "a.sqlite3-wal").write_bytes(b"log")
    error = OSError(errno.EIO, "Input/output error")
    store = SqliteStore(path)
    with patch.object(logs.os, "fsync", side_effect=error), pytest.raises(StartupError, match="Input/output error"):
        await store.open()
    await store.open()
    await store.commit([cost("alice", 5, "r1")], 1)
    with patch.object(engine, "make_durable", side_effect=error), pytest.raises(StoreUnavailable):
        await store.reopen()
    await store.reopen()
    (outcome,) = await store.commit([cost("alice", 5, "r1")], 2)
    assert (True, -5) == (outcome.replayed, outcome.account.balance_microcents)
    await store.close()

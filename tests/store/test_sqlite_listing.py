"""What a listing costs in SQLite."""

import sqlite3

import pytest

from meterd_server.store.sqlite import SqliteStore
from rules.commands import cost, in_columns
from store.model import NEVER


class Meter:
    """Counts the work that its connections do, in hundreds of SQLite's own instructions."""

    def __init__(self):
        self.hundreds = 0

    def connect(self, *args, **kwargs):
        """Make a connection, as sqlite3.connect does."""
        connection = sqlite3.connect(*args, **kwargs)
        connection.set_progress_handler(self._count, 100)
        return connection

    def _count(self):
        self.hundreds += 1


@pytest.mark.parametrize("put", [list, in_columns])
async def test_a_page_costs_the_same_anywhere(tmp_path, put):
    """Listing a few entries in the middle of thousands does not walk through the others."""
    meter = Meter()
    store = SqliteStore(tmp_path / "meterd.sqlite3", connect=meter.connect)
    await store.open()
    await store.commit(put([cost("alice", number) for number in range(5000)]), 1)

    async def price(**bounds):
        meter.hundreds = 0
        listed = await store.entries("alice", **{"after_version": 0, "before_version": NEVER} | bounds)
        return meter.hundreds, [entry.version for entry in listed]

    everything, _ = await price(newest_first=True, limit=5000)
    pages = {
        "newest": await price(newest_first=True, limit=3),
        "middle": await price(newest_first=True, limit=3, before_version=2500),
        "oldest": await price(newest_first=False, limit=3),
    }
    await store.close()
    assert {"newest": [5000, 4999, 4998], "middle": [2499, 2498, 2497], "oldest": [1, 2, 3]} == {
        name: versions for name, (_, versions) in pages.items()
    }
    assert everything > 20 * max(hundreds for hundreds, _ in pages.values())

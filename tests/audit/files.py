"""The ledger in which everything has happened, as a SQLite file that an orderly stop has left."""

import sqlite3

from audit.ledgers import EVERYTHING, NOW_US, SECOND_US
from meterd_server.store.sqlite import SqliteStore


async def make_ledger(store, commands=EVERYTHING):
    """Have a store that is open carry everything out, and the store is closed."""
    for seconds, command in commands:
        await store.commit([command], NOW_US + seconds * SECOND_US)
    await store.close()


async def make_file(path, commands=EVERYTHING):
    """Make a ledger in the SQLite file `path`."""
    store = SqliteStore(path)
    await store.open()
    await make_ledger(store, commands)
    return path


def execute(path, *statements):
    """Do something to a file that no daemon would do."""
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        assert connection.execute(statement).rowcount != 0, statement
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()

"""The floor under a batch: the same rows, made beforehand, inserted by nothing but sqlite3."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from pathlib import Path

from bench.fill import costs
from meterd_server.store.sqlite import SqliteStore


async def _rows(database: Path, entries: int) -> list[tuple[object, ...]]:
    """The rows that a store writes for so many costs of 10,000 users; of accounts and marks it writes hardly any."""
    store = SqliteStore(database)
    await store.open()
    for batch in costs(users=10_000, entries=entries):
        await store.commit(batch, time.time_ns() // 1000)
    await store.close()
    with sqlite3.connect(database) as connection:
        return connection.execute("SELECT * FROM entry").fetchall()


def insert(parent: Path, *, entries: int, batch: int) -> float:
    """Entries a second, durable after every `batch` of them."""
    folder = Path(tempfile.mkdtemp(dir=parent))
    rows = asyncio.run(_rows(folder / "rows.sqlite3", entries))
    database = folder / "raw.sqlite3"
    asyncio.run(_empty(database))
    with sqlite3.connect(database, isolation_level=None) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        statement = f"INSERT INTO entry VALUES ({','.join('?' * len(rows[0]))})"
        began = time.perf_counter()
        for first in range(0, entries, batch):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(statement, rows[first : first + batch])
            connection.execute("COMMIT")
        return entries / (time.perf_counter() - began)


async def _empty(database: Path) -> None:
    store = SqliteStore(database)
    await store.open()
    await store.close()

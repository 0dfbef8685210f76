"""A ledger of some size, made through the store itself, and a look at every account of it over the wire."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import meterd
from meterd_server.load import COST_MICROCENTS
from meterd_server.model import RecordCost
from meterd_server.store.sqlite import SqliteStore

BATCH_OPERATIONS = 1000


def costs(*, users: int, entries: int) -> Iterator[list[RecordCost]]:
    """Batches of `entries` costs in all, spread evenly over `users`, the users that a load has first."""
    for first in range(0, entries, BATCH_OPERATIONS):
        yield [
            RecordCost(
                f"bench-{number % users}", meterd.new_request_id(), COST_MICROCENTS, "bench", request_id_is_new=True
            )
            for number in range(first, min(first + BATCH_OPERATIONS, entries))
        ]


async def fill(database: Path, *, users: int, entries: int) -> None:
    """Write `entries` costs in durable batches."""
    store = SqliteStore(database)
    await store.open()
    try:
        for batch in costs(users=users, entries=entries):
            await store.commit(batch, time.time_ns() // 1000)
    finally:
        await store.close()


async def touch_accounts(address: str, users: int) -> None:
    """Check every user once, so that the daemon has as many accounts in memory as it will hold."""
    async with meterd.AsyncClient(address) as client:
        for first in range(0, users, 64):
            await asyncio.gather(*(client.check(f"bench-{number}") for number in range(first, min(first + 64, users))))

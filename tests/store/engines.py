"""The engines that have to show the behaviour in this folder: an engine joins by a line in ENGINES."""

import asyncio
import os
from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from typing import Any, NamedTuple

import asyncpg

from meterd_server.store.postgres.engine import PostgresStore
from meterd_server.store.sqlite import SqliteStore
from store.postgres_server import PostgresServer


class Engine(NamedTuple):
    """How to make a store of one engine, and what the engine cannot do."""

    name: str
    make: Callable[..., Any]
    """make(place, accounts_max=...) returns a store that is not open yet; the same place is the same data."""
    survives_reopening: bool = True


class DistributedStore(PostgresStore):
    """PostgreSQL whose transactions keep to one bucket each."""

    async def open(self):
        """Open, and record it where that is not yet so."""
        await super().open()
        if self.lanes != 1024:
            await self.distribute()
            await self.reopen()


_schemas: set[str] = set()


@cache
def private_server():
    """A server of this process's own, started when it is first needed."""
    return PostgresServer()


def postgres_url(place):
    """Return an address for `place`, with a schema of its own: on TEST_DATABASE_URL if that is set, else on a private server."""
    url = os.environ.get("TEST_DATABASE_URL") or private_server().url()
    schema = f"test_{blake2b(str(place).encode(), digest_size=12).hexdigest()}"
    _schemas.add(schema)
    return f"{url}{'&' if '?' in url else '?'}schema={schema}"


def leave_postgres():
    """Stop the private server, or take what the tests made off the one that was given."""
    if private_server.cache_info().currsize:
        private_server().stop()
    if _schemas and "TEST_DATABASE_URL" in os.environ:
        asyncio.run(_drop(_schemas))


async def _drop(schemas):
    connection = await asyncpg.connect(os.environ["TEST_DATABASE_URL"])
    for schema in schemas:
        await connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
    await connection.close()


def _postgres(kind):
    # Nothing is held in memory there, so there is no limit to give.
    return lambda place, accounts_max=0, **options: kind(postgres_url(place), connections=4, **options)


ENGINES = [
    Engine("sqlite-file", lambda place, **options: SqliteStore(place / "meterd.sqlite3", **options)),
    Engine("sqlite-memory", lambda _, **options: SqliteStore(":memory:", **options), survives_reopening=False),
    Engine("postgres", _postgres(PostgresStore)),
    Engine("postgres-distributed", _postgres(DistributedStore)),
]

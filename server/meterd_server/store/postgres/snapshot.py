"""A PostgreSQL ledger as it is at one moment, read only: for checking it, and for backing it up beside its daemons.

One REPEATABLE READ transaction on a connection of its own is open all the while, as pg_dump's is.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg

from meterd_server.errors import StoreUnavailable
from meterd_server.store.postgres.buckets import bucket_of
from meterd_server.store.postgres.connections import CONNECTION_ERRORS, Connections, hang_up
from meterd_server.store.postgres.engine import PostgresStore
from meterd_server.store.postgres.rows import RESERVATION, pack_request_id, reservation_from_row
from meterd_server.store.postgres.schema import check_current
from meterd_server.store.postgres.startup import explained
from meterd_server.store.postgres.statements import make_statements
from meterd_server.store.reading import Kept, Rows, understood

if TYPE_CHECKING:
    from collections.abc import Collection

    from meterd_server.model import Account, Entry
    from meterd_server.store.postgres.connections import Connection
    from meterd_server.store.postgres.statements import Statements

_BEGIN = """
    BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL statement_timeout = 0;
    SET LOCAL idle_in_transaction_session_timeout = 0"""

_OF_A_USER = "FROM {table} WHERE bucket = $1 AND user_id = $2"
_RESERVATIONS = (
    f"SELECT {', '.join(name for name, _ in RESERVATION)} {_OF_A_USER} AND reservation_id = ANY($3::bytea[])"
)
_REVERSED = f"SELECT version, reversed_microcents {_OF_A_USER}"
_GRANTS_DUE = f"SELECT version, expire_time_us {_OF_A_USER} AND NOT lapsed"

_COUNTS = """
    SELECT (SELECT count(*) FROM "{schema}".entry), (SELECT count(*) FROM "{schema}".reservation),
           (SELECT count(*) FROM "{schema}".reversal), (SELECT count(*) FROM "{schema}".grant_due WHERE NOT lapsed)"""

_KEY = """
    SELECT count(*) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    JOIN pg_namespace AS schema ON relnamespace = schema.oid
    WHERE nspname = $1 AND relname = 'entry_request' AND indisunique AND indisvalid"""
"""Whether the index of request ids is there and does its work."""


class PostgresSnapshot(PostgresStore):
    """`Snapshot` of the database at `url`. It needs no more than to be allowed to read."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._line: Connection | None = None
        self._statements: Statements = make_statements(self._address.schema, distributed=False)
        self._one_at_a_time = asyncio.Lock()

    async def open(self) -> None:
        """See `Store.open`: makes nothing that is not there. Raises `StartupError`."""
        with explained(self._address, 1):
            self._line = await Connections(self._address, 1, self._connect).connect()
            await check_current(self._line, self._address)
            await self._line.execute(_BEGIN)
            # The moment is that of the first statement.
            await self._line.fetchval("SELECT 1")

    async def close(self) -> None:
        """See `Store.close`."""
        line, self._line = self._line, None
        if line:
            await hang_up(line)

    async def users(self, after: str | None, limit: int) -> list[Account]:
        """See `Store.users`."""
        with understood():
            return await super().users(after, limit)

    async def entries(
        self, user_id: str, *, after_version: int, before_version: int, newest_first: bool, limit: int
    ) -> list[Entry]:
        """See `Store.entries`."""
        with understood():
            return await super().entries(
                user_id,
                after_version=after_version,
                before_version=before_version,
                newest_first=newest_first,
                limit=limit,
            )

    async def kept(self, user_id: str, reservation_ids: Collection[str]) -> Kept:
        """See `Snapshot.kept`."""
        whose = (bucket_of(user_id), user_id)
        reservations = {}
        if reservation_ids:
            rows = await self._fetch(
                self._from(_RESERVATIONS, "reservation"), *whose, [*map(pack_request_id, reservation_ids)]
            )
            reservations = {each.reservation_id: each for each in map(reservation_from_row, rows)}
        return Kept(
            reservations,
            dict([tuple(row) for row in await self._fetch(self._from(_REVERSED, "reversal"), *whose)]),
            dict([tuple(row) for row in await self._fetch(self._from(_GRANTS_DUE, "grant_due"), *whose)]),
        )

    async def rows(self) -> Rows:
        """See `Snapshot.rows`."""
        return Rows(*(await self._fetch(_COUNTS.format(schema=self._address.schema)))[0])

    async def damage(self) -> str:
        """See `Snapshot.damage`: whether the index of request ids is whole; the rest is the server's business (amcheck)."""
        found = (await self._fetch(_KEY, self._address.schema))[0][0]
        return "" if found else "entry_request is not there, or not valid"

    def _from(self, statement: str, table: str) -> str:
        return statement.format(table=f'"{self._address.schema}".{table}')

    async def _read(self, name: str, *args: object) -> list[Any]:
        return await self._fetch(getattr(self._statements, name), *args)

    async def _fetch(self, statement: str, *args: object) -> list[Any]:
        """The rows of a statement. A connection that broke is not replaced: another one would see another moment."""
        if self._line is None:
            raise StoreUnavailable("the database is closed")
        async with self._one_at_a_time:
            try:
                return await self._line.fetch(statement, *args)
            except (*CONNECTION_ERRORS, asyncpg.PostgresError) as error:
                raise StoreUnavailable(f"{self.place}: {type(error).__name__}: {error}") from error

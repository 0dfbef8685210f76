"""The SQLite store: two connections on two threads, one that writes and one that lists.

Only one connection ever writes or checkpoints (SQLite before 3.51.3 can lose a WAL reset between two), and nothing is retried on
a connection that failed: after an I/O error it is closed, memory is dropped, and a new one starts from what is durable.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote

import aiosqlite

from meterd_server.errors import StartupError, StoreUnavailable
from meterd_server.model import Account
from meterd_server.pricing import CardError
from meterd_server.store.sqlite.listing import list_entries
from meterd_server.store.sqlite.lockfile import LockFile
from meterd_server.store.sqlite.moving import import_entries, list_users
from meterd_server.store.sqlite.rates import add_cards, read_cards
from meterd_server.store.sqlite.schema import migrate
from meterd_server.store.sqlite.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from meterd_server.model import Command, Entry, Outcome
    from meterd_server.pricing import RateCard
    from meterd_server.store.sqlite.rows import Held

log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")

MEMORY = ":memory:"

_AT_ONCE_OPERATIONS_MAX = 256
"""The largest batch that is committed on the event loop's own thread: about two milliseconds."""

_SLOW_SECONDS = 0.01
"""A commit there that took longer met a slow disk, or a checkpoint: the next ones, for a while, leave the event loop free."""

_SLOW_PAUSE_SECONDS = 0.5

_PRAGMAS = (
    "PRAGMA busy_timeout = 5000",  # someone may look at the file with the sqlite3 shell
    "PRAGMA journal_mode = WAL",  # readers beside the writer, one sync a commit
    "PRAGMA synchronous = FULL",  # WAL defaults to losing the last commits on power cut
    "PRAGMA wal_autocheckpoint = 1000",  # pages; a log that starts over soon is overwritten, which syncs faster than growing
    "PRAGMA cache_size = -32768",  # KiB; enough for the inner pages of both indexes
)


class _Connection(aiosqlite.Connection):
    """An aiosqlite connection that also runs a whole function on its thread: one hop, however many statements."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, 64)
        self._under_way: set[object] = set()

    @property
    def idle(self) -> bool:
        """Whether nothing is waiting for the thread or running there, so that any thread may use the connection."""
        return not self._under_way

    async def run(
        self, function: Callable[Concatenate[sqlite3.Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Call `function(connection, ...)` on the connection's thread. Cancelling the await does not stop it."""
        work = object()

        def call() -> _T:
            try:
                return function(self._conn, *args, **kwargs)
            finally:
                self._under_way.discard(work)

        self._under_way.add(work)
        result: _T = await self._execute(call)  # type: ignore[no-untyped-call]
        return result

    async def ended(self) -> None:
        """Wait for the thread of a connection that could not be made: it must not speak to a loop that is gone."""
        await asyncio.to_thread(self._thread.join)


class SqliteStore:
    """`Store` in the SQLite file `path`, or in memory for ":memory:" (nothing survives; for tests and trials)."""

    shared = False
    lanes = 1

    def __init__(
        self,
        path: str | Path,
        *,
        accounts_max: int = 100_000,
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect,
    ) -> None:
        self._place = str(path)
        self._accounts_max = accounts_max
        self._connect = connect
        self._lock = None if self._place == MEMORY else LockFile(Path(path))
        self._connection: _Connection | None = None
        self._reader: _Connection | None = None
        self._writer: Writer | None = None
        self._slow_until_seconds = 0.0

    async def open(self) -> None:
        """See `Store.open`: also takes the lock file and makes the folder."""
        try:
            if self._lock:
                self._lock.acquire()
            await self._start()
        except (sqlite3.Error, OSError) as error:
            await self.close()
            raise StartupError(f"{self._place} cannot be used as a database: {error}") from error
        except BaseException:
            await self.close()
            raise

    async def reopen(self) -> None:
        """See `Store.reopen`."""
        await self._stop()
        try:
            await self._start()
        except (sqlite3.Error, OSError, StartupError) as error:
            await self._stop()
            raise StoreUnavailable(str(error)) from error

    async def close(self) -> None:
        """See `Store.close`: also brings the file up to date with its logs and lets go of the lock."""
        if self._connection and (writer := self._writer):
            try:
                await self._connection.run(lambda _: writer.close())
            except sqlite3.Error:
                log.warning("tidying up failed; the next start reads what this one left", exc_info=True)
        await self._stop()
        if self._lock:
            self._lock.release()

    async def commit(self, commands: Sequence[Command], now_us: int) -> list[Outcome]:
        """See `Store.commit`."""
        connection, writer = self._active()
        try:
            return await connection.run(lambda _: writer.commit(commands, now_us))
        except Exception as error:
            await self._stop()
            raise StoreUnavailable(str(error)) from error

    def commit_at_once(self, commands: Sequence[Command], now_us: int) -> list[Outcome] | None:
        """See `Store.commit_at_once`: beside a busy event loop, a commit on a thread takes four times as long."""
        connection, writer = self._active()
        started = time.monotonic()
        if not connection.idle or len(commands) > _AT_ONCE_OPERATIONS_MAX or started < self._slow_until_seconds:
            return None
        try:
            return writer.commit(commands, now_us)
        except Exception as error:
            self._writer = None  # what it holds may be ahead of what is durable; the connections are closed by `reopen`
            raise StoreUnavailable(str(error)) from error
        finally:
            ended = time.monotonic()
            if ended - started > _SLOW_SECONDS:
                self._slow_until_seconds = ended + _SLOW_PAUSE_SECONDS

    def lane_of(self, user_id: str) -> int:
        """See `Store.lane_of`."""
        return 0

    def peek(self, user_id: str) -> Account | None:
        """See `Store.peek`."""
        return self._writer.peek(user_id) if self._writer else None

    async def account(self, user_id: str) -> Account:
        """See `Store.account`."""
        held = await self._held(user_id)
        return held.account if held else Account(user_id)

    async def entries(
        self, user_id: str, *, after_version: int, before_version: int, newest_first: bool, limit: int
    ) -> list[Entry]:
        """See `Store.entries`. Runs beside commits, on the reading connection."""
        held = await self._held(user_id)
        if held is None:
            return []
        # An in-memory database has one connection only.
        connection = self._reader or self._active()[0]
        try:
            return await connection.run(
                list_entries,
                held,
                after_version=after_version,
                before_version=before_version,
                newest_first=newest_first,
                limit=limit,
            )
        except (sqlite3.Error, ValueError) as error:
            raise StoreUnavailable(str(error)) from error

    async def rate_cards(self) -> list[RateCard]:
        """See `Store.rate_cards`."""
        try:
            return await self._active()[0].run(read_cards)
        except (sqlite3.Error, CardError) as error:
            raise StoreUnavailable(str(error)) from error

    async def add_rate_cards(self, cards: Sequence[RateCard]) -> bool:
        """See `Store.add_rate_cards`."""
        try:
            return await self._active()[0].run(add_cards, cards)
        except sqlite3.Error as error:
            await self._stop()
            raise StoreUnavailable(str(error)) from error

    async def users(self, after: str | None, limit: int) -> list[Account]:
        """See `MovableStore.users`: in the order of the user ids."""
        connection, writer = self._active()
        try:
            return await connection.run(list_users, writer, after, limit)
        except (sqlite3.Error, ValueError) as error:
            raise StoreUnavailable(str(error)) from error

    async def import_entries(self, entries: Sequence[Entry], accounts: Mapping[str, Account]) -> None:
        """See `MovableStore.import_entries`."""
        connection, writer = self._active()
        try:
            await connection.run(lambda _: import_entries(writer, entries, accounts))
        except Exception as error:
            await self._stop()
            raise StoreUnavailable(str(error)) from error

    async def _held(self, user_id: str) -> Held | None:
        connection, writer = self._active()
        try:
            return await connection.run(lambda _: writer.held(user_id))
        except (sqlite3.Error, ValueError) as error:
            raise StoreUnavailable(str(error)) from error

    def _active(self) -> tuple[_Connection, Writer]:
        if self._connection is None or self._writer is None:
            raise StoreUnavailable("the database is closed")
        return self._connection, self._writer

    async def _start(self) -> None:
        self._connection = connection = await self._connected(self._place)
        self._writer = await connection.run(_make_writer, self._place, self._accounts_max)
        if self._lock:
            uri = f"file:{quote(self._place)}?mode=ro"
            self._reader = await self._connected(uri, uri=True)

    async def _connected(self, database: str, **options: bool) -> _Connection:
        connection = _Connection(partial(self._connect, database, **_CONNECT, **options))
        try:
            await connection
        except BaseException:
            await connection.ended()
            raise
        return connection

    async def _stop(self) -> None:
        """Close what is open. What was held in memory goes with it: it may be ahead of what is durable."""
        connections = [connection for connection in (self._reader, self._connection) if connection]
        self._reader = self._connection = self._writer = None
        for connection in connections:  # the writer last: it takes the write-ahead log with it
            try:
                await connection.close()
            except sqlite3.Error as error:
                log.warning("closing the database failed: %s", error)


# The thread is aiosqlite's; transactions are opened and ended by name, in `Writer`.
_CONNECT = {"isolation_level": None, "check_same_thread": False, "cached_statements": 256}


def _make_writer(connection: sqlite3.Connection, place: str, accounts_max: int) -> Writer:
    # First of all, because a pragma may change the file: it could be somebody else's.
    migrate(connection, place)
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    # Changes nothing, but a file that cannot be written to fails here and not at the first commit.
    connection.execute("DELETE FROM recovery WHERE 0")
    return Writer(connection, accounts_max)

"""The SQLite store: two connections on two threads, one that writes and one that lists.

Only one connection ever writes or checkpoints (SQLite before 3.51.3 can lose a WAL reset between two), and nothing is retried on
a connection that failed: after an I/O error it is closed, memory is dropped, and a new one starts from what is durable.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote

import aiosqlite

from meterd_server.errors import StartupError, StoreUnavailable
from meterd_server.model import Account
from meterd_server.store.sqlite.listing import list_entries
from meterd_server.store.sqlite.lockfile import LockFile
from meterd_server.store.sqlite.moving import import_entries, list_users
from meterd_server.store.sqlite.schema import migrate
from meterd_server.store.sqlite.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from meterd_server.model import Command, Entry, Outcome
    from meterd_server.store.sqlite.rows import Held

log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")

MEMORY = ":memory:"

_YIELD_SECONDS_MAX = 0.002
"""How long the event loop stands back for a commit that many wait for; a slow disk is waited for without."""

_PRAGMAS = (
    "PRAGMA busy_timeout = 5000",  # someone may look at the file with the sqlite3 shell
    "PRAGMA journal_mode = WAL",  # readers beside the writer, one sync a commit
    "PRAGMA synchronous = FULL",  # WAL defaults to losing the last commits on power cut
    "PRAGMA wal_autocheckpoint = 1000",  # pages; a log that starts over soon is overwritten, which syncs faster than growing
    "PRAGMA cache_size = -32768",  # KiB; enough for the inner pages of both indexes
)


class _Connection(aiosqlite.Connection):
    """An aiosqlite connection that also runs a whole function on its thread: one hop, however many statements."""

    async def run(
        self, function: Callable[Concatenate[sqlite3.Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Call `function(connection, ...)` on the connection's thread. Cancelling the await does not stop it."""
        result: _T = await self._execute(partial(function, self._conn, *args, **kwargs))  # type: ignore[no-untyped-call]
        return result

    async def ended(self) -> None:
        """Wait for the thread of a connection that could not be made: it must not speak to a loop that is gone."""
        await asyncio.to_thread(self._thread.join)

    async def run_first(self, seconds_max: float, function: Callable[[], _T]) -> _T:
        """Call `function()` on the connection's thread, giving it the interpreter for up to `seconds_max` before going on.

        Beside a busy event loop, each statement would wait for its turn of the interpreter: a commit takes four times as long,
        and its callers wait. Let alone it takes half a millisecond, and the calls that arrive meanwhile are then read at once.
        """
        done = threading.Event()

        def work() -> _T:
            try:
                return function()
            finally:
                done.set()

        running = asyncio.ensure_future(self._execute(work))  # type: ignore[no-untyped-call]
        await asyncio.sleep(0)  # lets the task put the work in the thread's queue
        done.wait(seconds_max)
        result: _T = await running
        return result


class SqliteStore:
    """`Store` in the SQLite file `path`, or in memory for ":memory:" (nothing survives; for tests and trials)."""

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
            work = partial(writer.commit, commands, now_us)
            if len(commands) == 1:
                return await connection.run(lambda _: work())
            return await connection.run_first(_YIELD_SECONDS_MAX, work)
        except Exception as error:
            await self._stop()
            raise StoreUnavailable(str(error)) from error

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
        connection = _Connection(partial(self._connect, database, **_CONNECT, **options), 64)
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

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
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from meterd_server.errors import StartupError, StoreUnavailable
from meterd_server.model import Account
from meterd_server.pricing import CardError
from meterd_server.store.sqlite.connection import Connection
from meterd_server.store.sqlite.consequences import list_due
from meterd_server.store.sqlite.listing import list_entries
from meterd_server.store.sqlite.lockfile import LockFile
from meterd_server.store.sqlite.logs import make_durable
from meterd_server.store.sqlite.moving import list_users
from meterd_server.store.sqlite.rates import add_cards, count_cards, read_cards
from meterd_server.store.sqlite.schema import migrate
from meterd_server.store.sqlite.slowness import Slowness
from meterd_server.store.sqlite.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from meterd_server.model import Command, Entry, Outcome
    from meterd_server.pricing import RateCard
    from meterd_server.store.sqlite.rows import Held

_T = TypeVar("_T")

log = logging.getLogger(__name__)

MEMORY = ":memory:"

AT_ONCE_OPERATIONS_MAX = 256
"""The largest batch that is decided, or decided and written, on the event loop's own thread: about two milliseconds."""

AT_ONCE_SECONDS_MAX = 0.01
"""What took longer there met a slow disk, or a checkpoint: the next commits leave the event loop free for a while (`Slowness`)."""

CHECKPOINT_PAGES = 1000
"""About how many pages the write-ahead log takes in before it is copied into the file, on the connection's thread: within a commit,
that would hold up the event loop. A log that starts over soon is overwritten, which syncs faster than growing."""

_ENTRIES_A_PAGE = 25
"""How many entries fill a page of each of the two trees that a commit always writes to, about."""

_PRAGMAS = (
    "PRAGMA busy_timeout = 5000",  # someone may look at the file with the sqlite3 shell
    "PRAGMA journal_mode = WAL",  # readers beside the writer, one sync a commit
    "PRAGMA synchronous = FULL",  # WAL defaults to losing the last commits on power cut
    f"PRAGMA wal_autocheckpoint = {4 * CHECKPOINT_PAGES}",  # in a commit's own time: only if there is no quieter one
    "PRAGMA cache_size = -32768",  # KiB; enough for the inner pages of both indexes
)


class SqliteStore:
    """`Store` in the SQLite file `path`, or in memory for ":memory:" (nothing survives; for tests and trials).

    `at_once_operations_max` and `at_once_seconds_max` say how long the event loop may be held up by a commit: it takes as long as
    gRPC can spare when there is a server on the loop, and longer when there is none.
    """

    shared = False
    lanes = 1

    def __init__(
        self,
        path: str | Path,
        *,
        accounts_max: int = 100_000,
        at_once_operations_max: int = AT_ONCE_OPERATIONS_MAX,
        at_once_seconds_max: float = AT_ONCE_SECONDS_MAX,
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place = str(path)
        self._accounts_max = accounts_max
        self._at_once_operations_max = at_once_operations_max
        self._slowness = Slowness(at_once_seconds_max, clock)
        self._connect = connect
        self._lock = None if self._place == MEMORY else LockFile(Path(path))
        self._connection: Connection | None = None
        self._reader: Connection | None = None
        self._writer: Writer | None = None
        self._pages = 0
        self._checkpoint: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def needs_reopening(self) -> bool:
        """See `Store.needs_reopening`."""
        return self._writer is None

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

    async def commit(self, commands: Sequence[Command], now_us: int) -> Sequence[Outcome]:
        """See `Store.commit`: decides on the event loop's thread where that is quick, and writes and syncs on the connection's.

        Python on another thread takes several times as long beside a busy event loop; SQLite's own work and the disk do not.
        """
        connection, writer = self._active()
        try:
            if self._is_quick(connection, commands):
                prepared = self._on_the_loop(writer.prepare, commands, now_us)
                outcomes = await connection.run(lambda _: writer.carry_out(prepared))
            else:
                outcomes = await connection.run(lambda _: writer.commit(commands, now_us))
        except Exception as error:
            await self._stop()
            raise StoreUnavailable(str(error)) from error
        self._count_pages(len(commands))
        return outcomes

    def commit_at_once(self, commands: Sequence[Command], now_us: int) -> Sequence[Outcome] | None:
        """See `Store.commit_at_once`: to another thread and back takes half as long again as a small commit."""
        connection, writer = self._active()
        if not self._is_quick(connection, commands):
            return None
        try:
            outcomes = self._on_the_loop(writer.commit, commands, now_us)
        except Exception as error:
            self._writer = None  # what it holds may be ahead of what is durable; the connections are closed by `reopen`
            raise StoreUnavailable(str(error)) from error
        self._count_pages(len(commands))
        return outcomes

    def _is_quick(self, connection: Connection, commands: Sequence[Command]) -> bool:
        """Whether the event loop's own thread may use the connection, and is likely to be done soon."""
        return connection.idle and len(commands) <= self._at_once_operations_max and not self._slowness.lasts()

    def _on_the_loop(
        self, step: Callable[[Sequence[Command], int], _T], commands: Sequence[Command], now_us: int
    ) -> _T:
        """Hold the event loop up; when that took too long, whatever came of it, nothing is quick for a while."""
        began_seconds = self._slowness.clock()
        try:
            return step(commands, now_us)
        finally:
            self._slowness.note(began_seconds)

    def _count_pages(self, operations: int) -> None:
        """Have the log copied into the file when it has taken in enough."""
        self._pages += 2 + operations // _ENTRIES_A_PAGE
        if self._pages >= CHECKPOINT_PAGES and self._checkpoint is None and self._lock:
            self._pages = 0
            self._checkpoint = asyncio.get_running_loop().create_task(self._copy_log(), name="checkpoint")

    async def _copy_log(self) -> None:
        """Commits meanwhile wait behind this on the connection's thread; everything else goes on."""
        try:
            connection, _ = self._active()
            await connection.run(lambda connection: connection.execute("PRAGMA wal_checkpoint(PASSIVE)").close())
        except (sqlite3.Error, ValueError, StoreUnavailable) as error:
            # What a failed sync leaves is not to be built upon: whatever comes next fails, and the ledger starts over.
            log.warning("copying the write-ahead log failed: %s", error)
            self._writer = None
        finally:
            self._checkpoint = None

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

    async def due(self, now_us: int, limit: int) -> list[Command]:
        """See `Store.due`. Runs beside commits, as `entries` does."""
        connection = self._reader or self._active()[0]
        try:
            return await connection.run(list_due, now_us, limit)
        except (sqlite3.Error, ValueError) as error:
            raise StoreUnavailable(str(error)) from error

    async def lease(self, holder: str, seconds: float) -> bool:
        """See `Store.lease`: nobody else has the file."""
        self._active()
        return True

    async def rate_cards(self) -> list[RateCard]:
        """See `Store.rate_cards`."""
        try:
            return await self._active()[0].run(read_cards)
        except (sqlite3.Error, CardError) as error:
            raise StoreUnavailable(str(error)) from error

    async def rate_card_count(self) -> int:
        """See `Store.rate_card_count`."""
        try:
            return await self._active()[0].run(count_cards)
        except sqlite3.Error as error:
            raise StoreUnavailable(str(error)) from error

    async def add_rate_cards(self, cards: Sequence[RateCard]) -> bool:
        """See `Store.add_rate_cards`."""
        try:
            return await self._active()[0].run(add_cards, cards)
        except sqlite3.Error as error:
            await self._stop()
            raise StoreUnavailable(str(error)) from error

    async def users(self, after: str | None, limit: int) -> list[Account]:
        """See `Store.users`: in the order of the user ids."""
        connection, writer = self._active()
        try:
            return await connection.run(list_users, writer, after, limit)
        except (sqlite3.Error, ValueError) as error:
            raise StoreUnavailable(str(error)) from error

    async def import_entries(self, entries: Sequence[Entry], accounts: Mapping[str, Account]) -> None:
        """See `MovableStore.import_entries`."""
        connection, writer = self._active()
        try:
            await connection.run(lambda _: writer.import_entries(entries, accounts))
        except Exception as error:
            await self._stop()
            raise StoreUnavailable(str(error)) from error

    async def _held(self, user_id: str) -> Held | None:
        connection, writer = self._active()
        try:
            return await connection.run(lambda _: writer.held(user_id))
        except (sqlite3.Error, ValueError) as error:
            raise StoreUnavailable(str(error)) from error

    def _active(self) -> tuple[Connection, Writer]:
        if self._connection is None or self._writer is None:
            raise StoreUnavailable("the database is closed")
        return self._connection, self._writer

    async def _start(self) -> None:
        self._connection = connection = await self._connected(self._place, connect=self._connect_first)
        self._writer = await connection.run(_make_writer, self._place, self._accounts_max)
        if self._lock:
            uri = f"file:{quote(self._place)}?mode=ro"
            self._reader = await self._connected(uri, uri=True)

    def _connect_first(self, database: str, **options: object) -> sqlite3.Connection:
        """Connect on the connection's own thread, where nobody has read the logs yet."""
        if self._lock:
            make_durable(Path(database))
        return self._connect(database, **options)

    async def _connected(
        self, database: str, *, connect: Callable[..., sqlite3.Connection] | None = None, **options: bool
    ) -> Connection:
        connection = Connection(partial(connect or self._connect, database, **_CONNECT, **options))
        try:
            await connection
        except BaseException:
            await connection.ended()
            raise
        return connection

    async def _stop(self) -> None:
        """Close what is open. What was held in memory goes with it: it may be ahead of what is durable."""
        if self._checkpoint and self._checkpoint is not asyncio.current_task():
            await asyncio.wait([self._checkpoint])
        connections = [connection for connection in (self._reader, self._connection) if connection]
        self._reader = self._connection = self._writer = None
        # Carried through, whoever is cancelled, and waited for by the next who stops: a thread left behind keeps the process alive.
        self._closing = asyncio.ensure_future(_close(connections, self._closing))
        await asyncio.shield(self._closing)


async def _close(connections: Sequence[Connection], before: asyncio.Task[None] | None) -> None:
    if before:
        await asyncio.wait([before])
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

"""A SQLite ledger as it is at one moment, read only: for checking it, and for backing it up beside a daemon.

One read transaction is open all the while, so a daemon's commits are not seen. They go into the write-ahead log, which cannot start
over before this is closed. Nothing here ever writes or checkpoints, not even when it closes: the connection is read-only.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from meterd_server.errors import StartupError, StoreUnavailable
from meterd_server.files import has_log
from meterd_server.rules import Needs
from meterd_server.store.reading import Kept, Rows, understood
from meterd_server.store.sqlite.consequences import read_facts
from meterd_server.store.sqlite.engine import SqliteStore
from meterd_server.store.sqlite.schema import check_current, missing
from meterd_server.store.sqlite.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from meterd_server.model import Account, Entry, Reservation

_COUNTS = (
    "SELECT (SELECT count(*) FROM entry), (SELECT count(*) FROM reservation), (SELECT count(*) FROM reversal),"
    " (SELECT count(*) FROM grant_due)"
)
_REVERSED = "SELECT version, reversed_microcents FROM reversal WHERE account_id = ?"
_GRANTS_DUE = "SELECT version, expire_time_us FROM grant_due WHERE account_id = ?"

_PAGES_AT_A_TIME = 1024


class SqliteSnapshot(SqliteStore):
    """`Snapshot` of the file `path`.

    `beside_daemon` opens it although a daemon has it; else the lock is taken, and nobody can have it meanwhile. `is_locked` says
    that the caller has taken it.
    """

    def __init__(self, path: str | Path, *, beside_daemon: bool = False, is_locked: bool = False) -> None:
        super().__init__(path)
        self._is_alone = not beside_daemon
        if beside_daemon or is_locked:
            self._lock = None

    async def open(self) -> None:
        """See `Store.open`: makes nothing that is not there. Raises `StartupError`."""
        _must_be_there(self._place)
        await super().open()

    async def close(self) -> None:
        """See `Store.close`: leaves the file as it is."""
        await self._stop()
        if self._lock:
            self._lock.release()

    async def users(self, after: str | None, limit: int) -> list[Account]:
        """See `Store.users`."""
        with understood(sqlite3.Error, StoreUnavailable):
            return await super().users(after, limit)

    async def entries(
        self, user_id: str, *, after_version: int, before_version: int, newest_first: bool, limit: int
    ) -> list[Entry]:
        """See `Store.entries`."""
        with understood(sqlite3.Error, StoreUnavailable):
            return await super().entries(
                user_id,
                after_version=after_version,
                before_version=before_version,
                newest_first=newest_first,
                limit=limit,
            )

    async def kept(self, user_id: str, reservation_ids: Collection[str]) -> Kept:
        """See `Snapshot.kept`."""
        connection, writer = self._active()
        with understood(sqlite3.Error, StoreUnavailable):
            return await connection.run(_kept, writer, user_id, reservation_ids)

    async def rows(self) -> Rows:
        """See `Snapshot.rows`."""
        connection, _ = self._active()
        with understood(sqlite3.Error, StoreUnavailable):
            return await connection.run(lambda connection: Rows(*connection.execute(_COUNTS).fetchone()))

    async def damage(self) -> str:
        """See `Snapshot.damage`: the schema; tables, indexes and constraints against each other."""
        connection, _ = self._active()
        try:
            if name := await connection.run(missing):
                return f"{name} is not as the schema has it"
            said = await connection.run(
                lambda connection: connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            )
        except sqlite3.Error as error:
            raise StoreUnavailable(str(error)) from error
        return "" if said == "ok" else " ".join(str(said).split())

    async def copy_to(self, path: Path, advance: Callable[[int, int], None] = lambda _done, _total: None) -> None:
        """Write all of it into the new file `path`, which is one file without logs then.

        `advance` is told how many pages are done of how many, on another thread. Raises `OSError`.
        """
        connection, _ = self._active()
        try:
            await connection.run(_copy, path, advance)
        except sqlite3.Error as error:
            raise OSError(f"{path} cannot be written: {error}") from error

    async def _start(self) -> None:
        # Without a log there is nothing that another process could add: then not even the log's own files are made.
        never_changes = self._is_alone and not has_log(Path(self._place))
        uri = f"file:{quote(self._place)}?mode=ro{'&immutable=1' if never_changes else ''}"
        self._connection = connection = await self._connected(uri, uri=True)
        with understood(sqlite3.Error, StoreUnavailable):
            self._writer = await connection.run(_make_reader, self._place)


def _must_be_there(place: str) -> None:
    if not Path(place).is_file():
        raise StartupError(f"there is no file {place}")


def _make_reader(connection: sqlite3.Connection, place: str) -> Writer:
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("BEGIN")
    check_current(connection, place)
    # It replays, in memory, what the account rows lack; everything else that it does here is to read.
    return Writer(connection, accounts_max=1000)


def _kept(connection: sqlite3.Connection, writer: Writer, user_id: str, reservation_ids: Collection[str]) -> Kept:
    held = writer.held(user_id)
    if held is None:
        return Kept({}, {}, {})
    keys = frozenset((user_id, reservation_id) for reservation_id in reservation_ids)
    found = read_facts(connection, Needs(keys, frozenset()), {user_id: held}).reservations
    reservations: dict[str, Reservation] = {reservation_id: row for (_, reservation_id), row in found.items()}
    account_id = (held.account_id,)
    return Kept(
        reservations,
        dict(connection.execute(_REVERSED, account_id)),
        dict(connection.execute(_GRANTS_DUE, account_id)),
    )


def _copy(source: sqlite3.Connection, path: Path, advance: Callable[[int, int], None]) -> None:
    target = sqlite3.connect(path, isolation_level=None)
    try:
        source.backup(target, pages=_PAGES_AT_A_TIME, progress=lambda _, left, total: advance(total - left, total))
        # The copy says of itself that it has a write-ahead log, as the original has; a daemon makes one anew.
        target.execute("PRAGMA journal_mode = DELETE")
    finally:
        target.close()

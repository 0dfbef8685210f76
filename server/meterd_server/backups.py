"""Backing a ledger up into one file, and restoring it; neither counts as done before the result was checked.

A backup is a SQLite ledger, whichever engine it was made from: `meterd serve --db` would take it as it is. It is written beside its
place and put there in one step when it is whole, checked and on disk.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from meterd_server.audit import Difference, DifferenceError, Summary, audit_snapshot
from meterd_server.errors import StartupError
from meterd_server.files import InTheWayError, has_log, must_be_free, put_in_place, written
from meterd_server.store.engines import make_snapshot, make_store, shown
from meterd_server.store.moving import copy, count_entries, prove
from meterd_server.store.postgres.address import is_postgres
from meterd_server.store.reading import UnreadableError, opened
from meterd_server.store.sqlite.lockfile import LockedError, LockFile
from meterd_server.store.sqlite.snapshot import SqliteSnapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from meterd_server.store.reading import Snapshot

_BYTES_AT_A_TIME = 1024 * 1024


class Bars(Protocol):
    """Where progress is shown."""

    def bar(self, what: str, total: int) -> Callable[[int], None]:
        """A new bar; call what is returned with how much is done since the last call."""


async def backup(db: str, file: Path, bars: Bars, *, force: bool = False) -> Summary:
    """Back the ledger `db` up into `file` as it is now, beside daemons that work on it, and check what was written.

    Raises `InTheWayError` if there is something in the way, `StartupError`, `StoreUnavailable`, `DifferenceError` and `OSError`.
    """
    must_be_free(file, force=force)
    with written(file) as partial:
        async with opened(make_snapshot(db, beside_daemon=True)) as snapshot:
            if isinstance(snapshot, SqliteSnapshot):
                await snapshot.copy_to(partial, _pages(bars))
            else:
                await _take_over(snapshot, partial, bars)
        summary = await audit(str(partial), bars)
        must_be_free(file, force=force)
        put_in_place(partial, file)
    return summary


async def restore(file: Path, db: str, bars: Bars) -> Summary:
    """Restore the ledger in `file` into `db`, which must be empty, and check what was written. `file` is only read.

    Raises what `backup` does, and `MoveError`.
    """
    if has_log(file):
        raise InTheWayError(
            f"{file}-wal is there: the file is in use as a ledger; back it up with meterd backup --db {file}"
        )
    if is_postgres(db):
        return await _restore_to_postgres(file, db, bars)
    target = Path(db)
    lock = LockFile(target)
    lock.acquire()
    try:
        await _must_be_empty(target)
        with written(target) as partial:
            await asyncio.to_thread(_copy_bytes, file, partial, bars.bar("copying", _size(file)))
            async with opened(make_store(str(partial))):
                pass  # one of an older schema is brought up to date
            summary = await audit(str(partial), bars)
            put_in_place(partial, target)
        return summary
    finally:
        _remove_if_empty(target)  # it is the lock that has made it then
        lock.release()


async def audit(db: str, bars: Bars) -> Summary:
    """Check the ledger `db`, which no daemon may have if it is a SQLite file. Raises `DifferenceError`."""
    try:
        async with opened(make_snapshot(db)) as snapshot:
            return await audit_snapshot(snapshot, bars.bar("checking", (await snapshot.rows()).entries))
    except LockedError as error:
        raise StartupError(f"a daemon has {db} (process {error.holder}): meterd verify --address asks it") from None
    except UnreadableError as error:
        raise DifferenceError(
            Difference("", 0, "what can be read of the database", "everything", str(error))
        ) from error


async def _restore_to_postgres(file: Path, db: str, bars: Bars) -> Summary:
    summary = await audit(str(file), bars)
    async with opened(make_snapshot(str(file))) as source, opened(make_store(db)) as target:
        if await target.users(None, 1) or await target.rate_card_count():
            raise InTheWayError(
                f"{shown(db)} is not empty: restore into a database, or a ?schema=NAME, without a ledger"
            )
        total = await count_entries(source)
        await copy(source, target, bars.bar("copying", total))
        await prove(source, target, bars.bar("proving", total))
    return summary


async def _take_over(snapshot: Snapshot, partial: Path, bars: Bars) -> None:
    """Write another engine's ledger into a new SQLite file."""
    async with opened(make_store(str(partial))) as target:
        await copy(snapshot, target, bars.bar("copying", await count_entries(snapshot)))


async def _must_be_empty(target: Path) -> None:
    if _size(target):
        async with opened(SqliteSnapshot(target, is_locked=True)) as there:
            if await there.users(None, 1) or await there.rate_card_count():
                raise InTheWayError(
                    f"{target} is not empty: restore into a file that is not there, and put it in its place"
                )
    elif has_log(target):
        raise InTheWayError(f"{target}-wal is there without {target}: it holds what a ledger has lost; move it away")


def _size(file: Path) -> int:
    return file.stat().st_size


def _remove_if_empty(file: Path) -> None:
    if not _size(file):
        file.unlink()


def _copy_bytes(file: Path, partial: Path, advance: Callable[[int], None]) -> None:
    with file.open("rb") as source, partial.open("wb") as target:
        while data := source.read(_BYTES_AT_A_TIME):
            target.write(data)
            advance(len(data))


def _pages(bars: Bars) -> Callable[[int, int], None]:
    """What tells a bar of pages of which is known how many are done in all, not how many more."""
    shown_pages = 0
    advance: Callable[[int], None] | None = None

    def tell(done: int, total: int) -> None:
        nonlocal shown_pages, advance
        advance = advance or bars.bar("copying", total)
        advance(done - shown_pages)
        shown_pages = done

    return tell

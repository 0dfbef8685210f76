"""A real store, committing random batches while its disk is recorded; and what of it has to be there after a power cut."""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from unittest.mock import patch

from meterd_server.errors import StoreUnavailable
from meterd_server.model import Applied, Expire
from meterd_server.store.sqlite import SqliteStore, engine, logs, writer
from prove.commands import STEP_US, Commands
from prove.invariants import check_store, entries_of, reservations_of
from prove.sqlite_vfs import connect_to, forget

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from meterd_server.model import Command, Entry, Outcome
    from prove.disk_model import Recorder

T = TypeVar("T")
Ledger = dict[str, list["Entry"]]


class Batch(NamedTuple):
    """A batch that was acknowledged."""

    commands: list[Command]
    now_us: int
    outcomes: list[Outcome]
    acknowledged_at: int
    """How many steps had been recorded by then."""
    versions: dict[str, int]
    """Every user's after it."""
    on_the_way: list[dict[str, int]]
    """Every user's when the store was opened again after it had failed: then what had been refused may have been carried out."""


class Recording(NamedTuple):
    """Everything that was committed, in order, and the ledger that it came to."""

    at_first: dict[str, int]
    """Every user's version before the first batch."""
    batches: list[Batch]
    ledger: Ledger
    seed: int


@contextmanager
def tuned(dice: random.Random) -> Iterator[None]:
    """Have checkpoints, and account rows catch up, so often that a small load meets them."""
    checkpoint_pages = dice.choice((6, 20, 60, 1_000))
    # The last of SQLite's own: within a commit, and as good as none.
    automatic = f"PRAGMA wal_autocheckpoint = {dice.choice((5, 40, 4_000))}"
    pragmas = tuple(automatic if "wal_autocheckpoint" in pragma else pragma for pragma in engine._PRAGMAS)
    with (
        patch.object(engine, "CHECKPOINT_PAGES", checkpoint_pages),
        patch.object(writer, "REPLAY_ENTRIES_MAX", dice.choice((0, 5, 40, 50_000))),
        patch.object(writer, "CATCH_UP_EVERY_ENTRIES", dice.choice((1, 3, 10))),
        patch.object(engine, "_PRAGMAS", pragmas),
    ):
        yield


async def record(path: Path, recorder: Recorder, seed: int, *, batches: int) -> Recording:
    """Commit batches to the database at `path`, with some reopening, and close it. What fails is tried again until it is done."""
    store = SqliteStore(path, accounts_max=3, connect=connect_to(recorder, path))
    # What the store itself does to SQLite's logs does not pass SQLite.
    with patch.object(logs, "os", SystemCalls(recorder.written_beside, recorder.synced_beside)):
        return await _record(store, path, recorder, seed, batches)


class SystemCalls:
    """The module `os`, telling of each write and each sync of a database's log."""

    def __init__(self, on_write: Callable[[str, int, bytes], None], on_sync: Callable[[str], None]) -> None:
        self._on_write = on_write
        self._on_sync = on_sync

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def pwrite(self, descriptor: int, data: bytes, offset: int) -> int:
        """Write a part only, as the system may, and tell of it."""
        written = os.pwrite(descriptor, data[: len(data) // 2 + 1], offset)
        self._on_write(_log_of(descriptor), offset, data[:written])
        return written

    def fsync(self, descriptor: int) -> None:
        """Sync, and tell of it."""
        os.fsync(descriptor)
        self._on_sync(_log_of(descriptor))


def _log_of(descriptor: int) -> str:
    name = Path(f"/proc/self/fd/{descriptor}").readlink().name
    return name[name.rindex("-") :]


async def _record(store: SqliteStore, path: Path, recorder: Recorder, seed: int, batches: int) -> Recording:
    dice = random.Random(f"record {seed}")
    commands = Commands(dice, f"r{seed}")
    await store.open()
    try:
        ledger = await check_store(store)
        recording = Recording({user_id: len(entries) for user_id, entries in ledger.items()}, [], ledger, seed)
        # After whatever is there: times go on.
        first_us = max((entries[-1].record_time_us for entries in ledger.values()), default=0)
        for number in range(1, batches + 1):
            batch, now_us = commands.batch(), first_us + number * STEP_US
            if not dice.randrange(4):
                batch += await _until_done(store, partial(store.due, now_us, 3))
            on_the_way: list[dict[str, int]] = []
            commit = partial(_commit, store, batch, now_us, at_once=dice.random() < 0.5)
            outcomes = await _until_done(store, commit, on_the_way)
            acknowledged_at = len(recorder.steps)
            for user_id in {command.user_id for command in batch}:
                known = ledger.setdefault(user_id, [])
                known += await _until_done(store, partial(entries_of, store, user_id, len(known)))
            versions = {user_id: len(entries) for user_id, entries in ledger.items() if entries}
            recording.batches.append(Batch(batch, now_us, outcomes, acknowledged_at, versions, on_the_way))
            if not dice.randrange(25):
                await _reopen(store)
        found = await _until_done(store, partial(check_store, store))
        assert found == {user_id: entries for user_id, entries in ledger.items() if entries}
    finally:
        await store.close()
        forget(path)
    return recording


async def _commit(store: SqliteStore, batch: list[Command], now_us: int, *, at_once: bool) -> list[Outcome]:
    outcomes = store.commit_at_once(batch, now_us) if at_once else None
    return outcomes or await store.commit(batch, now_us)


async def _until_done(
    store: SqliteStore, call: Callable[[], Awaitable[T]], on_the_way: list[dict[str, int]] | None = None
) -> T:
    while True:
        try:
            return await call()
        except StoreUnavailable:
            await _reopen(store)
        if on_the_way is not None:
            accounts = await _until_done(store, partial(store.users, None, 1_000))
            on_the_way.append({account.user_id: account.version for account in accounts})


async def _reopen(store: SqliteStore) -> None:
    while True:
        try:
            await store.reopen()
        except StoreUnavailable:
            continue
        return


async def check_image(
    path: Path, files: Mapping[str, bytes], recording: Recording, at_step: int, dice: random.Random
) -> None:
    """Open what a power cut after `at_step` left, and hold it against what had been acknowledged by then.

    It has to be the state after the last acknowledged batch or after the one that was under way, and that one, sent again, has
    to come to what it came to.
    """
    for file in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + file).unlink(missing_ok=True)
    for file, data in files.items():
        path.with_name(path.name + file).write_bytes(data)
    store = SqliteStore(path)
    await store.open()
    try:
        found = await check_store(store)
        acknowledged = sum(batch.acknowledged_at <= at_step for batch in recording.batches)
        versions = {user_id: len(entries) for user_id, entries in found.items()}
        under_way = recording.batches[acknowledged : acknowledged + 1]
        states = [recording.at_first, *(batch.versions for batch in recording.batches)]
        allowed = [
            states[acknowledged],
            *(state for batch in under_way for state in (*batch.on_the_way, batch.versions)),
        ]
        assert versions in allowed, f"users have versions {versions}, not {' or '.join(map(str, allowed))}"
        for user_id, entries in found.items():
            assert recording.ledger[user_id][: len(entries)] == entries, f"{user_id} has not the entries that were made"
        _check_tables(path, found)
        if acknowledged:
            await _check_same(store, recording.batches[dice.randrange(acknowledged)], is_there=True)
        for batch in under_way:
            # One that was carried out twice as it was sent again came to what a single sending does not come to.
            if all(state in (states[acknowledged], batch.versions) for state in batch.on_the_way):
                await _check_same(store, batch, is_there=versions == batch.versions)
    finally:
        await store.close()


async def _check_same(store: SqliteStore, batch: Batch, *, is_there: bool) -> None:
    """A batch that is there is replayed as it was answered; one that is not comes to the same as it did."""
    # What was refused may be carried out by now; what is due is due once. Neither is sent again.
    done = [
        (command, outcome)
        for command, outcome in zip(batch.commands, batch.outcomes, strict=True)
        if isinstance(outcome, Applied) and not (is_there and isinstance(command, Expire))
    ]
    again = await store.commit([command for command, _ in done], batch.now_us)
    for (command, before), after in zip(done, again, strict=True):
        assert isinstance(after, Applied), f"{command} was done, and its retry says {after}"
        assert after.replayed or not is_there, f"{command} was there, and its retry did it again"
        assert before.entry == after.entry, f"{command} was answered {before.entry}, its retry {after.entry}"


def _check_tables(path: Path, found: Ledger) -> None:
    """SQLite finds nothing wrong with the file, and what is looked up by reservation and by reversed entry is what entries say."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        told = connection.execute("PRAGMA integrity_check").fetchall()
        assert told == [("ok",)], f"SQLite says {told}"
        held = connection.execute(
            "SELECT user_id, version, state, held_microcents, captured_microcents FROM reservation JOIN user USING (account_id)"
        ).fetchall()
        reversed_ = connection.execute(
            "SELECT user_id, version, reversed_microcents FROM reversal JOIN user USING (account_id)"
        ).fetchall()
    expected_held = [
        (user_id, each.version, int(each.state), each.held_microcents, each.captured_microcents)
        for user_id, entries in found.items()
        for each in reservations_of(entries).values()
    ]
    expected_reversed = {
        (user_id, entry.more.reversal.version): (user_id, *entry.more.reversal)
        for user_id, entries in found.items()
        for entry in entries
        if entry.more and entry.more.reversal
    }
    assert sorted(expected_held) == sorted(held), "the table of reservations is not what entries say"
    assert sorted(expected_reversed.values()) == sorted(reversed_), "the table of reversals is not what entries say"

"""Commits on the event loop's own thread: the same outcomes, and never beside anything that the connection's thread does."""

import asyncio
import threading

import pytest

from meterd_server.errors import StoreUnavailable
from meterd_server.store.sqlite import SqliteStore, engine
from meterd_server.store.sqlite.slowness import PAUSE_SECONDS_MAX
from rules.commands import cost, funding
from store.faults import Disk
from store.model import entries_of


@pytest.fixture
def disk():
    """Return a disk that works until told otherwise."""
    return Disk()


@pytest.fixture
async def store(tmp_path, disk, clock):
    """Return an open, empty store on the disk."""
    store = SqliteStore(tmp_path / "meterd.sqlite3", connect=disk.connect, clock=clock)
    await store.open()
    yield store
    disk.heal()
    await store.close()


class _Slowed:
    """What takes a minute at each call; and on which threads it was called."""

    def __init__(self, step, clock):
        self._step = step
        self._clock = clock
        self.threads = []

    def __call__(self, *args):
        self._clock.seconds += 60
        self.threads.append(threading.get_ident())
        return self._step(*args)


def _slowed(store, name, clock, monkeypatch):
    """Slow a step of the store's writer down."""
    slowed = _Slowed(getattr(store._writer, name), clock)
    monkeypatch.setattr(store._writer, name, slowed)
    return slowed


async def test_both_ways_write_one_ledger(store):
    """Batches committed at once and on the thread follow each other, and a retry is found by either."""
    await store.commit([funding("alice", 100, "f1")], 1)
    assert 90 == store.commit_at_once([cost("alice", 10, "c1")], 2)[0].account.balance_microcents
    assert (await store.commit([cost("alice", 10, "c1")], 3))[0].replayed
    assert store.commit_at_once([funding("alice", 100, "f1")], 4)[0].replayed
    assert [1, 2] == [entry.version for entry in await entries_of(store, "alice")]
    assert 90 == store.peek("alice").balance_microcents


async def test_a_small_batch_is_decided_here_and_written_there(store, monkeypatch):
    """A commit that lets the event loop go on leaves to the connection's thread what takes SQLite and the disk, and no more."""
    here, threads = threading.get_ident(), {}
    for step in ("prepare", "carry_out"):
        real = getattr(store._writer, step)

        def call(*args, step=step, real=real):
            threads[step] = threading.get_ident()
            return real(*args)

        monkeypatch.setattr(store._writer, step, call)
    await store.commit([cost("alice", 1)], 1)
    assert (here, True) == (threads["prepare"], threads["carry_out"] != here)
    await store.commit([cost("alice", 1) for _ in range(engine.AT_ONCE_OPERATIONS_MAX + 1)], 2)
    assert here != threads["prepare"]


async def test_a_large_batch_is_left_to_the_thread(store):
    """What would hold the event loop up for long is declined, and nothing of it is written."""
    many = [cost("alice", 1) for _ in range(engine.AT_ONCE_OPERATIONS_MAX + 1)]
    assert store.commit_at_once(many, 1) is None
    assert 0 == (await store.account("alice")).version
    assert len(many) - 1 == len(store.commit_at_once(many[1:], 1))


async def test_nothing_at_once_while_the_thread_is_at_work(store):
    """Two threads never use the connection at the same time: not for a read, and not when its caller has gone away."""
    reading = asyncio.ensure_future(store.account("nobody"))
    await asyncio.sleep(0)
    assert store.commit_at_once([cost("alice", 1)], 1) is None
    await reading
    assert store.commit_at_once([cost("alice", 1)], 1) is not None
    abandoned = asyncio.ensure_future(store.commit([cost("alice", 1)], 2))
    await asyncio.sleep(0)
    abandoned.cancel()
    assert store.commit_at_once([cost("alice", 1)], 3) is None
    assert 2 == (await store.account("alice")).version


async def test_a_slow_disk_is_left_to_the_thread(store, clock, monkeypatch):
    """After a commit that took long the next ones are declined for a while, and then tried again."""
    _slowed(store, "commit", clock, monkeypatch)
    assert store.commit_at_once([cost("alice", 1)], 1) is not None
    assert store.commit_at_once([cost("alice", 1)], 2) is None
    clock.seconds += PAUSE_SECONDS_MAX
    assert store.commit_at_once([cost("alice", 1)], 3) is not None


async def test_a_slow_decision_is_left_to_the_thread(store, clock, monkeypatch):
    """When deciding takes long, as when accounts have to be read from a slow disk, the thread decides as well for a while."""
    slowed = _slowed(store, "prepare", clock, monkeypatch)
    for now_us in (1, 2):
        await store.commit([cost("alice", 1)], now_us)
    assert [True, False] == [thread == threading.get_ident() for thread in slowed.threads]


async def test_a_slow_disk_that_fails_is_left_to_the_thread(store, disk, clock, monkeypatch):
    """A commit that took long before it failed was slow as well, when the store is open again."""
    _slowed(store, "commit", clock, monkeypatch)
    disk.fail_at(0, broken_for_good=True)
    with pytest.raises(StoreUnavailable):
        store.commit_at_once([cost("alice", 1)], 1)
    disk.heal()
    await store.reopen()
    assert store.commit_at_once([cost("alice", 1)], 2) is None


async def test_a_failure_closes_the_store(store, disk):
    """A commit that fails at once ends like any other: unknown, nothing answered from memory, settled after reopening."""
    store.commit_at_once([funding("alice", 100, "f1")], 1)
    disk.fail_at(0, broken_for_good=True)
    with pytest.raises(StoreUnavailable):
        store.commit_at_once([cost("alice", 10, "c1")], 2)
    disk.heal()
    assert store.peek("alice") is None
    with pytest.raises(StoreUnavailable):
        store.commit_at_once([cost("alice", 1)], 3)
    with pytest.raises(StoreUnavailable):
        await store.account("alice")
    await store.reopen()
    assert 90 == store.commit_at_once([cost("alice", 10, "c1")], 4)[0].account.balance_microcents


async def test_the_log_is_copied_on_the_thread(store, monkeypatch):
    """When the write-ahead log has grown, it is copied into the file beside the event loop, and commits wait behind that."""
    monkeypatch.setattr(engine, "CHECKPOINT_PAGES", 10)
    for number in range(1, 6):
        assert number == store.commit_at_once([cost("alice", 1)], number)[0].entry.version
    await asyncio.sleep(0)
    assert store.commit_at_once([cost("alice", 1)], 6) is None
    assert 6 == (await store.commit([cost("alice", 1)], 6))[0].entry.version
    assert store.commit_at_once([cost("alice", 1)], 7) is not None


async def test_a_log_that_cannot_be_copied(store, disk, monkeypatch):
    """A disk that fails meanwhile fails whatever comes next, and what was answered is there after reopening."""
    monkeypatch.setattr(engine, "CHECKPOINT_PAGES", 2)
    store.commit_at_once([cost("alice", 1, "c1")], 1)
    disk.fail_at(0)
    assert not store.needs_reopening
    await asyncio.wait([store._checkpoint])
    disk.heal()
    assert store.needs_reopening
    with pytest.raises(StoreUnavailable):
        await store.account("alice")
    with pytest.raises(StoreUnavailable):
        store.commit_at_once([cost("alice", 1)], 2)
    await store.reopen()
    assert not store.needs_reopening
    assert (await store.commit([cost("alice", 1, "c1")], 3))[0].replayed

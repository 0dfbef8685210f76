"""A SQLite store whose disk fails at any statement: all or nothing, never told as done, and settled by a retry."""

import sqlite3

import pytest

from meterd_server.errors import StartupError, StoreUnavailable
from meterd_server.store.sqlite import SqliteStore
from rules.commands import cost, funding, strict_cost, update
from store.faults import Disk
from store.model import Model, assert_holds, brief, entries_of

USERS = ["alice", "bob", "carol"]
PAST = [funding("alice", 100, "f1"), cost("bob", 3, "c1"), *[cost("alice", 1, f"a{number}") for number in range(61)]]
MANY = [
    strict_cost("alice", 20, "s1"),
    cost("carol", 4, "c1"),
    cost("bob", 3, "c1"),  # a replay
    strict_cost("bob", 9, "s2"),  # refused
    update("alice", 100, 60, "u1"),
    *[cost("alice", 1, f"more-{number}") for number in range(5)],
]
ONE = [cost("bob", 4, "solo")]


@pytest.fixture
def disk():
    """Return a disk that works until told otherwise."""
    return Disk()


@pytest.fixture
async def store(tmp_path, disk):
    """Return an open store on the disk, holding PAST."""
    store = SqliteStore(tmp_path / "meterd.sqlite3", connect=disk.connect)
    await store.open()
    await store.commit(PAST, 1)
    yield store
    disk.heal()
    await store.close()


def after(*batches):
    """Return the model of what is there after batches."""
    model = Model()
    for batch in batches:
        model.commit(batch)
    return model


async def assert_unavailable(store):
    """Check that nothing is answered, from memory either."""
    for user_id in USERS:
        assert store.peek(user_id) is None
    for call in (store.account("alice"), entries_of(store, "alice"), store.commit([cost("bob", 1)], 1)):
        with pytest.raises(StoreUnavailable):
            await call


@pytest.mark.parametrize("broken_for_good", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("done_first", [False, True], ids=["undone", "done"])
@pytest.mark.parametrize("catching_up", [False, True], ids=["plain", "catching up"])
@pytest.mark.parametrize("batch", [MANY, ONE], ids=["many", "one"])
async def test_a_failure_at_any_statement(tmp_path, catch_up, *, batch, catching_up, done_first, broken_for_good):
    """Whichever statement of a commit fails, the batch is there as a whole or not at all, and a retry settles it."""
    if catching_up:
        catch_up(behind=0)
    whole = []
    while True:
        disk = Disk()
        store = SqliteStore(tmp_path / f"{len(whole)}.sqlite3", connect=disk.connect)
        await store.open()
        await store.commit(PAST, 1)
        disk.fail_at(len(whole), done_first=done_first, broken_for_good=broken_for_good)
        try:
            await store.commit(batch, 2)
        except StoreUnavailable:
            await assert_unavailable(store)
        else:
            break
        disk.heal()
        await store.reopen()
        whole.append(len(PAST) < await entry_count(store))
        model = after(PAST, batch) if whole[-1] else after(PAST)
        await assert_holds(store, model, USERS)
        assert model.commit(batch) == brief(await store.commit(batch, 3))
        await assert_holds(store, after(PAST, batch), USERS)
        await store.close()
    # The batch is durable only if the last statement, which commits, was done.
    assert len(disk.statements) == len(whole)
    assert [done_first and number == len(whole) for number in range(1, len(whole) + 1)] == whole
    disk.heal()
    await store.close()


async def entry_count(store):
    """Return how many entries the users have."""
    return sum([(await store.account(user_id)).version for user_id in USERS])


async def assert_settled(store):
    """Check that a store that holds PAST takes another batch and holds that too."""
    assert after(PAST).commit(MANY) == brief(await store.commit(MANY, 3))
    await assert_holds(store, after(PAST, MANY), USERS)


async def test_an_outcome_unknown_becomes_a_replay(store, disk):
    """A commit that was done, and whose answer was lost, is told as replayed when it is sent again."""
    users = ["dora", "eve", "frank"]
    for _ in range(2):
        disk.count()
        await store.commit([cost(user_id, 7) for user_id in users], 2)
    disk.fail_at(len(disk.statements) - 1, done_first=True)
    lost = [cost(user_id, 8) for user_id in users]
    with pytest.raises(StoreUnavailable):
        await store.commit(lost, 3)
    disk.heal()
    await store.reopen()
    assert [(True, -22)] * 3 == [
        (outcome.replayed, outcome.account.balance_microcents) for outcome in await store.commit(lost, 4)
    ]


async def test_a_disk_that_stays_broken(store, disk):
    """Reopening fails as often as it has to, everything stays unavailable, and then all is there."""
    disk.fail_at(1, broken_for_good=True)
    with pytest.raises(StoreUnavailable):
        await store.commit(MANY, 2)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await store.reopen()
        await assert_unavailable(store)
    disk.heal()
    await store.reopen()
    await assert_holds(store, after(PAST), USERS)
    await assert_settled(store)


@pytest.mark.parametrize("error", [sqlite3.OperationalError, OSError, PermissionError])
async def test_connections_that_cannot_be_made(store, disk, error):
    """Whatever keeps a store from being reopened, out of file descriptors as well, is StoreUnavailable."""
    disk.refuse_connections(error)
    with pytest.raises(StoreUnavailable):
        await store.reopen()
    await assert_unavailable(store)
    disk.heal()
    await store.reopen()
    await assert_holds(store, after(PAST), USERS)


async def test_a_failure_at_any_statement_of_reopening(store, disk):
    """Reopening that fails half-way leaves nothing open, and the next one succeeds."""
    disk.count()
    await store.reopen()
    for number in range(len(disk.statements)):
        disk.fail_at(number)
        with pytest.raises(StoreUnavailable):
            await store.reopen()
        await assert_unavailable(store)
    disk.heal()
    await store.reopen()
    await assert_holds(store, after(PAST), USERS)


@pytest.mark.parametrize("done_first", [False, True], ids=["undone", "done"])
async def test_a_failure_at_any_statement_of_the_first_open(tmp_path, done_first):
    """A file of which the making was interrupted anywhere is refused then, and is good the next time."""
    number = 0
    while True:
        disk = Disk()
        place = tmp_path / f"{number}.sqlite3"
        disk.fail_at(number, done_first=done_first)
        store = SqliteStore(place, connect=disk.connect)
        try:
            await store.open()
        except StartupError:
            number += 1
        else:
            await store.close()
            break
        again = SqliteStore(place)
        await again.open()
        await again.commit(PAST, 1)
        await assert_holds(again, after(PAST), USERS)
        await again.close()
    assert 5 < number


@pytest.mark.parametrize("done_first", [False, True], ids=["undone", "done"])
async def test_a_failure_at_any_statement_of_closing(tmp_path, done_first):
    """Closing does not raise, lets go of the file, and loses nothing whatever fails in it."""
    for number in range(12):
        disk = Disk()
        place = tmp_path / f"{number}.sqlite3"
        store = SqliteStore(place, connect=disk.connect)
        await store.open()
        await store.commit(PAST, 1)
        disk.fail_at(number, done_first=done_first, broken_for_good=True)
        await store.close()
        again = SqliteStore(place)
        await again.open()
        await assert_holds(again, after(PAST), USERS)
        await assert_settled(again)
        await again.close()


async def test_a_full_disk(tmp_path):
    """When SQLite itself finds no room, nothing of the batch is kept, and it goes through once there is room."""
    pages_max = [2**30]

    def connect(*args, **kwargs):
        connection = sqlite3.connect(*args, **kwargs)
        connection.execute(f"PRAGMA max_page_count = {pages_max[0]}")
        return connection

    store = SqliteStore(tmp_path / "meterd.sqlite3", connect=connect)
    await store.open()
    await store.commit(PAST, 1)
    pages_max[0] = 1  # SQLite takes the size that the file has
    await store.reopen()
    large = [cost(user_id, 1, f"{number:064}") for number in range(500) for user_id in USERS]
    with pytest.raises(StoreUnavailable, match="full"):
        await store.commit(large, 2)
    pages_max[0] = 2**30
    await store.reopen()
    await assert_holds(store, after(PAST), USERS)
    assert after(PAST).commit(large) == brief(await store.commit(large, 3))
    await store.close()


async def test_a_failure_in_memory(disk):
    """A database in memory starts over, empty, and works."""
    store = SqliteStore(":memory:", connect=disk.connect)
    await store.open()
    await store.commit(PAST, 1)
    disk.fail_at(1)
    with pytest.raises(StoreUnavailable):
        await store.commit(MANY, 2)
    disk.heal()
    await store.reopen()
    assert 0 == (await store.account("alice")).version
    await store.commit(PAST, 1)
    await assert_holds(store, after(PAST), USERS)
    await store.close()

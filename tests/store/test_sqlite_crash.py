"""A SQLite store that was never closed: images of its files, opened as after a crash."""

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from meterd_server.store.sqlite import SqliteStore
from rules.commands import cost, funding, strict_cost
from store.faults import Disk
from store.model import Model, assert_holds, brief
from store.special import assert_sound, special_command

USERS = [f"user-{number}" for number in range(12)]
NAME = "meterd.sqlite3"


def image(source, target, wal_bytes=None):
    """Copy the files of an open database, the log cut to `wal_bytes`, and return the copy's path."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    shutil.copy(source / NAME, target / NAME)
    shutil.copy(source / f"{NAME}-wal", target / f"{NAME}-wal")
    if wal_bytes is not None:
        with (target / f"{NAME}-wal").open("r+b") as log:
            log.truncate(wal_bytes)
    return target / NAME


async def assert_image_holds(path, model):
    """Check what a store makes of an image: what it holds, that it is sound, and that it can be built upon."""
    store = SqliteStore(path)
    await store.open()
    try:
        await assert_holds(store, model, USERS)
        batch = [cost(user_id, 1) for user_id in USERS]
        assert model.copy().commit(batch) == brief(await store.commit(batch, 1))
    finally:
        await store.close()
    with closing(sqlite3.connect(path)) as connection:
        assert ("ok",) == connection.execute("PRAGMA integrity_check").fetchone()
        assert not connection.execute("SELECT * FROM account JOIN user USING (account_id) WHERE version = 0").fetchall()


def random_batch(dice):
    """Return a batch over some of the users, more often the first ones, in which one in four commands may be refused."""
    batch = []
    for _ in range(dice.randint(1, 9)):
        user_id = USERS[min(dice.randrange(12), dice.randrange(12))]
        batch.append(dice.choice([cost, funding, funding, strict_cost])(user_id, dice.randint(0, 9)))
    return batch


@pytest.fixture
async def store(tmp_path):
    """Return an open store in the folder `live`."""
    store = SqliteStore(tmp_path / "live" / NAME, accounts_max=2)
    await store.open()
    yield store
    await store.close()


def replayed_from(path):
    """Return after which entry a file's accounts have to be replayed."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT replay_after_entry_id FROM recovery").fetchone()[0]


async def test_nothing_is_lost_without_a_close(store, tmp_path):
    """An image taken while the store is open has every entry and every account that was acknowledged."""
    dice, model = random.Random(1), Model()
    for _ in range(20):
        batch = random_batch(dice)
        assert model.commit(batch) == brief(await store.commit(batch, 1))
    path = image(tmp_path / "live", tmp_path / "image")
    assert 0 == replayed_from(path)
    await assert_image_holds(path, model)


async def test_a_long_replay(store, tmp_path):
    """Thousands of entries are replayed, of users who are in all of them and of users who are in few."""
    model = Model()
    for number in range(3):
        batch = [cost(USERS[min(entry % 31, 11)], entry) for entry in range(number, 1200)]
        assert model.commit(batch) == brief(await store.commit(batch, 1))
    await assert_image_holds(image(tmp_path / "live", tmp_path / "image"), model)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("every_entries", [1, 9])
@pytest.mark.parametrize("replay_entries_max", [0, 1, 7, 40])
async def test_catching_up_at_any_time(store, tmp_path, catch_up, seed, replay_entries_max, *, every_entries):
    """However often account rows are brought up to date, each image replays what its rows lack, and nothing twice."""
    catch_up(behind=replay_entries_max, every_entries=every_entries)
    dice, model = random.Random(seed), Model()
    for _ in range(40):
        batch = random_batch(dice)
        assert model.commit(batch) == brief(await store.commit(batch, 1))
        if not dice.randrange(8):
            await assert_image_holds(image(tmp_path / "live", tmp_path / "image"), model)
    path = image(tmp_path / "live", tmp_path / "image")
    assert 0 < replayed_from(path)
    await assert_image_holds(path, model)


async def test_a_user_who_is_never_seen_again_is_caught_up(store, tmp_path, catch_up):
    """One quiet user does not hold back where a replay begins for good."""
    catch_up(behind=10)
    await store.commit([cost("quiet", 1)], 1)
    for _ in range(60):
        await store.commit([cost("busy", 1)], 1)
    assert 40 < replayed_from(image(tmp_path / "live", tmp_path / "image"))


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "with others"])
async def test_retries_do_not_keep_rows_from_catching_up(store, tmp_path, catch_up, *, alone):
    """A commit that collides with what is recorded is undone: what it would have caught up, the next one does."""
    retry = cost("quiet", 1, "again")
    catch_up(behind=10, every_entries=2 if alone else 4)
    await store.commit([retry], 1)
    for _ in range(60):
        news = [cost("busy", 1) for _ in range(1 if alone else 3)]
        for batch in [news, [retry]] if alone else [[*news, retry]]:
            await store.commit(batch, 1)
    assert 40 < replayed_from(image(tmp_path / "live", tmp_path / "image"))


async def test_between_two_times_a_commit_is_one_statement(tmp_path, catch_up):
    """Rows that are behind catch up with every so many entries, and then many of them: single calls stay cheap."""
    catch_up(behind=0, every_entries=4)
    disk = Disk()
    store = SqliteStore(tmp_path / NAME, connect=disk.connect)
    await store.open()
    await store.commit([cost(user_id, 1) for user_id in USERS], 1)
    counts = []
    for number in range(12):
        before = len(disk.statements)
        await store.commit([cost(USERS[number], 1)], 1)
        counts.append(len(disk.statements) - before)
    await store.close()
    assert [1, 1, 1] == counts[1:4] == counts[5:8] == counts[9:]
    assert min(counts[::4]) > 1


async def test_memory_is_bounded(store, catch_up):
    """Of many users who come once each, few are kept in memory; the others are read when they are asked for."""
    catch_up(behind=10)
    users = [f"passing-{number}" for number in range(200)]
    for user_id in users:
        await store.commit([cost(user_id, 1)], 1)
    assert 30 > sum(store.peek(user_id) is not None for user_id in users)
    assert [-1] * 200 == [(await store.account(user_id)).balance_microcents for user_id in users]


@pytest.mark.parametrize("seed", range(3))
async def test_a_log_cut_anywhere_is_a_whole_number_of_batches(store, tmp_path, catch_up, seed):
    """After a crash that lost the end of the log, what is left is the state after one of the batches."""
    catch_up(behind=5)
    dice, model = random.Random(seed), Model()
    log = tmp_path / "live" / f"{NAME}-wal"
    states = [(log.stat().st_size, model.copy())]
    for _ in range(30):
        batch = random_batch(dice)
        assert model.commit(batch) == brief(await store.commit(batch, 1))
        states.append((log.stat().st_size, model.copy()))
    for _ in range(12):
        cut = dice.randint(states[0][0], states[-1][0])
        expected = [state for size, state in states if size <= cut][-1]
        await assert_image_holds(image(tmp_path / "live", tmp_path / "image", cut), expected)


async def test_an_image_of_an_image(tmp_path):
    """A store that crashes again and again, before it ever closed, goes on from where it was."""
    dice, model = random.Random(9), Model()
    for number in range(6):
        store = SqliteStore(tmp_path / f"{number}" / NAME, accounts_max=2)
        await store.open()
        try:
            await assert_holds(store, model, USERS)
            for _ in range(4):
                batch = random_batch(dice)
                assert model.commit(batch) == brief(await store.commit(batch, 1))
            image(tmp_path / f"{number}", tmp_path / f"{number + 1}")
        finally:
            await store.close()


KILLED = """
import asyncio, os, signal, sys
from meterd_server.model import RecordCost
from meterd_server.store.sqlite import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open()
    await store.commit([RecordCost("alice", "r1", 5)], 1)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_killed_process_leaves_no_lock(tmp_path):
    """After SIGKILL the file can be opened at once, and what was acknowledged is there."""
    path = tmp_path / NAME
    process = subprocess.run([sys.executable, "-c", KILLED, path], check=False, timeout=60)  # noqa: ASYNC221
    assert -signal.SIGKILL == process.returncode
    store = SqliteStore(path)
    await store.open()
    (outcome,) = await store.commit([cost("alice", 5, "r1")], 2)
    assert (True, -5) == (outcome.replayed, outcome.account.balance_microcents)
    await store.close()


@pytest.mark.parametrize("replay_entries_max", [0, 3, 50_000])
@pytest.mark.parametrize("seed", range(4))
async def test_special_commands_between_crashes(tmp_path, catch_up, seed, replay_entries_max):
    """Reservations, grants, policies and reversals come to the same in a store that keeps crashing and in one that never does."""
    catch_up(behind=replay_entries_max)
    dice, now_us = random.Random(seed), 0
    steady = SqliteStore(":memory:")
    await steady.open()
    for number in range(30):
        store = SqliteStore(tmp_path / f"{number}" / NAME, accounts_max=2)
        await store.open()
        batch = [special_command(dice, USERS[:3], now_us) for _ in range(dice.randint(1, 6))]
        assert await steady.commit(batch, now_us) == await store.commit(batch, now_us)
        now_us += dice.choice([0, 1, 5])
        due = await steady.due(now_us, 1000)
        assert sorted(due) == sorted(await store.due(now_us, 1000))
        if dice.randrange(2):
            assert await steady.commit(due, now_us) == await store.commit(due, now_us)
        await assert_sound(store, USERS[:3])
        image(tmp_path / f"{number}", tmp_path / f"{number + 1}")
        await store.close()
    await steady.close()

"""The search for an order, and the simulated world, notice what they are there to notice: each of these bugs is planted."""

import asyncio
import logging
import random

import pytest

from meterd_server import lane
from meterd_server.model import Account
from meterd_server.store.sqlite import SqliteStore
from prove.histories import contradiction
from prove.proof_histories import live_history
from prove.simulation import Hung, Store, simulate

SEEDS = 40


@pytest.fixture(autouse=True)
def _quiet():
    """The ledger says each time that the store fails."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Forgetful(Store):
    """Forgets under which request ids there is something."""

    async def commit(self, commands, now_us):
        self._by_request.clear()
        return await super().commit(commands, now_us)


class Hasty(Store):
    """Acknowledges what it has not written, now and then."""

    async def commit(self, commands, now_us):
        before = (
            dict(self._accounts),
            {user: [*entries] for user, entries in self._entries.items()},
            dict(self._by_request),
        )
        outcomes = await super().commit(commands, now_us)
        if self.lanes == 1 and self._dice.random() < 0.1:
            self._accounts, self._entries, self._by_request = before
        return outcomes


class Stale(Store):
    """Answers reads with what was true some time ago."""

    def peek(self, user_id):
        return Account(user_id)


def _found(make_store=Store):
    """What is found in some of the worlds."""
    found = []
    for seed in range(SEEDS):
        try:
            history, store = simulate(seed, make_store)
        except Hung:
            found.append("hung")
        else:
            found.append(asyncio.run(contradiction(history, store)))
    return found


def test_what_is_right_is_right():
    """Without a bug there is nothing to find."""
    assert {""} == set(_found())


@pytest.mark.parametrize("make_store", [Forgetful, Hasty, Stale])
def test_a_store_that_is_wrong(make_store):
    """A store that breaks its word is found out by what the clients were told."""
    assert any(found not in ("", "hung") for found in _found(make_store))


def test_callers_who_are_told_nothing(monkeypatch):
    """A ledger that forgets who waited behind a failure is found out by who waits for ever."""
    monkeypatch.setattr(lane.Lane, "drain", lambda self: self._queue.clear() or [])
    assert "hung" in _found()


def _others(waiter, outcomes):
    if not waiter.answer.done():
        waiter.answer.set_result(outcomes[-1] if waiter.alone else outcomes[::-1])


def test_answers_that_are_somebody_elses(monkeypatch):
    """Answers in another order than the questions are found out."""
    monkeypatch.setattr(lane.Waiter, "tell", _others)
    assert any(found not in ("", "hung") for found in _found())


class StaleSqliteStore(SqliteStore):
    """Answers reads with what was true some time ago."""

    def peek(self, user_id):
        return Account(user_id)


@pytest.mark.parametrize(("make_store", "is_right"), [(SqliteStore, True), (StaleSqliteStore, False)])
async def test_a_real_store_that_is_stale(tmp_path, make_store, is_right):
    """Over the real store, a read that misses what was acknowledged is found out."""
    store = make_store(tmp_path / "ledger.sqlite3")
    await store.open()
    history = await live_history(store, random.Random(1))
    assert is_right == (await contradiction(history, store) == "")
    await store.close()


async def test_an_answer_that_is_not_so(tmp_path):
    """Over the real store, one balance that was told wrong is found out."""
    store = SqliteStore(tmp_path / "ledger.sqlite3")
    await store.open()
    history = await live_history(store, random.Random(1))
    event = next(event for event in history.events if event.answer and event.answer["outcome"] == "repeated")
    event.answer = event.answer | {"account": event.answer["account"] | {"balance": -1}}
    assert await contradiction(history, store) != ""
    await store.close()

"""Commits that a store is done with at once: who gets one, and how a lane finds out that it has company."""

import asyncio

import pytest

from meterd_server.company import COMPANY_CALLERS_MIN
from meterd_server.errors import StoreUnavailable
from rules.commands import cost


@pytest.fixture
async def store(store):
    """Return the scripted store, which is done at once unless it is held."""
    store.at_once = True
    return store


async def test_one_caller_alone_is_answered_before_anything_else(ledger):
    """An idle lane's first caller has the answer when submit returns."""
    answer = ledger.submit(cost("alice", 5))
    assert (True, -5) == (answer.done(), answer.result().account.balance_microcents)


async def test_who_comes_meanwhile_is_a_batch(ledger, store, settle):
    """Callers who come while a commit held the event loop up go together in the next one, in order."""
    answers = [ledger.submit(cost("alice", 1, name)) for name in ("first", "second", "third")]
    await settle()
    assert [["first"], ["second", "third"]] == store.batches
    assert [1, 2, 3] == [answer.result().entry.version for answer in answers]


async def test_a_lane_without_company_is_idle_again(ledger, store, settle):
    """When nobody came, the next caller is alone, and answered at once as well."""
    for version in (1, 2, 3):
        answer = ledger.submit(cost("alice", 1))
        assert version == answer.result().entry.version
        await settle()


async def test_a_crowd_makes_the_lane_wait(make_ledger, store, settle):
    """After a batch with many callers the next one is not answered at once: more are expected."""
    ledger = make_ledger(commit_window_seconds=0.001)
    await asyncio.gather(*[ledger.submit(cost("alice", 1)) for _ in range(COMPANY_CALLERS_MIN + 1)])
    await settle()
    assert [1, COMPANY_CALLERS_MIN] == [len(batch) for batch in store.batches]
    answer = ledger.submit(cost("alice", 1))
    assert not answer.done()
    await answer


async def test_one_callers_list_is_one_batch(ledger, store):
    """Commands that come in one piece are decided in one piece, and answered in order."""
    answer = ledger.submit_all([cost("alice", 1, f"r{number}") for number in range(5)])
    assert [1, 2, 3, 4, 5] == [outcome.entry.version for outcome in answer.result()]
    assert [["r0", "r1", "r2", "r3", "r4"]] == store.batches


async def test_a_failure_at_once(ledger, store, health):
    """A commit that fails at once tells its caller, and those who come later, until the store is back."""
    store.error = StoreUnavailable("disk")
    with pytest.raises(StoreUnavailable):
        await ledger.submit(cost("alice", 1, "r1"))
    with pytest.raises(StoreUnavailable):
        ledger.submit(cost("alice", 1))
    store.error = None
    await health.back.wait()
    assert 1 == (await ledger.submit(cost("alice", 1, "r1"))).entry.version

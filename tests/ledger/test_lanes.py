"""A store with several lanes: each keeps its users in order, and none waits for another."""

import asyncio

import pytest

from meterd_server.errors import Overloaded, StoreUnavailable
from rules.commands import cost


@pytest.fixture
async def store(store):
    """Return the scripted store with a lane for each first letter; a batch is told with its lane."""
    store.lanes = 26
    store.lane_of = lambda user_id: ord(user_id[0]) - ord("a")
    return store


async def test_a_batch_holds_users_of_one_lane(ledger, store, settle):
    """Commands of different lanes are never in one transaction, and those of one lane are in order."""
    store.hold()
    answers = [ledger.submit(cost(user, 1, user)) for user in ("anna", "bob")]
    await settle()
    answers += [ledger.submit(cost(user, 1, user)) for user in ("adam", "ben", "abel")]
    store.let_go()
    await asyncio.gather(*answers)
    assert [["anna"], ["bob"], ["adam", "abel"], ["ben"]] == store.batches


async def test_lanes_commit_at_the_same_time(ledger, store, settle):
    """A commit under way in one lane does not hold up another lane's."""
    store.hold()
    answers = [ledger.submit(cost(user, 1)) for user in ("anna", "bob", "carol")]
    await settle()
    assert 3 == len(store.batches)
    store.let_go()
    await asyncio.gather(*answers)


async def test_a_list_over_several_lanes_is_answered_in_its_order(ledger, store):
    """One caller's commands go to their lanes, each lane's in one piece, and the outcomes come back in the caller's order."""
    users = ["anna", "bob", "adam", "bob", "carol", "anna"]
    outcomes = await ledger.submit_all([cost(user, 1, f"r{place}") for place, user in enumerate(users)])
    assert users == [outcome.entry.user_id for outcome in outcomes]
    assert [1, 1, 1, 2, 1, 2] == [outcome.entry.version for outcome in outcomes]
    assert [["r0", "r2", "r5"], ["r1", "r3"], ["r4"]] == store.batches


async def test_a_full_lane_is_overloaded_alone(make_ledger, store, settle):
    """A lane that is full sheds its own callers only."""
    ledger = make_ledger(queued_max=1)
    store.hold()
    answers = [ledger.submit(cost("anna", 1))]
    await settle()
    answers.append(ledger.submit(cost("anna", 1)))
    with pytest.raises(Overloaded):
        ledger.submit(cost("adam", 1))
    answers.append(ledger.submit(cost("bob", 1)))
    store.let_go()
    await asyncio.gather(*answers)


async def test_a_failure_in_one_lane_stops_all(ledger, store, health, settle):
    """When the store fails, whoever waits in any lane is told, and it is reopened once."""
    store.hold()
    answers = [ledger.submit(cost(user, 1)) for user in ("anna", "bob")]
    await settle()
    answers.append(ledger.submit(cost("adam", 1)))
    listed = ledger.submit_all([cost("anna", 1), cost("carol", 1)])
    store.error = StoreUnavailable("disk")
    store.let_go()
    told = await asyncio.gather(*answers, listed, return_exceptions=True)
    assert [StoreUnavailable] * 4 == [type(answer) for answer in told]
    assert [False] == health.told
    store.error = None
    await health.back.wait()
    assert 1 == (await ledger.submit(cost("anna", 1))).entry.version

"""How commands become batches, in which order, and when they are answered."""

import asyncio

import pytest

from meterd_server.errors import Overloaded, Reason, StoreUnavailable
from meterd_server.lane import BATCH_OPERATIONS_MAX
from meterd_server.model import Account
from rules.commands import cost, funding, strict_cost

HOUR = 3600


async def test_an_answer_comes_after_the_commit(ledger, store, settle):
    """No caller is told of a change before the store has committed it."""
    store.hold()
    answer = ledger.submit(cost("alice", 5))
    await settle()
    assert ([1], False) == ([len(batch) for batch in store.batches], answer.done())
    store.let_go()
    assert -5 == (await answer).account.balance_microcents


async def test_a_rejection_is_an_answer(ledger):
    """A refused command answers like any other: with its outcome."""
    assert Reason.INSUFFICIENT_FUNDS == (await ledger.submit(strict_cost("alice", 5))).reason


async def test_one_caller_alone_never_waits(make_ledger, settle, stand_still):
    """An idle lane commits at once, time and again, however long the window is."""
    ledger = make_ledger(commit_window_seconds=HOUR)
    stand_still()
    for _ in range(3):
        answer = ledger.submit(cost("alice", 5))
        await settle()
        assert answer.done()


async def test_a_lane_that_was_busy_long_ago_never_waits(make_ledger, settle, stand_still, monkeypatch):
    """A lane whose last batch had company, but too long ago to expect more, commits at once."""
    monkeypatch.setattr("meterd_server.company.BUSY_SECONDS", 0)
    ledger = make_ledger(commit_window_seconds=1)
    await asyncio.gather(ledger.submit(cost("alice", 5)), ledger.submit(cost("alice", 5)))
    stand_still()
    answer = ledger.submit(cost("alice", 5))
    await settle()
    answered = answer.done()
    answer.cancel()
    assert answered


async def _have_come_together(ledger, monkeypatch, *crowds):
    """Have as many callers as each crowd is large served together, one crowd after the other; then the clock stands."""
    for callers in crowds:
        await asyncio.gather(*[ledger.submit(cost("alice", 1)) for _ in range(callers)])
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)


@pytest.mark.parametrize(
    "crowds_and_awaited",
    [
        ((9, 9, 9), 9),
        ((9, 9, 12, 9), 12),
        ((9, 12, 9, 9, 9, 9), 9),
    ],
)
async def test_a_lane_waits_for_those_who_came_lately(make_ledger, store, settle, monkeypatch, crowds_and_awaited):
    """As soon as as many callers are there as came together in the last four batches, they are served."""
    crowds, awaited = crowds_and_awaited
    monkeypatch.setattr("meterd_server.company.PROBE_SECONDS", HOUR)
    ledger = make_ledger(commit_window_seconds=0.01)
    await _have_come_together(ledger, monkeypatch, *crowds)
    store.batches.clear()
    answers = [ledger.submit(cost("alice", 1)) for _ in range(awaited - 1)]
    await settle()
    assert [] == store.batches
    answers.append(ledger.submit(cost("alice", 1)))
    await asyncio.gather(*answers)
    assert [awaited] == [len(batch) for batch in store.batches]


async def test_a_lane_finds_out_whether_more_come(make_ledger, store, settle, monkeypatch):
    """Now and then a lane waits for as long as callers come, though as many as lately are there."""
    monkeypatch.setattr("meterd_server.company.PROBE_SECONDS", 0)
    ledger = make_ledger(commit_window_seconds=0.01)
    await _have_come_together(ledger, monkeypatch, 9, 9, 9)
    store.batches.clear()
    answers = [ledger.submit(cost("alice", 1)) for _ in range(10)]
    await settle()
    assert [] == store.batches
    monkeypatch.undo()
    await asyncio.gather(*answers)


async def test_what_arrives_during_a_commit_is_the_next_batch(ledger, store, settle):
    """While one batch is under way the others gather, and go together when it is done."""
    store.hold()
    answers = [ledger.submit(cost("alice", 1, "first"))]
    await settle()
    for name in ("second", "third", "fourth"):
        answers.append(ledger.submit(cost("bob", 1, name)))
        await settle()
    assert [["first"]] == store.batches
    store.let_go()
    await asyncio.gather(*answers)
    assert [["first"], ["second", "third", "fourth"]] == store.batches


async def test_one_commit_at_a_time(ledger, store, settle):
    """A lane begins no commit before the last one is done, so that no two decide on the same account."""
    store.hold()
    first = ledger.submit(cost("alice", 1))
    await settle()
    second = ledger.submit(cost("alice", 1))
    await settle()
    assert 1 == len(store.batches)
    store.let_go()
    assert [1, 2] == [outcome.entry.version for outcome in await asyncio.gather(first, second)]


async def test_a_user_is_served_in_order(ledger, store, settle):
    """Commands are decided in the order in which they came, within a batch and across batches."""
    store.hold()
    first = ledger.submit(strict_cost("alice", 5, "too early"))
    await settle()
    commands = [funding("alice", 5, "pay"), strict_cost("alice", 5, "takes all"), strict_cost("alice", 1, "too late")]
    answers = [first, *map(ledger.submit, commands)]
    store.let_go()
    outcomes = await asyncio.gather(*answers)
    assert [None, 5, 0, None] == [
        outcome.account.balance_microcents if hasattr(outcome, "account") else None for outcome in outcomes
    ]
    assert [["too early"], ["pay", "takes all", "too late"]] == store.batches


async def test_a_batch_has_a_limit(ledger, store):
    """A long queue goes in several commits, each as large as allowed, in order, and all are answered."""
    names = [f"r{number}" for number in range(2 * BATCH_OPERATIONS_MAX + 7)]
    outcomes = await asyncio.gather(*[ledger.submit(cost("alice", 1, name)) for name in names])
    assert [BATCH_OPERATIONS_MAX, BATCH_OPERATIONS_MAX, 7] == [len(batch) for batch in store.batches]
    assert names == [name for batch in store.batches for name in batch]
    assert list(range(1, len(names) + 1)) == [outcome.entry.version for outcome in outcomes]


async def test_each_batch_has_a_time_of_its_own(ledger):
    """Time is asked for when a batch is begun, and is the same for all of it."""
    first = await ledger.submit(cost("alice", 1))
    second, third = await asyncio.gather(ledger.submit(cost("bob", 1)), ledger.submit(cost("carol", 1)))
    assert first.entry.record_time_us < second.entry.record_time_us == third.entry.record_time_us


async def test_a_full_queue_is_overloaded(make_ledger, store, settle):
    """One command more than the queue holds is refused at once, was not begun, and there is room again later."""
    ledger = make_ledger(queued_max=3)
    store.hold()
    answers = [ledger.submit(cost("alice", 1, "under way"))]
    await settle()
    answers += [ledger.submit(cost("alice", 1, f"queued-{number}")) for number in range(3)]
    for _ in range(2):
        with pytest.raises(Overloaded):
            ledger.submit(cost("alice", 1, "shed"))
    store.let_go()
    await asyncio.gather(*answers)
    assert ["under way", "queued-0", "queued-1", "queued-2"] == [name for batch in store.batches for name in batch]
    assert 5 == (await ledger.submit(cost("alice", 1, "shed"))).entry.version


async def test_an_account_has_what_was_acknowledged(ledger, store, settle):
    """Check sees every change that was answered, and none that is still under way."""
    await ledger.submit(funding("alice", 5))
    store.hold()
    answer = ledger.submit(cost("alice", 5))
    await settle()
    assert 5 == (await ledger.account("alice")).balance_microcents
    store.let_go()
    await answer
    assert 0 == (await ledger.account("alice")).balance_microcents
    assert Account("nobody") == await ledger.account("nobody")


async def test_an_account_in_memory_needs_no_store(ledger, store):
    """Check waits for no I/O when the account is known: the store is not asked."""
    await ledger.submit(funding("alice", 5))
    store.account = None
    assert 5 == (await ledger.account("alice")).balance_microcents


async def test_stopping_answers_everyone(ledger, store, settle):
    """stop() takes nothing new, and returns when all that was under way or queued is answered."""
    store.hold()
    answers = [ledger.submit(cost("alice", 1))]
    await settle()
    answers += [ledger.submit(cost("alice", 1)) for _ in range(5)]
    stopping = asyncio.ensure_future(ledger.stop())
    await settle()
    assert not stopping.done()
    with pytest.raises(StoreUnavailable):
        ledger.submit(cost("alice", 1, "late"))
    store.let_go()
    await stopping
    assert [1, 2, 3, 4, 5, 6] == [answer.result().entry.version for answer in answers]


async def test_stopping_does_not_wait_for_company(make_ledger, store, settle, stand_still):
    """A lane that is stopping commits what it has, and does not hold it back for a window to pass."""
    ledger = make_ledger(commit_window_seconds=HOUR)
    stand_still()
    store.hold()
    answers = [ledger.submit(cost("alice", 1)), ledger.submit(cost("alice", 1))]
    await settle()
    answers.append(ledger.submit(cost("alice", 1)))
    stopping = asyncio.ensure_future(ledger.stop())
    store.let_go()
    await settle()
    assert stopping.done()
    assert [1, 2, 3] == [answer.result().entry.version for answer in answers]


async def test_an_idle_ledger_stops_at_once(ledger, settle):
    """Stopping with nothing to do ends, twice as well."""
    await ledger.stop()
    await ledger.stop()
    await settle()

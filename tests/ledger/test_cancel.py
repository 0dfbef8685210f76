"""Callers that go away: before their command is begun, while it is being committed, and after."""

import asyncio

import pytest

from rules.commands import cost


async def test_a_command_not_begun_is_dropped(ledger, store, settle):
    """A caller who goes away while the command waits in the queue leaves no trace; the others are served."""
    store.hold()
    answers = [ledger.submit(cost("alice", 1, "under way"))]
    await settle()
    gone = ledger.submit(cost("alice", 1, "gone"))
    answers.append(ledger.submit(cost("alice", 1, "stays")))
    gone.cancel()
    store.let_go()
    await asyncio.gather(*answers)
    assert [["under way"], ["stays"]] == store.batches
    assert 2 == (await ledger.account("alice")).version


async def test_a_queue_of_callers_who_are_all_gone(ledger, store, settle):
    """If every caller of the next batch is gone there is no such batch, and the lane goes on."""
    store.hold()
    first = ledger.submit(cost("alice", 1, "under way"))
    await settle()
    for _ in range(3):
        ledger.submit(cost("alice", 1)).cancel()
    store.let_go()
    await first
    await settle()
    assert 2 == (await ledger.submit(cost("alice", 1, "next"))).entry.version
    assert [["under way"], ["next"]] == store.batches


async def test_a_command_under_way_is_carried_through(ledger, store, settle):
    """A caller who goes away mid-commit does not break the batch: the entry is whole, and a retry is told so."""
    store.hold()
    command = cost("alice", 7, "r1")
    gone, neighbour = ledger.submit(command), ledger.submit(cost("alice", 1))
    await settle()
    gone.cancel()
    await settle()
    assert not neighbour.done()
    store.let_go()
    entry = (await neighbour).entry
    assert (2, -8) == (entry.version, entry.balance_microcents)
    again = await ledger.submit(command)
    assert (True, 1, -7) == (again.replayed, again.entry.version, again.entry.amount_microcents)


async def test_a_cancelled_task_does_not_cancel_the_lane(ledger, store, settle):
    """A task that is cancelled while it awaits its answer gets CancelledError; nobody else notices."""
    store.hold()

    async def call():
        return await ledger.submit(cost("alice", 1))

    tasks = [asyncio.ensure_future(call()) for _ in range(3)]
    await settle()
    tasks[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    store.let_go()
    assert [1, 3] == [outcome.entry.version for outcome in await asyncio.gather(tasks[0], tasks[2])]


@pytest.mark.parametrize("steps", range(8))
async def test_cancelled_at_any_step(ledger, store, settle, steps):
    """Wherever a call is when it is cancelled, its entry is whole or absent, and the next call works."""

    async def call():
        return await ledger.submit(cost("alice", 5, "r1"))

    task = asyncio.ensure_future(call())
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await settle()
    account = await ledger.account("alice")
    assert account.balance_microcents in (0, -5)
    assert account.version == -account.balance_microcents // 5
    outcome = await ledger.submit(cost("alice", 5, "r1"))
    assert (account.version == 1, -5) == (outcome.replayed, outcome.account.balance_microcents)


async def test_cancelling_an_answered_call_changes_nothing(ledger):
    """A caller may let go of an answer that is there."""
    answer = ledger.submit(cost("alice", 1))
    outcome = await answer
    assert not answer.cancel()
    assert outcome == answer.result()


async def test_callers_who_leave_make_room(make_ledger, store, settle):
    """After a wave of cancelled calls the queue takes as many as before."""
    ledger = make_ledger(queued_max=4)
    store.hold()
    first = ledger.submit(cost("alice", 1))
    await settle()
    for answer in [ledger.submit(cost("alice", 1)) for _ in range(4)]:
        answer.cancel()
    store.let_go()
    await first
    await settle()
    outcomes = await asyncio.gather(*[ledger.submit(cost("alice", 1)) for _ in range(4)])
    assert [2, 3, 4, 5] == [outcome.entry.version for outcome in outcomes]

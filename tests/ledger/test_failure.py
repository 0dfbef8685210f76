"""A store that fails: everyone who waits is told that the outcome is unknown, and calls work again when it is back."""

import asyncio
import sqlite3

import pytest

from meterd_server.errors import StoreUnavailable
from rules.commands import cost, funding

BROKEN = StoreUnavailable("disk I/O error")


async def fail(ledger, store, settle, error=BROKEN):
    """Submit two commands and three behind them, let the commit fail, and return what each was told."""
    store.hold()
    answers = [ledger.submit(cost("alice", 5, f"begun-{number}")) for number in range(2)]
    await settle()
    answers += [ledger.submit(cost("bob", 5, f"queued-{number}")) for number in range(3)]
    store.error = error
    store.let_go()
    return await asyncio.gather(*answers, return_exceptions=True)


@pytest.mark.parametrize("error", [StoreUnavailable("disk"), sqlite3.OperationalError("disk"), RuntimeError("a bug")])
async def test_everybody_is_told(ledger, store, health, settle, error):
    """Whatever a commit raises, the batch and the queue behind it get StoreUnavailable, without the store's own words."""
    told = await fail(ledger, store, settle, error)
    assert [StoreUnavailable] * 5 == [type(answer) for answer in told]
    assert not any("disk" in str(answer) or "bug" in str(answer) for answer in told)
    assert [["begun-0", "begun-1"]] == store.batches
    assert [False] == health.told


@pytest.mark.parametrize("after_the_write", [False, True])
async def test_a_retry_settles_what_was_unknown(ledger, store, health, settle, after_the_write):
    """When the store is back each command can be sent again, and is there once, written before the failure or not."""
    store.error_is_after_the_write = after_the_write
    await fail(ledger, store, settle)
    store.error = None
    await health.back.wait()
    assert [False, True] == health.told
    outcomes = [await ledger.submit(cost("alice", 5, f"begun-{number}")) for number in range(2)]
    assert [after_the_write] * 2 == [outcome.replayed for outcome in outcomes]
    assert -10 == (await ledger.account("alice")).balance_microcents
    assert not (await ledger.submit(cost("bob", 5, "queued-0"))).replayed


async def test_nothing_is_answered_meanwhile(ledger, store, health, settle):
    """Until the store is back, new commands are refused and accounts are not answered from what may be untrue."""
    await ledger.submit(funding("alice", 9))
    await fail(ledger, store, settle)
    with pytest.raises(StoreUnavailable):
        ledger.submit(cost("alice", 1))
    with pytest.raises(StoreUnavailable):
        await ledger.account("alice")
    store.error = None
    await health.back.wait()
    assert 9 == (await ledger.account("alice")).balance_microcents


READS = {
    "account": lambda ledger: ledger.account("alice"),
    "entries": lambda ledger: ledger.entries("alice", after_version=0, before_version=9, newest_first=False, limit=9),
    "users": lambda ledger: ledger.users(None, 9),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
async def test_reads_alone_find_out(ledger, store, health, read):
    """A store that failed beside the commits is reopened when only reads come, once for however many of them."""
    await ledger.submit(funding("alice", 9))
    store.closed = True
    told = await asyncio.gather(*[read(ledger) for _ in range(3)], return_exceptions=True)
    assert [StoreUnavailable] * 3 == [type(answer) for answer in told]
    assert [False] == health.told
    await health.back.wait()
    assert (1, [False, True]) == (store.reopened, health.told)
    await read(ledger)
    assert 9 == (await ledger.account("alice")).balance_microcents


async def test_a_read_that_failed_says_nothing_of_the_store(ledger, store, health, settle):
    """A store that goes on is not reopened because of a read, as where a server hung up on one connection."""

    async def hung_up(user_id):
        raise StoreUnavailable("connection lost")

    store.account = hung_up
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await ledger.account("nobody")
    await settle()
    assert (0, []) == (store.reopened, health.told)
    assert 1 == (await ledger.submit(cost("alice", 1))).entry.version


async def test_a_read_while_stopping(ledger, store, health, settle):
    """A ledger that has stopped reopens nothing any more."""
    await ledger.stop()
    store.closed = True
    with pytest.raises(StoreUnavailable):
        await ledger.account("alice")
    await settle()
    assert (0, []) == (store.reopened, health.told)


async def test_reopening_is_tried_until_it_succeeds(ledger, store, health, settle):
    """A store that cannot be reopened yet is tried again, and health is told once each way."""
    await fail(ledger, store, settle)
    tried, reopen = asyncio.Event(), store.reopen

    async def third_time_lucky():
        if store.reopened == 2:
            tried.set()
            store.error = None
        await reopen()

    store.reopen = third_time_lucky
    await tried.wait()
    await health.back.wait()
    assert (3, [False, True]) == (store.reopened, health.told)
    assert 1 == (await ledger.submit(cost("alice", 1))).entry.version


async def test_it_may_fail_again(ledger, store, health, settle):
    """A ledger comes back from one failure after the other."""
    for number in range(1, 4):
        await fail(ledger, store, settle)
        store.error = None
        await health.back.wait()
        health.back.clear()
        assert number == (await ledger.submit(cost("carol", 1))).entry.version
    assert [False, True] * 3 == health.told


async def test_a_cancelled_commit_leaves_nobody_waiting(ledger, store, health, settle):
    """A commit that is cancelled from somewhere answers its callers as any failed one does."""
    told = await fail(ledger, store, settle, asyncio.CancelledError())
    assert [StoreUnavailable] * 5 == [type(answer) for answer in told]
    store.error = None
    await health.back.wait()
    assert 1 == (await ledger.submit(cost("alice", 1))).entry.version


async def test_callers_who_left_are_not_told(ledger, store, health, settle):
    """A failure passes over the callers who are gone."""
    store.hold()
    begun = ledger.submit(cost("alice", 5))
    await settle()
    queued = ledger.submit(cost("alice", 5))
    begun.cancel()
    queued.cancel()
    store.error = StoreUnavailable("disk")
    store.let_go()
    await settle()
    assert [False] == health.told
    store.error = None
    await health.back.wait()
    assert 1 == (await ledger.submit(cost("alice", 1))).entry.version


async def test_stopping_while_the_store_is_broken(ledger, store, health, settle):
    """stop() does not wait for a store that may never come back, and nothing reopens it afterwards."""
    await fail(ledger, store, settle)
    await ledger.stop()
    reopened = store.reopened
    await settle()
    assert (reopened, [False]) == (store.reopened, health.told)
    with pytest.raises(StoreUnavailable):
        ledger.submit(cost("alice", 1))


async def test_a_failure_while_stopping(ledger, store, settle):
    """A commit that fails while the ledger stops still answers everybody, and stop() returns."""
    store.hold()
    answers = [ledger.submit(cost("alice", 1))]
    await settle()
    answers += [ledger.submit(cost("alice", 1)) for _ in range(3)]
    stopping = asyncio.ensure_future(ledger.stop())
    await settle()
    store.error = StoreUnavailable("disk")
    store.let_go()
    told = await asyncio.gather(*answers, return_exceptions=True)
    assert [StoreUnavailable] * 4 == [type(answer) for answer in told]
    await stopping


async def test_every_lane_is_told(ledger, store, settle):
    """Who waits in another lane than the one whose commit failed is told as well: nothing behind it can be believed."""
    store.lanes, store.lane_of = 2, lambda user_id: int(user_id == "bob")
    store.hold()
    begun, other = ledger.submit(cost("alice", 1)), ledger.submit(cost("bob", 1))
    await settle()
    waiting = [ledger.submit(cost(user_id, 1)) for user_id in ("alice", "bob")]
    store.error = BROKEN
    store.let_go()
    told = await asyncio.gather(begun, other, *waiting, return_exceptions=True)
    assert [StoreUnavailable] * 4 == [type(answer) for answer in told]

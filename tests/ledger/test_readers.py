"""Who reads is not held up by commits for long: how a lane finds out that somebody does, and what it does then."""

import pytest

from meterd_server.company import COMPANY_CALLERS_MIN, HELD_UP_SECONDS, READERS_SECONDS, Readers
from meterd_server.errors import StoreUnavailable
from rules.commands import cost


@pytest.fixture
def readers(clock):
    """Return what a lane that has seen nobody knows."""
    return Readers(clock)


@pytest.fixture
async def ledger(make_ledger, clock):
    """Return a ledger that reads this clock."""
    return make_ledger(clock=clock)


def test_who_reads_while_nothing_is_committed_is_nobodys_business(readers):
    """A reader who has waited for nothing needs nothing."""
    readers.note()
    assert not readers.are_expected


def test_who_reads_right_after_a_commit_has_waited_for_it(readers, clock):
    """Others like this one are expected, for a while."""
    readers.were_held_up()
    assert not readers.are_expected
    clock.go_on(HELD_UP_SECONDS * 0.9)
    readers.note()
    assert readers.are_expected
    clock.go_on(READERS_SECONDS * 0.9)
    assert readers.are_expected
    clock.go_on(READERS_SECONDS * 0.2)
    assert not readers.are_expected


def test_who_reads_and_writes_by_turns_waits_for_nobody(readers, clock):
    """The caller who was answered, and asks again, did not come while the commit was under way."""
    for _ in range(10):
        readers.were_held_up()
        clock.go_on(HELD_UP_SECONDS * 1.1)
        readers.note()
        assert not readers.are_expected


def test_who_reads_beside_a_commit_would_have_waited(readers, clock):
    """As long as somebody reads while commits are under way, more are expected."""
    readers.were_held_up()
    clock.go_on(HELD_UP_SECONDS)
    readers.are_beside(True)
    readers.note()
    readers.are_beside(False)
    assert readers.are_expected
    clock.go_on(READERS_SECONDS)
    readers.note()
    assert not readers.are_expected


def test_nobody_waits_where_no_commit_holds_the_event_loop_up(readers):
    """An engine all of whose commits let the event loop go on has no use for this."""
    readers.are_beside(True)
    readers.note()
    assert not readers.are_expected


async def test_a_reader_who_waited_is_the_last(ledger, store, clock, settle):
    """After one has waited, commits let the event loop go on; when nobody has read for a while, one is at once again."""
    store.at_once = True
    assert ledger.submit(cost("alice", 1)).done()
    await settle()
    assert 1 == (await ledger.account("alice")).version
    beside = ledger.submit(cost("alice", 1))
    assert not beside.done()
    assert 2 == (await beside).entry.version
    await settle()
    clock.go_on(READERS_SECONDS)
    await ledger.account("alice")
    assert ledger.submit(cost("alice", 1)).done()


async def test_a_reader_beside_a_commit_keeps_it_so(ledger, store, clock, settle):
    """Who reads while a commit is on its way is answered, and makes the next one let the event loop go on as well."""
    store.at_once = True
    ledger.submit(cost("alice", 1))
    await settle()
    clock.go_on(HELD_UP_SECONDS)
    store.hold()
    slow = ledger.submit(cost("alice", 1))
    await settle()
    assert 1 == (await ledger.account("alice")).version
    store.let_go()
    assert 2 == (await slow).entry.version
    await settle()
    beside = ledger.submit(cost("alice", 1))
    assert not beside.done()
    await beside


async def test_a_commit_beside_that_failed_is_over(ledger, store, health, clock, settle):
    """Who reads after it did not wait for it."""
    store.at_once = True
    ledger.submit(cost("alice", 1))
    await settle()
    clock.go_on(HELD_UP_SECONDS)
    store.at_once = False
    store.error = StoreUnavailable("disk")
    with pytest.raises(StoreUnavailable):
        await ledger.submit(cost("alice", 1))
    store.error = None
    await health.back.wait()
    store.at_once = True
    await ledger.account("alice")
    assert ledger.submit(cost("alice", 1)).done()
    await settle()


async def test_many_commands_are_committed_at_once_all_the_same(ledger, store, settle):
    """What a busy event loop would make of them beside it takes longer than readers save."""
    store.at_once = True
    ledger.submit(cost("alice", 1))
    await ledger.account("alice")
    await settle()
    many = [cost("alice", 1) for _ in range(COMPANY_CALLERS_MIN)]
    assert not ledger.submit_all(many[1:]).done()
    await settle()
    assert ledger.submit_all(many).done()


async def test_a_batch_beside_readers_lets_the_event_loop_go_on(ledger, store, settle):
    """It is the same for those who are committed together."""
    store.at_once = True
    alone = ledger.submit(cost("alice", 1, "alone"))
    await ledger.account("alice")
    answers = [alone, ledger.submit(cost("alice", 1, "c2")), ledger.submit(cost("alice", 1, "c3"))]
    await settle()
    assert [1, 2, 3] == [answer.result().entry.version for answer in answers]
    assert [["alone"], ["c2", "c3"]] == store.batches
    assert [["alone"]] == store.batches_at_once

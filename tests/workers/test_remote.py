"""The ledger as a worker sees it: what goes out in which frame, and who is told what comes back."""

import asyncio

import pytest

from meterd_server.errors import Overloaded, StoreUnavailable
from meterd_server.lane import BATCH_OPERATIONS_MAX
from meterd_server.model import Account, Entry, EntryKind
from meterd_server.rules import decide_batch
from meterd_server.workers.frames import pack_entry, pack_outcomes, unpack_commands
from meterd_server.workers.link import ToLedger
from rules.commands import cost, funding


def _outcomes(commands):
    return decide_batch({"ada": Account("ada"), "bob": Account("bob")}, {}, commands, 1).outcomes


def _commit(script, frame):
    """Answer a COMMIT frame with what the rules make of it; return the outcomes."""
    commands = unpack_commands(frame[3])
    outcomes = _outcomes(commands)
    script.answer(frame, pack_outcomes(commands, outcomes))
    return outcomes


async def test_one_frame_for_a_turn_of_the_loop(script):
    """Everything submitted before the loop has turned goes in one frame, in order, and each caller gets its own outcome."""
    one, two, three, four = (funding("ada", amount) for amount in (1, 2, 3, 4))
    answers = script.ledger.submit(one), script.ledger.submit_all([two, three]), script.ledger.submit(four)
    (frame,) = await script.turn()
    assert (ToLedger.COMMIT, 3) == (frame[0], frame[2])
    assert [one, two, three, four] == unpack_commands(frame[3])
    first, *middle, last = _commit(script, frame)
    assert (first, middle, last) == tuple([await answer for answer in answers])


async def test_frames_do_not_wait_for_each_other(script):
    """A later turn is a frame of its own, sent while the first is unanswered, and may be answered before it."""
    early = script.ledger.submit(funding("ada", 1))
    (first,) = await script.turn()
    late = script.ledger.submit(funding("bob", 2))
    (second,) = await script.turn()
    outcomes = _commit(script, second)
    assert outcomes == [await late]
    assert not early.done()
    assert _commit(script, first) == [await early]


async def test_a_frame_is_no_larger_than_a_batch(make_script):
    """Many callers are divided over frames of about a batch each, but never one caller's commands."""
    script = make_script(unanswered_max=10_000)
    half = BATCH_OPERATIONS_MAX // 2
    for count in (half, 2 * half + 1, half, half, 1):
        script.ledger.submit_all([funding("ada", 1)] * count)
    sizes = [len(unpack_commands(frame[3])) for frame in await script.turn()]
    assert [3 * half + 1, 2 * half, 1] == sizes


async def test_what_nobody_waits_for_is_not_sent(script):
    """A command whose caller has gone before it was sent is dropped; a frame of nothing is none."""
    script.ledger.submit(cost("ada", 1)).cancel()
    kept = script.ledger.submit(funding("ada", 2))
    (frame,) = await script.turn()
    _commit(script, frame)
    assert 2 == (await kept).account.funded_microcents
    script.ledger.submit(cost("ada", 1)).cancel()
    assert [] == await script.turn()


async def test_a_caller_that_goes_away(script):
    """A caller that goes away after its command was sent leaves its neighbours alone."""
    gone, kept = script.ledger.submit(funding("ada", 1)), script.ledger.submit(funding("ada", 2))
    lookup = asyncio.ensure_future(script.ledger.account("ada"))
    commit, accounts = await script.turn()
    gone.cancel()
    lookup.cancel()
    _commit(script, commit)
    script.answer(accounts, [("ada", 2, 3, 0, 1)])
    assert 3 == (await kept).account.funded_microcents


@pytest.mark.parametrize(("error", "kind"), [("Overloaded", Overloaded), ("StoreUnavailable", StoreUnavailable)])
async def test_errors(script, error, kind):
    """What the ledger's process refuses, every caller of the frame is told as a ledger here would."""
    calls = [
        script.ledger.submit(cost("ada", 1)),
        script.ledger.submit_all([cost("ada", 1)]),
        asyncio.ensure_future(script.ledger.account("ada")),
        asyncio.ensure_future(
            script.ledger.entries("ada", after_version=0, before_version=9, newest_first=True, limit=5)
        ),
    ]
    for frame in await script.turn():
        script.answer(frame, error=error)
    assert [kind] * 4 == [type(each) for each in await asyncio.gather(*calls, return_exceptions=True)]


async def test_accounts_are_asked_for_together(script):
    """Look-ups of one turn are one frame, and each gets its own account."""
    calls = [asyncio.ensure_future(script.ledger.account(user_id)) for user_id in ("ada", "bob", "ada")]
    ((kind, _, users),) = frames = await script.turn()
    assert (ToLedger.ACCOUNTS, ["ada", "bob", "ada"]) == (kind, users)
    ada, bob = Account("ada", 1, 2, 3, 4), Account("bob")
    script.answer(frames[0], [tuple(ada), tuple(bob), tuple(ada)])
    assert [ada, bob, ada] == await asyncio.gather(*calls)


async def test_entries(script):
    """A listing goes out with all that it asks for, and comes back as entries."""
    options = {"after_version": 1, "before_version": 9, "newest_first": False, "limit": 5}
    call = asyncio.ensure_future(script.ledger.entries("ada", **options))
    (frame,) = await script.turn()
    assert (ToLedger.ENTRIES, "ada", options) == (frame[0], *frame[2:])
    entry = Entry("ada", 2, EntryKind.COST, -1, 4, "r1", 77, "chat", (("k", "v"),), None, 99)
    script.answer(frame, [pack_entry(entry)])
    assert [entry] == await call


async def test_what_is_on_the_way_is_bounded(make_script):
    """Beyond the bound a call is refused before anything is sent, and there is room again when answers come."""
    script = make_script(unanswered_max=3)
    script.ledger.submit_all([funding("ada", 1)] * 2)
    lookup = asyncio.ensure_future(script.ledger.account("ada"))
    commit, accounts = await script.turn()
    with pytest.raises(Overloaded):
        script.ledger.submit(funding("ada", 1))
    with pytest.raises(Overloaded):
        await script.ledger.account("ada")
    script.answer(accounts, [tuple(Account("ada"))])
    assert Account("ada") == await lookup
    script.ledger.submit(funding("ada", 1)).cancel()
    assert [] == await script.turn()
    script.ledger.submit_all([funding("ada", 1)] * 200)  # one caller's are taken whole
    with pytest.raises(Overloaded):
        script.ledger.submit(funding("ada", 1))
    _commit(script, commit)


async def test_stopping(script):
    """Stopping sends what was submitted, waits for every answer, and takes nothing more."""
    answer = script.ledger.submit(funding("ada", 1))
    stopping = asyncio.ensure_future(script.ledger.stop())
    (frame,) = await script.turn()
    with pytest.raises(StoreUnavailable):
        script.ledger.submit(funding("ada", 1))
    with pytest.raises(StoreUnavailable):
        await script.ledger.account("ada")
    assert not stopping.done()
    _commit(script, frame)
    await stopping
    assert answer.done()


async def test_stopping_when_callers_are_gone(script):
    """Stopping waits for no answer that was given up before it was asked for."""
    script.ledger.submit(funding("ada", 1)).cancel()
    await script.ledger.stop()
    assert [] == await script.turn()

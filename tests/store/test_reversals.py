"""Reversals in each store: any entry, in parts, never more than there was, whenever and in whichever batch it was made."""

import pytest

from meterd_server.errors import Reason
from meterd_server.model import Applied, Checked, EntryKind
from rules.commands import capture, cost, funding, grant, policy, reserve, reverse
from store.model import entries_of
from store.special import SECOND


async def test_in_parts_until_nothing_is_left(counter):
    """Each part counts on from those before; all that is left is the rest; then there is nothing to reverse."""
    await counter.batch(funding("alice", 100), cost("alice", 70, "c"))
    first = await counter.applied(reverse("alice", 2, 30, labels=(("why", "refund"),)))
    assert (EntryKind.REVERSAL, 30, (2, 30), (("why", "refund"),)) == (
        first.kind,
        first.amount_microcents,
        first.more.reversal,
        first.labels,
    )
    assert Reason.REVERSAL_OVER_ENTRY == await counter.refused(reverse("alice", 2, 41))
    rest = await counter.applied(reverse("alice", 2))
    assert (40, (2, 70)) == (rest.amount_microcents, rest.more.reversal)
    for command in (reverse("alice", 2), reverse("alice", 2, 1)):
        assert Reason.REVERSAL_OVER_ENTRY == await counter.refused(command)
    assert (100, 0, 100) == await counter.totals()
    assert 0 == (await counter.account()).spent_microcents


async def test_in_one_batch(counter):
    """Parts in the batch of their entry, and in the next one, know of each other."""
    commands = (cost("alice", 10, "c"), reverse("alice", 1, 4, "x"), reverse("alice", 1, 7), reverse("alice", 1, 5))
    outcomes = await counter.batch(*commands)
    assert [True, True, False, True] == [isinstance(outcome, Applied) for outcome in outcomes]
    outcomes = await counter.batch(
        reverse("alice", 1, 1, "y"), reverse("alice", 1, 1, "z"), reverse("alice", 1, 1, "y")
    )
    assert [False, True] == [outcomes[0].replayed, outcomes[2].replayed]
    assert Reason.REVERSAL_OVER_ENTRY == outcomes[1].reason
    assert (0, 0, 0) == await counter.totals()


async def test_what_can_be_reversed(counter):
    """Costs, captures and money that came in; nothing else, nobody else's, and nothing that is not there."""
    await counter.batch(
        funding("alice", 100), reserve("alice", 50, "r"), capture("alice", "r", 40), policy("alice", unlimited=True)
    )
    await counter.applied(reverse("alice", 3))
    await counter.applied(reverse("alice", 1, 60))
    assert (40, 0, 40) == await counter.totals()
    assert 40 == (await counter.account()).funded_microcents
    for version in (2, 4, 5):
        assert Reason.ENTRY_NOT_REVERSIBLE == await counter.refused(reverse("alice", version))
    for command in (reverse("alice", 99), reverse("bob", 1)):
        assert Reason.ENTRY_NOT_FOUND == await counter.refused(command)


async def test_replays(counter):
    """A repeated reversal is one; under its id nothing else is done."""
    await counter.batch(funding("alice", 100), cost("alice", 70))
    made = await counter.applied(reverse("alice", 2, None, "x"))
    again = await counter.do(reverse("alice", 2, None, "x"))
    assert (made, True) == (again.entry, again.replayed)
    for command in (reverse("alice", 2, 70, "x"), reverse("alice", 1, None, "x"), cost("alice", 70, "x")):
        assert Reason.REQUEST_ID_REUSED == await counter.refused(command)


async def test_old_entries_are_found(counter):
    """An entry is found wherever it is in a long history, and its neighbours are left alone."""
    await counter.batch(*[cost("alice", number) for number in range(1, 301)], *[cost("bob", 1) for _ in range(9)])
    for version in (1, 63, 64, 65, 128, 299, 300):
        made = await counter.applied(reverse("alice", version))
        assert (version, version) == (made.amount_microcents, made.more.reversal.version)
    entries = await entries_of(counter.store, "alice")
    assert 307 == len(entries)
    assert 1 + 63 + 64 + 65 + 128 + 299 + 300 - 300 * 301 // 2 == (await counter.account()).balance_microcents


async def test_what_was_taken_back_of_a_grant(counter):
    """A grant whose funding was reversed after a cost drew on it is not restored beyond what still stands; the base is."""
    await counter.batch(grant("alice", 100, counter.now_us + SECOND), cost("alice", 60), reverse("alice", 1, 70))
    assert (30, 0) == (await counter.account()).grants[0][1:3]
    entry = await counter.applied(reverse("alice", 2))
    assert ((1, -30),) == entry.more.draws
    assert (30, 30) == (await counter.account()).grants[0][1:3]
    await counter.applied(reverse("alice", 1))
    assert (0, 0) == (await counter.account()).grants[0][1:3]
    counter.passes(2)
    assert 1 == await counter.sweep()
    assert ((), (0, 0, 0)) == ((await counter.account()).grants, await counter.totals())


@pytest.mark.parametrize("together", [True, False])
async def test_what_an_expiry_charged_and_was_given_back(counter, together):
    """The reservation whose expiry's charge is reversed is found and written: a late capture is charged what is not settled."""
    await counter.batch(funding("alice", 100), reserve("alice", 60, "r", captures_floor=True, floor_microcents=50))
    counter.passes(61)
    assert 1 == await counter.sweep()
    commands = (reverse("alice", 3, 20), capture("alice", "r", 40, final=False), reverse("alice", 3, 1))
    if together:
        outcomes = await counter.batch(*commands)
    else:
        outcomes = [await counter.do(command) for command in commands]
    entries = [outcome.entry for outcome in outcomes]
    assert [20, -10, 1] == [entry.amount_microcents for entry in entries]
    assert [30, 0, None] == [
        entry.more.reservation and entry.more.reservation.unsettled_microcents for entry in entries
    ]
    assert -5 == (await counter.applied(capture("alice", "r", 5))).amount_microcents
    assert (56, 0, 56) == await counter.totals()


async def test_an_expiry_is_made_once(counter):
    """Two that are asked for together, and a third later, make one entry: who comes later finds it done."""
    await counter.batch(funding("alice", 100), reserve("alice", 60, "r", ttl_us=SECOND))
    counter.passes(2)
    (expire,) = await counter.store.due(counter.now_us, 10)
    outcomes = [*await counter.batch(expire, expire), await counter.do(expire)]
    assert [Applied, Checked, Checked] == [type(outcome) for outcome in outcomes]

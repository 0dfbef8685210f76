"""Reversals in each store: any entry, in parts, never more than there was, whenever and in whichever batch it was made."""

from meterd_server.errors import Reason
from meterd_server.model import Applied, EntryKind
from rules.commands import capture, cost, funding, policy, reserve, reverse
from store.model import entries_of


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

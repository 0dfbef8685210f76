"""Grants in each store: in which order they are drawn from, how they lapse, and what goes back to them."""

import pytest

from meterd_server.errors import Reason
from meterd_server.model import Checked, EntryKind, Lapse
from meterd_server.rules import lapse_request_id
from rules.commands import capture, cost, funding, grant, reserve, reverse, strict_cost
from store.model import entries_of
from store.special import SECOND


async def lefts(counter):
    """Return what is left of each grant, by its version."""
    account = await counter.account()
    return {each.version: each.left_microcents for each in account.more.grants} if account.more else {}


@pytest.fixture
async def granted(counter):
    """Return a counter at which alice has, in the order in which it is drawn from: 50 (4), 30 (2), 20 (3), and 100 for ever."""
    now_us = counter.now_us
    await counter.applied(funding("alice", 100))
    await counter.applied(grant("alice", 30, now_us + 20 * SECOND, priority=5, label="promo"))
    await counter.applied(grant("alice", 20, now_us + 30 * SECOND, priority=5))
    await counter.applied(grant("alice", 50, now_us + 90 * SECOND, priority=-1))
    return counter


async def test_what_is_drawn_from_first(granted):
    """By priority, then by expiry; the money without expiry comes last, and alone goes below zero."""
    assert {4: 50, 2: 30, 3: 20} == await lefts(granted)
    first = await granted.applied(cost("alice", 60))
    assert ((4, 50), (2, 10)) == first.more.draws
    await granted.applied(reserve("alice", 100, "r"))
    assert {4: 0, 2: 20, 3: 20} == await lefts(granted)
    second = await granted.applied(capture("alice", "r", 500))
    assert ((2, 20), (3, 20)) == second.more.draws
    assert {4: 0, 2: 0, 3: 0} == await lefts(granted)
    assert (-360, 0, -360) == await granted.totals()


async def test_what_is_left_lapses(granted):
    """Grants come due one after the other, are ended by an entry each, once, and only their own money goes."""
    await granted.applied(cost("alice", 60))
    granted.passes(19)
    assert 0 == await granted.sweep()
    granted.passes(1)
    assert [Lapse("alice")] == await granted.store.due(granted.now_us, 10)
    assert 1 == await granted.sweep()
    (*_, lapsed) = await entries_of(granted.store, "alice")
    assert (EntryKind.LAPSE, -20, lapse_request_id(2)) == (lapsed.kind, lapsed.amount_microcents, lapsed.request_id)
    assert {4: 0, 3: 20} == await lefts(granted)
    assert isinstance(await granted.do(Lapse("alice")), Checked)
    assert 0 == await granted.sweep()
    granted.passes(100)
    assert [Lapse("alice")] == await granted.store.due(granted.now_us, 10)
    assert 1 == await granted.sweep()
    assert {} == await lefts(granted)
    assert (100, 0, 100) == await granted.totals()
    assert 40 == (await granted.account()).more.lapsed_microcents
    assert [] == await granted.store.due(granted.now_us, 10)


async def test_a_change_makes_what_is_due_lapse_before_it(granted):
    """What has expired is not spent, also before anybody came to take it away; nothing is due afterwards."""
    granted.passes(30)
    assert Reason.INSUFFICIENT_FUNDS == await granted.refused(strict_cost("alice", 151))
    (*_, second, third) = await entries_of(granted.store, "alice")
    assert [lapse_request_id(2), lapse_request_id(3)] == [second.request_id, third.request_id]
    assert [] == await granted.store.due(granted.now_us, 10)
    taken = await granted.applied(strict_cost("alice", 150))
    assert ((4, 50),) == taken.more.draws
    granted.passes(60)
    outcomes = await granted.batch(cost("alice", 1), cost("alice", 2))
    assert [9, 10] == [outcome.entry.version for outcome in outcomes]
    assert (-3, 0, -3) == await granted.totals()


async def test_a_replay_makes_nothing_lapse(granted):
    """A repeated request makes no entry, and gets its own."""
    made = await granted.applied(cost("alice", 60, "c"))
    granted.passes(100)
    again = await granted.do(cost("alice", 60, "c"))
    assert (made, True, made.version) == (again.entry, again.replayed, again.account.version)
    assert [Lapse("alice")] == await granted.store.due(granted.now_us, 10)


async def test_a_reversed_cost_goes_back_to_its_grants(granted):
    """What was drawn last goes back first, each part where the reversal before it stopped."""
    spent = await granted.applied(cost("alice", 110))
    assert {4: 0, 2: 0, 3: 0} == await lefts(granted)
    await granted.applied(reverse("alice", spent.version, 15))
    assert {4: 0, 2: 0, 3: 5} == await lefts(granted)
    await granted.applied(reverse("alice", spent.version, 50))
    assert {4: 5, 2: 30, 3: 20} == await lefts(granted)
    assert (155, 0, 155) == await granted.totals()


async def test_a_reversed_cost_does_not_revive_a_grant(granted):
    """What was drawn from a grant that has lapsed since goes to the money without expiry."""
    spent = await granted.applied(cost("alice", 110))
    granted.passes(20)
    assert 1 == await granted.sweep()
    await granted.applied(reverse("alice", spent.version))
    assert {4: 50, 3: 20} == await lefts(granted)
    assert (200, 0, 200) == await granted.totals()


async def test_a_reversed_grant_is_taken_back(granted):
    """Money that came in as a grant is taken from what is left of it, then from the rest."""
    await granted.applied(cost("alice", 60))
    await granted.applied(reverse("alice", 2))
    assert {4: 0, 2: 0, 3: 20} == await lefts(granted)
    assert (110, 0, 110) == await granted.totals()
    assert 170 == (await granted.account()).funded_microcents


async def test_a_grant_without_a_future_is_refused(counter):
    """Its time has to come; a label alone makes no grant, but is kept."""
    assert Reason.GRANT_EXPIRED == await counter.refused(grant("alice", 5, counter.now_us))
    made = await counter.applied(grant("alice", 5, None, label="gift"))
    assert "gift" == made.more.grant.label
    assert (await counter.account()).more is None
    assert [made] == await entries_of(counter.store, "alice")

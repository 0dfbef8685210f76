"""What a reservation comes to: captures, in part, late and beyond what was held, and its expiry."""

import pytest

from meterd_server.errors import Reason
from meterd_server.model import Checked, EntryKind, EntryMore, Reservation, ReservationState
from rules.commands import capture, cost, extend, release, reserve, reverse
from rules.teller import NOW, SECOND, Teller

State = ReservationState


def floored(money=100, floor=50, amount=60):
    """Return a teller with a reservation r that charges a floor if it expires."""
    teller = Teller(money)
    teller.does(reserve("alice", amount, "r", captures_floor=True, floor_microcents=floor))
    return teller


def test_a_final_capture_charges_and_releases_the_rest():
    """What it did cost is charged, what was held beyond that is available again, and that is the end."""
    teller = Teller(100)
    teller.does(reserve("alice", 60, "r"))
    entry = teller.does(capture("alice", "r", 45, labels=(("a", "b"),), occur_time_us=7))
    after = Reservation("r", 2, State.CAPTURED, 60, 0, 45, 0, False, NOW + 60 * SECOND)
    assert (EntryKind.CAPTURE, -45, 55, EntryMore(-60, after)) == (entry.kind, *entry[3:5], entry.more)
    assert ((("a", "b"),), 7) == (entry.labels, entry.occur_time_us)
    assert (55, 0, 55) == teller.totals


def test_captures_in_part_hold_what_is_left():
    """A capture that is not final charges from what is held; the last one releases the rest."""
    teller = Teller(100)
    teller.does(reserve("alice", 60, "r"))
    found = teller.does(capture("alice", "r", 25, final=False)).more.reservation
    assert (State.OPEN, 35, 25) == (found.state, found.held_microcents, found.captured_microcents)
    assert (75, 35, 40) == teller.totals
    found = teller.does(capture("alice", "r", 20)).more.reservation
    assert (State.CAPTURED, 0, 45) == (found.state, found.held_microcents, found.captured_microcents)
    assert (55, 0, 55) == teller.totals


@pytest.mark.parametrize(("captured", "overrun"), [(59, False), (60, False), (61, True)])
@pytest.mark.parametrize("final", [True, False])
def test_more_than_was_held_is_recorded_as_an_overrun(captured, overrun, final):
    """The cost is real, so it is charged even below zero; nothing is released that was not held."""
    teller = Teller(60)
    teller.does(reserve("alice", 60, "r"))
    entry = teller.does(capture("alice", "r", captured, final=final))
    assert (overrun, False, -captured) == (entry.more.overrun, entry.more.late, entry.amount_microcents)
    held = 0 if final else max(0, 60 - captured)
    assert (60 - captured, held, 60 - captured - held) == teller.totals


def test_an_expiry_releases_what_is_held():
    """When its time is over and not before, the reservation ends with nothing charged; a floor alone charges nothing."""
    teller = Teller(100)
    teller.does(reserve("alice", 60, "r", ttl_us=10 * SECOND, floor_microcents=50, service="chat"))
    teller.now_us += 10 * SECOND - 1
    before = teller.account
    assert Checked(before, 0) == teller.asks(teller.expire("r"))
    teller.now_us += 1
    entry = teller.does(teller.expire("r"))
    assert (EntryKind.EXPIRY, 0, "expiry 2", "chat") == (entry.kind, entry[3], entry.request_id, entry.service)
    assert (State.EXPIRED, 0, 0) == (entry.more.reservation.state, *entry.more.reservation[4:6])
    assert (100, 0, 100) == teller.totals


@pytest.mark.parametrize(("captured", "missing"), [(0, 50), (49, 1), (50, 0), (55, 0)])
def test_an_expiry_charges_what_is_missing_to_the_floor(captured, missing):
    """What was captured before counts towards the floor."""
    teller = floored()
    teller.does(capture("alice", "r", captured, final=False))
    entry = teller.expires("r")
    found = entry.more.reservation
    assert (-missing, captured - 60) == (entry.amount_microcents, entry.more.held_microcents)
    assert (captured + missing, missing) == (found.captured_microcents, found.unsettled_microcents)
    assert (100 - captured - missing, 0, 100 - captured - missing) == teller.totals


@pytest.mark.parametrize(("late_cost", "charged"), [(0, 0), (20, 0), (50, 0), (51, 1), (80, 30)])
def test_a_late_capture_is_charged_without_what_the_expiry_charged(late_cost, charged):
    """What the expiry charged was in the place of this capture; nothing of it comes back."""
    teller = floored()
    teller.expires("r")
    entry = teller.does(capture("alice", "r", late_cost))
    found = entry.more.reservation
    assert (-charged, True, False, 0) == (
        entry.amount_microcents,
        entry.more.late,
        entry.more.overrun,
        entry.more.held_microcents,
    )
    assert (State.SETTLED, 50 + charged) == (found.state, found.captured_microcents)
    assert Reason.RESERVATION_CLOSED == teller.refuses(capture("alice", "r", 1))


def test_late_captures_in_part_use_the_floor_up():
    """Late captures share what the expiry charged, whatever they are split into."""
    teller = floored()
    teller.expires("r")
    entries = [teller.does(capture("alice", "r", part, final=part == 25)) for part in (30, 15, 10, 25)]
    assert [0, 0, -5, -25] == [entry.amount_microcents for entry in entries]
    assert [State.EXPIRED] * 3 + [State.SETTLED] == [entry.more.reservation.state for entry in entries]
    assert [20, 5, 0, 0] == [entry.more.reservation.unsettled_microcents for entry in entries]
    assert not any(entry.more.overrun for entry in entries)
    assert -80 == teller.account.balance_microcents - 100


@pytest.mark.parametrize("make", [release, lambda user_id, name: extend(user_id, name, ttl_us=SECOND)])
def test_after_its_expiry_only_a_capture_is_taken(make):
    """What expired can be neither released nor extended."""
    teller = floored()
    teller.expires("r")
    assert Reason.RESERVATION_CLOSED == teller.refuses(make("alice", "r"))
    assert Checked(teller.account, 0) == teller.asks(teller.expire("r"))


def test_what_has_no_room_does_not_expire():
    """An expiry that would leave the range of the account is refused: the reservation stays as it is."""
    teller = floored(money=60)
    most = 9 * 10**18
    teller.does(cost("alice", most - 49))
    teller.now_us += 3600 * SECOND
    assert Reason.AMOUNT_OUT_OF_RANGE == teller.refuses(teller.expire("r"))
    teller.does(reverse("alice", teller.account.version, 60))
    assert -50 == teller.does(teller.expire("r")).amount_microcents


def test_an_expiry_is_made_once_in_a_batch_as_well():
    """Two that are asked for together come to what two after each other come to: the second finds it done."""
    teller = floored()
    teller.now_us += 3600 * SECOND
    first, second = teller.store.decide([teller.expire("r")] * 2, teller.now_us)
    assert (EntryKind.EXPIRY, Checked(teller.account, 0)) == (first.entry.kind, second)
    assert second == teller.asks(teller.expire("r"))


@pytest.mark.parametrize(("given_back", "charged"), [(50, 45), (20, 15), (5, 0), (4, 0)])
def test_what_was_given_back_settles_nothing(given_back, charged):
    """A late capture is charged without what the expiry charged, less what of that was reversed: no real cost is free."""
    teller = floored()
    expiry = teller.expires("r")
    entry = teller.does(reverse("alice", expiry.version, given_back))
    after = expiry.more.reservation._replace(unsettled_microcents=50 - given_back)
    assert EntryMore(reservation=after, reversal=(expiry.version, given_back)) == entry.more
    assert -charged == teller.does(capture("alice", "r", 45)).amount_microcents
    assert max(45, 50 - given_back) == 100 - teller.account.balance_microcents


@pytest.mark.parametrize("given_back_first", [True, False])
def test_late_captures_and_reversals_in_any_order(given_back_first):
    """Whether some of the expiry's charge is given back before or after a late capture, it comes to the same."""
    teller = floored()
    expiry = teller.expires("r")
    steps = [reverse("alice", expiry.version, 10), capture("alice", "r", 30, final=False)]
    entries = [teller.does(step) for step in (steps if given_back_first else reversed(steps))]
    assert (10, State.EXPIRED) == (entries[-1].more.reservation.unsettled_microcents, State.EXPIRED)
    assert -5 == teller.does(capture("alice", "r", 15)).amount_microcents


def test_a_reversal_of_what_is_settled_says_nothing_of_the_reservation():
    """What no late capture can use any more does not change by a reversal; other entries are no matter of a reservation's."""
    teller = floored(money=200)
    expiry = teller.expires("r")
    late = teller.does(capture("alice", "r", 70))
    for version in (expiry.version, late.version):
        assert None is teller.does(reverse("alice", version)).more.reservation
    assert (200, 0, 200) == teller.totals


def test_an_expiry_is_reversed_and_captured_in_one_batch():
    """Each sees what those before it left, as in batches of their own."""
    teller = floored()
    teller.now_us += 3600 * SECOND
    batch = [teller.expire("r"), reverse("alice", 3), capture("alice", "r", 45)]
    outcomes = teller.store.decide(batch, teller.now_us)
    assert [-50, 50, -45] == [outcome.entry.amount_microcents for outcome in outcomes]

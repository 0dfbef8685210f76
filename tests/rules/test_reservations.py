"""Money that is set aside, and how that ends."""

import pytest

from meterd_server.errors import Reason
from meterd_server.model import (
    Applied,
    Checked,
    EntryKind,
    EntryMore,
    PricedUsage,
    RateCardKey,
    Reservation,
    ReservationState,
    Usage,
)
from rules.commands import capture, cost, extend, funding, policy, release, reserve, reverse, strict_cost
from rules.teller import NOW, SECOND, Teller

State = ReservationState
TOKENS = Usage("llm", "large", (("tokens", 5),))


def priced(picocents):
    """Return five tokens at that price."""
    return PricedUsage(TOKENS, picocents, RateCardKey("llm", "large", 1))


def test_a_reservation_holds_money_and_keeps_the_balance():
    """Reserve makes an entry of 0 that holds the amount: the balance stays, less is available."""
    teller = Teller(100)
    entry = teller.does(reserve("alice", 60, "r", ttl_us=10 * SECOND, service="chat", labels=(("a", "b"),)))
    made = Reservation("r", 2, State.OPEN, 60, 60, 0, 0, False, NOW + 10 * SECOND, service="chat")
    assert (EntryKind.RESERVATION, 0, 100, EntryMore(60, made)) == (entry.kind, *entry[3:5], entry.more)
    assert ("chat", (("a", "b"),)) == (entry.service, entry.labels)
    assert (100, 60, 40) == teller.totals


def test_what_is_held_is_not_there_for_others():
    """Exactly what is left can be reserved or spent where it has to be covered; one microcent more is refused."""
    teller = Teller(100)
    teller.does(reserve("alice", 60))
    for command in (reserve("alice", 41), strict_cost("alice", 41)):
        refused = teller.asks(command)
        money = {"available_microcents": 40, "required_microcents": 41, "shortfall_microcents": 1}
        assert (Reason.INSUFFICIENT_FUNDS, money) == (refused.reason, refused.details)
    teller.does(reserve("alice", 40))
    assert (100, 100, 0) == teller.totals


@pytest.mark.parametrize(("available", "made"), [(100, 60), (60, 60), (59, 59), (1, 1)])
def test_a_partial_reservation_takes_what_there_is(available, made):
    """With allow_partial, the reservation is of what there is, if that is less than what was asked for."""
    teller = Teller(available)
    entry = teller.does(reserve("alice", 60, "r", allow_partial=True, floor_microcents=60))
    found = entry.more.reservation
    assert (made, made, made) == (found.amount_microcents, found.held_microcents, found.floor_microcents)


@pytest.mark.parametrize("spent", [0, 7])
def test_a_partial_reservation_of_nothing_is_refused(spent):
    """With allow_partial, there has to be anything at all."""
    teller = Teller()
    teller.does(cost("alice", spent))
    assert Reason.INSUFFICIENT_FUNDS == teller.refuses(reserve("alice", 60, allow_partial=True))


def test_usage_is_reserved_at_its_price_and_charged_later():
    """A reservation of usage holds what it would be charged with the residue, and leaves the residue as it is."""
    teller = Teller(100)
    teller.does(cost("alice", 0, priced=priced(600_000)))
    entry = teller.does(reserve("alice", 0, "r", priced=priced(2_400_000)))
    assert (3, 600_000) == (entry.more.reservation.held_microcents, entry.residue_picocents)
    assert ("llm", TOKENS, RateCardKey("llm", "large", 1)) == (entry.service, entry.usage, entry.rate_card)
    entry = teller.does(capture("alice", "r", 0, priced=priced(1_500_000)))
    assert (-2, 100_000) == (entry.amount_microcents, entry.residue_picocents)
    assert ("llm", TOKENS) == (entry.service, entry.usage)


def test_the_service_named_goes_before_that_of_the_usage():
    """The reservation and its captures are of the service that the caller named."""
    teller = Teller(100)
    teller.does(reserve("alice", 0, "r", priced=priced(2_400_000), service="chat"))
    assert "chat" == teller.does(capture("alice", "r", 0, priced=priced(1))).service
    teller.does(reserve("alice", 5, "s"))
    assert "llm" == teller.does(capture("alice", "s", 0, priced=priced(1))).service


def test_a_floor_may_be_all_and_not_more():
    """A floor above what is to be reserved is refused, as plain amounts and as the price of usage."""
    teller = Teller(100)
    refused = teller.asks(reserve("alice", 60, floor_microcents=61))
    assert Reason.FLOOR_OVER_AMOUNT == refused.reason
    assert {"amount_microcents": 60, "floor_microcents": 61} == refused.details
    assert Reason.FLOOR_OVER_AMOUNT == teller.refuses(reserve("alice", 0, priced=priced(5_999_999), floor_microcents=6))
    teller.does(reserve("alice", 60, floor_microcents=60))


def test_a_release_makes_all_available():
    """Release ends the reservation with nothing charged."""
    teller = Teller(100)
    teller.does(reserve("alice", 60, "r", service="chat"))
    entry = teller.does(release("alice", "r"))
    assert (EntryKind.RELEASE, 0, -60, "chat") == (entry.kind, *entry[3:4], entry.more.held_microcents, entry.service)
    assert (State.RELEASED, 0) == (entry.more.reservation.state, entry.more.reservation.held_microcents)
    assert (100, 0, 100) == teller.totals


def test_an_extension_holds_for_longer_and_more():
    """The time begins anew, and what is added has to be there."""
    teller = Teller(100)
    teller.does(reserve("alice", 60, "r", ttl_us=10 * SECOND))
    teller.now_us += 9 * SECOND
    found = teller.does(extend("alice", "r", ttl_us=20 * SECOND, add_microcents=40)).more.reservation
    assert (100, 100, teller.now_us + 20 * SECOND) == (
        found.amount_microcents,
        found.held_microcents,
        found.expire_time_us,
    )
    assert (100, 100, 0) == teller.totals
    assert Reason.INSUFFICIENT_FUNDS == teller.refuses(extend("alice", "r", add_microcents=1))
    teller.does(funding("alice", 5))
    expire_time_us = found.expire_time_us
    found = teller.does(extend("alice", "r", add_microcents=5)).more.reservation
    assert (105, expire_time_us) == (found.held_microcents, found.expire_time_us)


@pytest.mark.parametrize("extended", [False, True])
def test_the_time_is_that_of_the_clock(extended):
    """After the clock was set back, money is held for as long as was asked, not until the clock is where it was."""
    teller = Teller(100)
    teller.now_us = NOW - 3600 * SECOND
    found = teller.does(reserve("alice", 60, "r", ttl_us=10 * SECOND)).more.reservation
    if extended:
        found = teller.does(extend("alice", "r", ttl_us=10 * SECOND)).more.reservation
    assert teller.now_us + 10 * SECOND == found.expire_time_us


@pytest.mark.parametrize("ended_by", ["capture", "release"])
def test_a_reservation_ends_once(ended_by):
    """After a final capture or a release, nothing more is done to it, and its expiry finds nothing to do."""
    teller = Teller(100)
    teller.does(reserve("alice", 60, "r"))
    teller.does(capture("alice", "r", 1) if ended_by == "capture" else release("alice", "r"))
    state = {"capture": "CAPTURED", "release": "RELEASED"}[ended_by]
    for command in (capture("alice", "r", 1), release("alice", "r"), extend("alice", "r", add_microcents=1)):
        refused = teller.asks(command)
        assert Reason.RESERVATION_CLOSED == refused.reason
        assert {"reservation_id": "r", "state": state} == refused.details
    teller.now_us += 3600 * SECOND
    assert Checked(teller.account, 0) == teller.asks(teller.expire("r"))


@pytest.mark.parametrize("make", [release, lambda *key: capture(*key, 1), lambda *key: extend(*key, add_microcents=1)])
def test_a_reservation_is_its_users_own(make):
    """What the user has not reserved is not found, even if another user has."""
    teller = Teller(100)
    teller.asks(funding("bob", 100))
    teller.asks(reserve("bob", 5, "r"))
    refused = teller.asks(make("alice", "r"))
    assert (Reason.RESERVATION_NOT_FOUND, {"reservation_id": "r"}) == (refused.reason, refused.details)


def test_a_request_id_that_is_no_reservation_is_none():
    """Only a Reserve makes a reservation of its request id."""
    teller = Teller(100)
    teller.does(cost("alice", 5, "c"))
    assert Reason.RESERVATION_NOT_FOUND == teller.refuses(release("alice", "c"))


def test_a_frozen_account_reserves_nothing_new():
    """Frozen goes before everything else; what is open may be captured, released and kept, not added to."""
    teller = Teller(100)
    teller.does(reserve("alice", 60, "r"))
    teller.does(policy("alice", frozen=True, unlimited=True))
    assert Reason.ACCOUNT_FROZEN == teller.refuses(reserve("alice", 1))
    assert Reason.ACCOUNT_FROZEN == teller.refuses(reserve("alice", 1000, allow_partial=True))
    assert Reason.ACCOUNT_FROZEN == teller.refuses(strict_cost("alice", 1))
    assert Reason.ACCOUNT_FROZEN == teller.refuses(extend("alice", "r", add_microcents=1))
    teller.does(extend("alice", "r", ttl_us=SECOND))
    teller.does(cost("alice", 5))
    teller.does(capture("alice", "r", 1, final=False))
    teller.does(release("alice", "r"))


def test_an_unlimited_account_reserves_what_it_has_not():
    """Nothing is ever too little, and nothing is made less; it is held all the same."""
    teller = Teller(10)
    teller.does(policy("alice", unlimited=True))
    assert 60 == teller.does(reserve("alice", 60, "r", allow_partial=True)).more.reservation.amount_microcents
    teller.does(strict_cost("alice", 25))
    teller.does(extend("alice", "r", add_microcents=5))
    assert (-15, 65, -80) == teller.totals


def test_the_credit_limit_is_available():
    """What may be owed can be reserved and spent, to the microcent."""
    teller = Teller(10)
    teller.does(policy("alice", credit_limit_microcents=50))
    teller.does(strict_cost("alice", 20))
    assert Reason.INSUFFICIENT_FUNDS == teller.refuses(reserve("alice", 41))
    assert 40 == teller.does(reserve("alice", 41, allow_partial=True)).more.held_microcents
    assert (-10, 40, 0) == teller.totals


def test_one_batch_may_hold_a_whole_life():
    """What a command of a batch does to a reservation, the next one sees; a reversal, too."""
    teller = Teller()
    commands = [
        funding("alice", 100),
        reserve("alice", 60, "r"),
        capture("alice", "r", 20, final=False),
        extend("alice", "r", add_microcents=10),
        capture("alice", "r", 30),
        release("alice", "r"),
        reverse("alice", 3, 5),
        reverse("alice", 3),
        reverse("alice", 3),
    ]
    outcomes = teller.store.decide(commands, NOW)
    assert [True] * 5 + [False, True, True, False] == [isinstance(outcome, Applied) for outcome in outcomes]
    assert [Reason.RESERVATION_CLOSED, Reason.REVERSAL_OVER_ENTRY] == [outcomes[at].reason for at in (5, 8)]
    assert (70, 0, 70) == teller.totals
    assert [5, 20] == [outcomes[at].entry.more.reversal.reversed_microcents for at in (6, 7)]

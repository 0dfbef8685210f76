"""What an account is allowed, and undoing what was recorded by mistake."""

import pytest

from meterd_server.errors import Reason
from meterd_server.model import (
    NOTHING_MORE,
    AccountMore,
    Check,
    EntryKind,
    EntryMore,
    Policy,
    PricedUsage,
    RateCardKey,
    Reversal,
    Usage,
)
from rules.commands import capture, cost, extend, funding, grant, policy, release, reserve, reverse, strict_cost, update
from rules.teller import NOW, SECOND, Teller


def test_a_policy_is_an_entry_that_moves_nothing():
    """Setting the policy is recorded with the policy as it is then, for a user without any entry as well."""
    teller = Teller()
    entry = teller.does(policy("alice", credit_limit_microcents=7, frozen=True))
    said = EntryMore(policy=Policy(7, unlimited=False, frozen=True))
    assert (EntryKind.POLICY, 0, 0, said) == (entry.kind, *entry[3:5], entry.more)
    assert AccountMore(policy=said.policy) == teller.account.more


def test_what_is_not_given_stays():
    """Each part is set on its own; what is said as False or 0 is set."""
    teller = Teller()
    changes = [
        ({"credit_limit_microcents": 7}, Policy(7)),
        ({"unlimited": True}, Policy(7, unlimited=True)),
        ({"frozen": True}, Policy(7, unlimited=True, frozen=True)),
        ({"unlimited": False}, Policy(7, frozen=True)),
        ({"frozen": False, "credit_limit_microcents": 0}, Policy()),
    ]
    for change, after in changes:
        assert after == teller.does(policy("alice", **change)).more.policy
        assert after == teller.account.policy
    assert None is teller.account.more


def test_the_same_policy_again_is_an_entry():
    """What changes nothing is recorded all the same: somebody asked for it."""
    teller = Teller(5)
    assert 2 == teller.does(policy("alice", frozen=False)).version
    assert (None, NOTHING_MORE.policy) == (teller.account.more, teller.account.policy)


@pytest.mark.parametrize(
    ("said", "allowed", "shortfall"),
    [
        ({}, False, 40),
        ({"credit_limit_microcents": 39}, False, 1),
        ({"credit_limit_microcents": 40}, True, 0),
        ({"unlimited": True}, True, 0),
        ({"unlimited": True, "frozen": True}, False, 0),
        ({"credit_limit_microcents": 90, "frozen": True}, False, 0),
        ({"frozen": True}, False, 40),
    ],
)
def test_a_check_follows_the_policy(said, allowed, shortfall):
    """The credit limit is available, unlimited allows all, frozen nothing; what is held is not available."""
    teller = Teller(100)
    teller.does(reserve("alice", 50))
    teller.does(policy("alice", **said))
    checked = teller.asks(Check("alice", 90))
    assert (allowed, shortfall) == (checked.allowed, checked.shortfall_microcents)


def test_incurred_costs_are_recorded_whatever_the_policy_is():
    """A frozen account's plain cost and funding are recorded: the money is spent, or has come in."""
    teller = Teller()
    teller.does(policy("alice", frozen=True))
    assert -5 == teller.does(cost("alice", 5)).balance_microcents
    assert 0 == teller.does(funding("alice", 5)).balance_microcents
    assert Reason.ACCOUNT_FROZEN == teller.refuses(strict_cost("alice", 0))


def test_a_reversed_cost_comes_back():
    """A reversal is the opposite of the entry it names, and says how much of that is reversed by now."""
    teller = Teller(100)
    teller.does(cost("alice", 60))
    entry = teller.does(reverse("alice", 2, 20, labels=(("why", "twice"),)))
    assert (EntryKind.REVERSAL, 20, 60) == (entry.kind, *entry[3:5])
    assert (EntryMore(reversal=Reversal(2, 20)), (("why", "twice"),)) == (entry.more, entry.labels)
    assert (100, 40) == (teller.account.funded_microcents, teller.account.spent_microcents)
    entry = teller.does(reverse("alice", 2))
    assert (40, Reversal(2, 60)) == (entry.amount_microcents, entry.more.reversal)
    assert (100, 0) == (teller.account.balance_microcents, teller.account.spent_microcents)


def test_reversed_funding_is_taken_back():
    """Money that came in is taken back, below zero if it has been spent; it was not funded then."""
    teller = Teller(100)
    teller.does(cost("alice", 60))
    entry = teller.does(reverse("alice", 1))
    assert (-100, -60, Reversal(1, 100)) == (*entry[3:5], entry.more.reversal)
    assert (0, 60) == (teller.account.funded_microcents, teller.account.spent_microcents)


def test_what_an_update_brought_is_money_that_came_in():
    """A higher total is reversed as funding is; a lower one, or none, is not."""
    teller = Teller()
    teller.does(update("alice", 0, 50))
    teller.does(update("alice", 50, 30))
    teller.does(update("alice", 30, 30))
    assert Reason.ENTRY_NOT_REVERSIBLE == teller.refuses(reverse("alice", 2))
    assert Reason.ENTRY_NOT_REVERSIBLE == teller.refuses(reverse("alice", 3))
    teller.does(reverse("alice", 1, 30))
    assert Reason.AMOUNT_OUT_OF_RANGE == teller.refuses(reverse("alice", 1))


@pytest.mark.parametrize(("amount", "left", "asked"), [(21, 20, 21), (None, 0, 0), (1, 0, 1)])
def test_never_more_than_the_entry(amount, left, asked):
    """More than is left, or when nothing is left, is refused with what is left."""
    teller = Teller(100)
    teller.does(cost("alice", 60))
    teller.does(reverse("alice", 2, 40))
    if not left:
        teller.does(reverse("alice", 2))
    refused = teller.asks(reverse("alice", 2, amount))
    assert Reason.REVERSAL_OVER_ENTRY == refused.reason
    assert {"version": 2, "left_microcents": left, "amount_microcents": asked} == refused.details


def test_free_use_has_nothing_to_reverse():
    """Nothing is left of nothing."""
    teller = Teller()
    teller.does(cost("alice", 0))
    assert Reason.REVERSAL_OVER_ENTRY == teller.refuses(reverse("alice", 1))


def test_an_entry_that_is_not_there_is_not_reversed():
    """The user's own entries only, and no later ones."""
    teller = Teller(100)
    teller.asks(funding("bob", 1))
    teller.asks(cost("bob", 1))
    refused = teller.asks(reverse("alice", 2))
    assert (Reason.ENTRY_NOT_FOUND, {"version": 2}) == (refused.reason, refused.details)


def test_only_costs_and_money_that_came_in_are_reversed():
    """What moved no money, what lapsed, and a reversal itself are not; captures and charges at an expiry are."""
    teller = Teller(100)
    made = {}

    def note(entry):
        made[entry.kind] = entry.version

    for name in ("r", "s"):
        note(teller.does(reserve("alice", 20, name, captures_floor=True, floor_microcents=10)))
    note(teller.does(extend("alice", "r", add_microcents=1)))
    note(teller.does(capture("alice", "r", 5, final=False)))
    note(teller.does(release("alice", "r")))
    note(teller.does(grant("alice", 5, NOW + SECOND)))
    note(teller.expires("s"))
    note(teller.store.entries_now("alice")[-2])
    note(teller.does(policy("alice", frozen=False)))
    note(teller.does(cost("alice", 5)))
    note(teller.does(reverse("alice", made[EntryKind.COST], 1)))
    assert set(EntryKind) == set(made)
    for kind, version in made.items():
        if kind in (EntryKind.COST, EntryKind.CAPTURE, EntryKind.EXPIRY, EntryKind.FUNDING):
            teller.does(reverse("alice", version, 1))
        else:
            refused = teller.asks(reverse("alice", version, 1))
            assert Reason.ENTRY_NOT_REVERSIBLE == refused.reason
            assert {"version": version, "kind": kind.name} == refused.details


def test_a_reversal_leaves_the_residue():
    """The charge of usage is undone in whole microcents; what is carried over stays."""
    teller = Teller(100)
    used = PricedUsage(Usage("llm", "", (("tokens", 1),)), 2_400_000, RateCardKey("llm", "", 1))
    teller.does(cost("alice", 0, priced=used))
    entry = teller.does(reverse("alice", 2))
    assert (2, 400_000) == (entry.amount_microcents, entry.residue_picocents)


def test_a_reversed_capture_does_not_touch_its_reservation():
    """The reservation says what was charged for it; the reversal says that it was undone."""
    teller = Teller(100)
    teller.does(reserve("alice", 60, "r"))
    teller.does(capture("alice", "r", 45, final=False))
    assert None is teller.does(reverse("alice", 3)).more.reservation
    assert 15 == teller.does(release("alice", "r")).more.held_microcents * -1
    assert (100, 0, 100) == teller.totals

"""What funding does to an account, added or told as a new total."""

import pytest

from meterd_server.errors import Reason
from meterd_server.model import Account, Applied, Entry, EntryKind, RecordFunding
from meterd_server.rules import decide, fingerprint
from rules.commands import funding, update

NOW = 1_700_000_000_000_000
ALICE = Account("alice", 7, 100, 60, NOW - 1)


def test_funding_makes_one_entry():
    """Funding makes the next version's entry, with its labels, and the account that follows from it."""
    command = funding("alice", 50, "pay-1", labels=(("label", "card"),))
    expected_entry = Entry(
        "alice", 8, EntryKind.FUNDING, 50, 90, "pay-1", fingerprint(command), "", (("label", "card"),), None, NOW
    )
    assert Applied(expected_entry, Account("alice", 8, 150, 60, NOW), replayed=False) == decide(ALICE, command, NOW)


def test_an_update_moves_the_funded_total():
    """An update from the total as it is makes an entry of the difference."""
    outcome = decide(ALICE, update("alice", 100, 130), NOW)
    assert (30, 70, 130) == (
        outcome.entry.amount_microcents,
        outcome.entry.balance_microcents,
        outcome.account.funded_microcents,
    )


def test_the_first_update_begins_at_zero():
    """A user without any entry has a funded total of 0, which an update can name."""
    assert 80 == decide(Account("bob"), update("bob", 0, 80), NOW).account.balance_microcents


@pytest.mark.parametrize("old", [0, 99, 101, 40, -100])
def test_an_update_from_another_total_conflicts(old):
    """An update from any total but the funded one, from the balance for example, is refused with the current total."""
    outcome = decide(ALICE, update("alice", old, 500), NOW)
    assert (Reason.FUNDING_CONFLICT, {"funded_microcents": 100}) == (outcome.reason, dict(outcome.details))


def test_an_update_to_the_same_total_is_an_entry():
    """An update that changes nothing is still recorded, so that its request_id is taken."""
    entry = decide(ALICE, update("alice", 100, 100), NOW).entry
    assert (8, 0) == (entry.version, entry.amount_microcents)


def test_taking_money_back_may_go_below_zero():
    """Money that was taken back was perhaps spent before: the balance tells, and what was spent stays."""
    outcome = decide(ALICE, update("alice", 100, 20), NOW)
    assert (-80, -40) == (outcome.entry.amount_microcents, outcome.entry.balance_microcents)
    assert (20, 60) == (outcome.account.funded_microcents, outcome.account.spent_microcents)


def test_a_plain_amount_never_conflicts():
    """An amount without an expected total is added whatever the total is."""
    for funded in (0, 100, 10**15):
        outcome = decide(ALICE._replace(funded_microcents=funded), funding("alice", 5), NOW)
        assert funded + 5 == outcome.account.funded_microcents


def test_an_expected_total_of_zero_is_not_the_same_as_none():
    """An update from 0 is compared, and is not taken for funding without a condition."""
    assert Reason.FUNDING_CONFLICT == decide(ALICE, RecordFunding("alice", "r", 5, 0), NOW).reason

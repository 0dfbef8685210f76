"""What a cost does to an account, and whether a user may afford one."""

import pytest

from meterd_server.errors import Reason
from meterd_server.model import Account, Applied, Check, Entry, EntryKind, Rejection
from meterd_server.rules import decide, decide_check, fingerprint
from rules.commands import cost, funding, strict_cost

NOW = 1_700_000_000_000_000


def shortfall(account, minimum):
    """Return what a Check of the minimum finds missing."""
    return decide_check(account, Check(account.user_id, minimum)).shortfall_microcents


def account(funded, spent=0):
    """Return alice's account after some history."""
    return Account("alice", 7, funded, spent, NOW - 1)


@pytest.mark.parametrize(
    ("available", "minimum", "missing"),
    [(100, 100, 0), (101, 100, 0), (99, 100, 1), (0, 0, 0), (0, 1, 1), (-5, 0, 5), (-5, 100, 105)],
)
def test_check_is_inclusive(available, minimum, missing):
    """A user whose available equals the minimum may go on, and what is missing below it is exact."""
    assert missing == shortfall(Account("alice", 1, 1000, 1000 - available, NOW), minimum)


def test_an_unknown_user_has_nothing():
    """A user without entries has 0 available: enough for a minimum of 0, short of any other by all of it."""
    assert (0, 100) == (shortfall(Account("nobody"), 0), shortfall(Account("nobody"), 100))


def test_a_cost_makes_one_entry():
    """A cost makes the next version's entry, with all that the caller said, and the account that follows from it."""
    labels = (("model", "x"), ("tier", "pro"))
    command = cost("alice", 30, "r1", service="chat", labels=labels, occur_time_us=-5)
    expected_entry = Entry("alice", 8, EntryKind.COST, -30, 60, "r1", fingerprint(command), "chat", labels, -5, NOW)
    expected = Applied(expected_entry, Account("alice", 8, 100, 40, NOW), replayed=False)
    assert expected == decide(account(100, 10), command, NOW)


def test_a_cost_goes_below_zero_by_default():
    """A cost is already incurred, so it is recorded even if nothing is left."""
    outcome = decide(account(10), cost("alice", 25), NOW)
    assert (-25, -15) == (outcome.entry.amount_microcents, outcome.entry.balance_microcents)
    assert -15 == outcome.account.balance_microcents == outcome.account.available_microcents


def test_a_cost_is_recorded_while_below_zero():
    """An overdraft does not stop the next cost either."""
    assert -25 == decide(account(10, 20), cost("alice", 15), NOW).account.balance_microcents


def test_a_cost_of_zero_is_an_entry():
    """Free use is still use: it gets a version and moves nothing, overdrawn or not."""
    outcome = decide(account(10), cost("alice", 0), NOW)
    assert (8, 0, 10) == (outcome.entry.version, outcome.entry.amount_microcents, outcome.entry.balance_microcents)


def test_a_strict_cost_may_use_up_everything():
    """REJECT is inclusive as Check is: a cost of all that is available is taken, and the balance is exactly 0."""
    assert 0 == decide(account(100, 70), strict_cost("alice", 30), NOW).account.balance_microcents


def test_a_strict_cost_above_what_is_available_is_refused():
    """REJECT refuses one microcent too many, and says what is available, required and missing."""
    outcome = decide(account(100, 70), strict_cost("alice", 31), NOW)
    assert isinstance(outcome, Rejection)
    assert Reason.INSUFFICIENT_FUNDS == outcome.reason
    expected = {"available_microcents": 30, "required_microcents": 31, "shortfall_microcents": 1}
    assert expected == dict(outcome.details)


def test_a_strict_cost_counts_the_overdraft_as_missing():
    """Below zero the shortfall includes what is owed, and a strict cost of 0 is refused too."""
    outcome = decide(account(10, 15), strict_cost("alice", 7), NOW)
    assert {"available_microcents": -5, "required_microcents": 7, "shortfall_microcents": 12} == dict(outcome.details)
    assert Reason.INSUFFICIENT_FUNDS == decide(account(10, 15), strict_cost("alice", 0), NOW).reason


def test_check_and_a_strict_cost_agree():
    """Whatever Check allows as a minimum, a strict cost of that size is taken, and nothing else is."""
    for available in (-2, -1, 0, 1, 2):
        for amount in (0, 1, 2, 3):
            before = Account("alice", 1, 1000, 1000 - available, NOW)
            taken = isinstance(decide(before, strict_cost("alice", amount), NOW), Applied)
            assert taken == (shortfall(before, amount) == 0)


def test_the_first_command_of_a_user_has_version_1():
    """An account begins with its first entry, a cost as well as funding."""
    for command in (cost("alice", 3), funding("alice", 3)):
        assert 1 == decide(Account("alice"), command, NOW).entry.version

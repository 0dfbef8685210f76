"""The edges of an account's range, and of time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterd_server.errors import Reason
from meterd_server.model import (
    ACCOUNT_MICROCENTS_MAX,
    OPERATION_MICROCENTS_MAX,
    SET_ASIDE_MICROCENTS_MAX,
    Account,
    AccountMore,
    Applied,
    Lapse,
    Policy,
)
from meterd_server.rules import decide, fingerprint
from rules.commands import capture, cost, funding, grant, policy, reserve, reverse, update
from rules.teller import Teller

MAX = ACCOUNT_MICROCENTS_MAX
TEN_YEARS_US = 10 * 365 * 86400 * 10**6
NOW = 1_700_000_000_000_000


def at(funded, spent=0):
    """Return alice's account with these totals."""
    return Account("alice", 5, funded, spent, 1)


def test_the_limits_are_those_promised():
    """An operation moves at most 10^15, an account holds at most 9 x 10^18, which fits an int64."""
    assert (10**15, 9 * 10**18) == (OPERATION_MICROCENTS_MAX, ACCOUNT_MICROCENTS_MAX)
    assert ACCOUNT_MICROCENTS_MAX < 2**63


@pytest.mark.parametrize(
    ("account", "make"),
    [
        pytest.param(at(MAX - 7), lambda more: funding("alice", 7 + more), id="balance and funded total"),
        pytest.param(at(MAX - 7, MAX - 7), lambda more: funding("alice", 7 + more), id="funded total alone"),
        pytest.param(at(MAX - 7, 5), lambda more: update("alice", MAX - 7, MAX + more), id="funded total by update"),
        pytest.param(at(0, MAX - 7), lambda more: cost("alice", 7 + more), id="balance below zero"),
        pytest.param(at(MAX, MAX - 7), lambda more: cost("alice", 7 + more), id="spent total alone"),
        pytest.param(
            at(0, MAX - 8)._replace(more=AccountMore(lapsed_microcents=1)),
            lambda more: cost("alice", 7 + more),
            id="balance below zero with what lapsed",
        ),
        pytest.param(at(5, MAX), lambda more: update("alice", 5, -more), id="balance below zero by update"),
    ],
)
def test_exactly_at_the_limit_and_one_above(account, make):
    """A change that ends exactly at the limit is applied; one microcent more is refused, whichever number it is."""
    assert isinstance(decide(account, make(0), NOW), Applied)
    assert Reason.AMOUNT_OUT_OF_RANGE == decide(account, make(1), NOW).reason


def test_an_account_at_the_limit_still_moves_the_other_way():
    """An account that is full can be spent from, and one that is as low as can be can be funded."""
    assert MAX - 1 == decide(at(MAX), cost("alice", 1), NOW).account.balance_microcents
    assert 1 - MAX == decide(at(0, MAX), funding("alice", 1), NOW).account.balance_microcents


@given(st.lists(st.tuples(st.booleans(), st.integers(0, MAX)), max_size=12))
def test_nothing_ever_leaves_the_range(moves):
    """Whatever is asked, every number of an account and of an entry stays within the limit, which an int64 holds."""
    account = Account("alice")
    for is_cost, amount in moves:
        outcome = decide(account, (cost if is_cost else funding)("alice", amount), NOW)
        if isinstance(outcome, Applied):
            account = outcome.account
            numbers = (account.funded_microcents, account.spent_microcents, outcome.entry.balance_microcents)
            assert max(map(abs, numbers)) <= MAX
        else:
            assert Reason.AMOUNT_OUT_OF_RANGE == outcome.reason


@given(st.lists(st.integers(NOW - TEN_YEARS_US, NOW + TEN_YEARS_US) | st.just(NOW), min_size=2, max_size=20))
def test_record_time_only_goes_forward(clock):
    """Entries are in order of time even if the clock is set back by years or stands still."""
    account = Account("alice")
    for now_us in clock:
        outcome = decide(account, cost("alice", 1), now_us)
        assert max(now_us, account.record_time_us + 1) == outcome.entry.record_time_us
        assert account.record_time_us < outcome.entry.record_time_us == outcome.account.record_time_us
        account = outcome.account


def test_a_clock_set_back_costs_one_microsecond_an_entry():
    """After ten years forward and back, time goes on from the last entry and not by more than it must."""
    account = Account("alice")
    times = []
    for now_us in (NOW, NOW + TEN_YEARS_US, NOW, NOW - TEN_YEARS_US, NOW + 2 * TEN_YEARS_US):
        account = decide(account, funding("alice", 1), now_us).account
        times.append(account.record_time_us - NOW)
    assert [0, TEN_YEARS_US, TEN_YEARS_US + 1, TEN_YEARS_US + 2, 2 * TEN_YEARS_US] == times


def test_occur_time_is_kept_as_it_was_said():
    """When it happened is the caller's word, before 1970 and after the record as well; None is not 0."""
    for occur_time_us in (None, 0, -1, -(10**15), NOW + TEN_YEARS_US):
        command = cost("alice", 1, occur_time_us=occur_time_us)
        assert occur_time_us == decide(at(0), command, NOW).entry.occur_time_us
        assert fingerprint(command) == decide(at(0), command, NOW).entry.fingerprint


def reserved(held):
    """Return more of an account that holds so much, and is unlimited."""
    return AccountMore(held, policy=Policy(unlimited=True))


@pytest.mark.parametrize(
    ("account", "make"),
    [
        pytest.param(
            at(0)._replace(more=reserved(SET_ASIDE_MICROCENTS_MAX - 7)),
            lambda more: reserve("alice", 7 + more),
            id="held",
        ),
        pytest.param(
            at(MAX - 7, MAX - 20)._replace(more=AccountMore(lapsed_microcents=MAX - 7)),
            lambda more: grant("alice", 7 + more, NOW + 1),
            id="funded and lapsed total",
        ),
        pytest.param(
            at(0, 0)._replace(more=AccountMore(lapsed_microcents=MAX - 7)),
            lambda more: grant("alice", 7 + more, NOW + 1),
            id="what may lapse alone",
        ),
    ],
)
def test_what_is_set_aside_and_what_may_lapse_have_limits(account, make):
    """What is held is bounded, and so is what lapsed with what still may: a lapse is never refused."""
    assert isinstance(decide(account, make(0), NOW), Applied)
    assert Reason.AMOUNT_OUT_OF_RANGE == decide(account, make(1), NOW).reason


def test_a_grant_leaves_room_for_its_lapse():
    """The base keeps within the range by itself, so that the balance does when every grant has lapsed."""
    teller = Teller()
    teller.does(cost("alice", MAX - 5))
    teller.does(grant("alice", 10, NOW + 1))
    assert Reason.AMOUNT_OUT_OF_RANGE == teller.refuses(update("alice", 10, 4))
    teller.does(update("alice", 10, 5))
    teller.now_us += 1
    teller.asks(Lapse("alice"))
    assert (-MAX, 10) == (teller.account.balance_microcents, teller.account.more.lapsed_microcents)


def test_a_reservations_totals_have_limits():
    """All that was ever set aside or charged for a reservation stays within the range, whatever was reversed."""
    teller = Teller()
    teller.does(policy("alice", unlimited=True))
    teller.does(reserve("alice", 5, "r"))
    entry = teller.does(capture("alice", "r", MAX - 3, final=False))
    teller.does(reverse("alice", entry.version))
    assert Reason.AMOUNT_OUT_OF_RANGE == teller.refuses(capture("alice", "r", 4))
    teller.does(capture("alice", "r", 3))


@given(st.integers(-MAX, MAX), st.integers(0, SET_ASIDE_MICROCENTS_MAX), st.integers(0, SET_ASIDE_MICROCENTS_MAX))
def test_what_is_available_fits_an_int64(balance, held, credit):
    """At every limit at once, too."""
    for at_the_end in (balance, MAX, -MAX):
        account = Account("alice", 1, max(0, at_the_end), max(0, -at_the_end))
        for more in (AccountMore(held, policy=Policy(credit)), reserved(SET_ASIDE_MICROCENTS_MAX)):
            assert -(2**63) <= account._replace(more=more).available_microcents < 2**63
    full = Account("alice", 1, MAX, more=AccountMore(policy=Policy(SET_ASIDE_MICROCENTS_MAX)))
    assert full.available_microcents < 2**63

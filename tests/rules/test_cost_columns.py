"""Costs in columns come to what the same costs come to one by one, or are left to that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterd_server.model import ACCOUNT_MICROCENTS_MAX, Account, AccountMore, RecordCost, together
from meterd_server.rules import decide_batch
from rules.commands import cost, decided, distinct, funding, in_columns, plain_costs, plain_usages

NOW = 1_700_000_000_000_000
USERS = ("alice", "bob")
ACCOUNTS = st.builds(
    lambda version, funded, spent, time_us, residue: Account(
        "", version, funded, spent, time_us, residue if version else 0
    ),
    st.integers(0, 5),
    st.integers(0, 1000),
    st.integers(0, 1000),
    st.sampled_from([0, NOW - 1, NOW, NOW + 5]),
    st.sampled_from([0, 1, 999_999]),
)
BATCHES = plain_costs(USERS) | plain_usages(USERS)


def accounts_of(costs, some=()):
    """Return an account for each user of the costs."""
    named = {account.user_id: account for account in some}
    return {each.user_id: named.get(each.user_id) or Account(each.user_id) for each in costs}


def one_of_each_user(costs):
    """Return the last cost of each user."""
    return [*{each.user_id: each for each in costs}.values()]


@given(BATCHES.map(distinct) | BATCHES.map(one_of_each_user), st.tuples(ACCOUNTS, ACCOUNTS))
def test_they_come_to_the_same(costs, some):
    """Entries, charges, residues, times and accounts are those of the ordinary way."""
    accounts = accounts_of(costs, [each._replace(user_id=user_id) for user_id, each in zip(USERS, some, strict=True)])
    ordinary = decide_batch(accounts, {}, costs, NOW)
    recorded, accounts_after = decided(accounts, in_columns(costs), NOW)
    assert ordinary.outcomes == [*recorded]
    assert ordinary.accounts == accounts_after


@pytest.mark.parametrize(
    ("costs", "account"),
    [
        ([cost("alice", 1, "r"), cost("bob", 1, "r2"), cost("alice", 1, "r")], Account("alice")),
        ([cost("alice", 1)], Account("alice", more=AccountMore(held_microcents=1))),
        ([cost("alice", 10**15)], Account("alice", 1, 0, ACCOUNT_MICROCENTS_MAX - 10**15 + 1)),
        ([cost("alice", 10**15)], Account("alice", 1, 0, ACCOUNT_MICROCENTS_MAX)),
    ],
    ids=["a request twice", "more to say of the account", "one too many", "far too many"],
)
def test_what_takes_more_than_adding_up(costs, account):
    """What is not simple is left to the ordinary way."""
    assert decided(accounts_of(costs, [account]), in_columns(costs), NOW) is None


def test_as_much_as_an_account_can_hold():
    """The most that can be spent is still spent."""
    account = Account("alice", 1, 0, ACCOUNT_MICROCENTS_MAX - 10**15)
    _, accounts = decided({"alice": account}, in_columns([cost("alice", 10**15)]), NOW)
    assert ACCOUNT_MICROCENTS_MAX == accounts["alice"].spent_microcents


def test_a_request_id_of_two_users():
    """The same request id of another user is another request."""
    costs = [cost("alice", 1, "r"), cost("bob", 1, "r")]
    recorded, _ = decided(accounts_of(costs), in_columns(costs), NOW)
    assert 2 == len(recorded)


@given(BATCHES)
def test_users(costs):
    """Each user comes once, in order, and each cost has its user's place."""
    user_ids, places = in_columns(costs).users()
    assert [*dict.fromkeys(each.user_id for each in costs)] == user_ids
    assert [each.user_id for each in costs] == [user_ids[place] for place in places]


@given(BATCHES, st.integers(-9, 9), st.integers(-9, 9))
def test_columns_are_the_commands(costs, start, end):
    """Columns are a sequence of the commands that they stand for, from any place to any other."""
    columns = in_columns(costs)
    assert costs == [*columns] == [columns[place] for place in range(len(columns))]
    assert {RecordCost} == {*map(type, columns)}
    assert costs[start:end] == [*columns[start:end]]


@given(BATCHES.map(distinct), st.integers(-9, 9), st.integers(-9, 9))
def test_outcomes_from_any_place(costs, start, end):
    """What became of some of the costs is that part of what became of all."""
    recorded, _ = decided(accounts_of(costs), in_columns(costs), NOW)
    assert [*recorded][start:end] == [*recorded[start:end]]


@given(st.lists(BATCHES.map(in_columns) | BATCHES, min_size=1, max_size=4))
def test_together(parts):
    """Parts that are put together are their commands in order."""
    assert [each for part in parts for each in part] == [*together(parts)]


def test_together_in_columns():
    """Parts with the same columns stay in columns, and no others do."""
    costs = in_columns([cost("alice", 1), cost("bob", 2)])
    assert type(costs) is type(together([costs, costs])) is not type(together([costs, [funding("bob", 1)]]))

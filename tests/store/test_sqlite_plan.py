"""Costs in columns, and a cost by itself, are planned as the same costs are in a batch of anything."""

import pytest
from hypothesis import given

from meterd_server.model import Account
from meterd_server.rules import decide_batch, decide_cost, decide_costs
from meterd_server.store.sqlite.plan import (
    MARK_EVERY_VERSIONS,
    NO_ACCOUNT_ID,
    NextIds,
    plan_cost,
    plan_costs,
    plan_entries,
)
from meterd_server.store.sqlite.rows import Held
from rules.commands import cost, distinct, in_columns, plain_costs, plain_usages

NOW = 1_700_000_000_000_000
NEXT = NextIds(50, 700)
USERS = ("alice", "bob", "carol")
ACCOUNTS = {
    "alice": Held(7, 600, Account("alice", MARK_EVERY_VERSIONS - 2, 10, 3)),
    "bob": Held(9, 650, Account("bob", 3, 10, 3)),
}
"""What there is: Carol is new."""


def _both(costs, known):
    """Return the plans of costs one by one and in columns, where there are the accounts in `known`."""
    columns = in_columns(costs)
    users = columns.users()
    held = {user_id: known.get(user_id, Held(NO_ACCOUNT_ID, 0, Account(user_id))) for user_id in users.user_ids}
    accounts = {user_id: each.account for user_id, each in held.items()}
    one_by_one = plan_entries(decide_batch(accounts, {}, costs, NOW), known, NEXT)
    decision = decide_costs([*accounts.values()], users.places, columns, NOW)
    return one_by_one, plan_costs(decision, users, [*held.values()], NEXT)


def _written(plan):
    return [(sql, [*values]) for sql, values in plan.statements]


@given((plain_costs(USERS) | plain_usages(USERS)).map(distinct))
def test_they_are_planned_alike(costs):
    """The same statements with the same values, and the same accounts after them."""
    one_by_one, in_one = _both(costs, ACCOUNTS)
    assert one_by_one._replace(statements=[]) == in_one._replace(statements=[])
    assert _written(one_by_one) == _written(in_one)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 130])
@pytest.mark.parametrize("users", [1, 1_000])
def test_many_are_planned_alike(count, users):
    """Also where they take several statements, of one user or of many."""
    one_by_one, in_one = _both([cost(f"user-{number % users}", 1, f"r{number}") for number in range(count)], {})
    assert _written(one_by_one) == _written(in_one)
    assert (min(users, count), count) == (in_one.new_users_count, in_one.entries_count)


@pytest.mark.parametrize("said", [{}, {"service": "chat"}, {"labels": (("team", "blue"),)}, {"reject_overdraft": True}])
def test_one_by_itself_is_planned_alike(said):
    """The same statement with the same values, and the same account after it."""
    command = cost("bob", 1, **said)
    decision = decide_batch({"bob": ACCOUNTS["bob"].account}, {}, [command], NOW)
    applied = decide_cost(ACCOUNTS["bob"].account, command, NOW)
    in_batch = plan_entries(decision, ACCOUNTS, NEXT)
    assert (decision.outcomes, in_batch) == ([applied], plan_cost(applied, ACCOUNTS["bob"], NEXT.entry_id))


def test_what_is_marked_is_planned_otherwise():
    """An entry where a listing may begin takes more than its row, and no other does."""
    account = Account("alice", MARK_EVERY_VERSIONS - 3, 10, 3)
    planned = []
    for _ in range(4):
        applied = decide_cost(account, cost("alice", 1), NOW)
        planned.append(plan_cost(applied, Held(7, 600, account), NEXT.entry_id) is not None)
        account = applied.account
    assert [True, True, False, True] == planned

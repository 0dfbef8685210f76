"""Costs in columns are planned as the same costs are one by one."""

import pytest
from hypothesis import given

from meterd_server.model import Account
from meterd_server.rules import decide_batch, decide_costs
from meterd_server.store.sqlite.plan import MARK_EVERY_VERSIONS, NO_ACCOUNT_ID, NextIds, plan_costs, plan_entries
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


def _both(costs):
    columns = in_columns(costs)
    accounts = {user_id: held.account for user_id, held in ACCOUNTS.items()} | {"carol": Account("carol")}
    users = columns.users()
    wanted = {user_id: ACCOUNTS[user_id] for user_id in users.user_ids if user_id in ACCOUNTS}
    one_by_one = plan_entries(
        decide_batch({user_id: accounts[user_id] for user_id in users.user_ids}, {}, costs, NOW), wanted, NEXT
    )
    held = [wanted.get(user_id, Held(NO_ACCOUNT_ID, 0, accounts[user_id])) for user_id in users.user_ids]
    return one_by_one, plan_costs(
        decide_costs([each.account for each in held], users.places, columns, NOW), users, held, NEXT
    )


@given((plain_costs(USERS) | plain_usages(USERS)).map(distinct))
def test_they_are_planned_alike(costs):
    """The same statements with the same values, and the same accounts after them."""
    one_by_one, in_one = _both(costs)
    assert one_by_one._replace(statements=[]) == in_one._replace(statements=[])
    assert [(sql, [*values]) for sql, values in one_by_one.statements] == [
        (sql, [*values]) for sql, values in in_one.statements
    ]


@pytest.mark.parametrize("count", [1, 63, 64, 65, 130])
@pytest.mark.parametrize("users", [1, 1_000])
def test_many_are_planned_alike(count, users):
    """Also where they take several statements, of one user or of many."""
    costs = [cost(f"user-{number % users}", 1, f"r{number}") for number in range(count)]
    columns = in_columns(costs)
    new = columns.users()
    accounts = {user_id: Account(user_id) for user_id in new.user_ids}
    one_by_one = plan_entries(decide_batch(accounts, {}, costs, NOW), {}, NEXT)
    held = [Held(NO_ACCOUNT_ID, 0, account) for account in accounts.values()]
    in_one = plan_costs(decide_costs([*accounts.values()], new.places, columns, NOW), new, held, NEXT)
    assert [(sql, [*values]) for sql, values in one_by_one.statements] == [
        (sql, [*values]) for sql, values in in_one.statements
    ]
    assert (min(users, count), count) == (in_one.new_users_count, in_one.entries_count)

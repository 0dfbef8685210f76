"""What one transaction writes, and what is true after it: from what was decided to statements."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from meterd_server.model.flat import made
from meterd_server.store.consequences import consequences
from meterd_server.store.sqlite.consequences import statements_for
from meterd_server.store.sqlite.rows import ENTRY_COLUMNS, Held, alike, cost_rows, entry_row, leading
from meterd_server.store.sqlite.statements import insert, insert_each, insert_one

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from meterd_server.model import Applied, CostUsers
    from meterd_server.rules import BatchDecision, CostDecision
    from meterd_server.store.sqlite.statements import Statement

MARK_EVERY_VERSIONS = 64
"""How far apart `entry_mark` enters a user's chain."""

NO_ACCOUNT_ID = 0
"""The id of an account that is in no row yet."""


class NextIds(NamedTuple):
    """What the next rows are to be numbered with."""

    account_id: int
    entry_id: int


class Plan(NamedTuple):
    """The statements of one transaction, and what is true once it is committed."""

    statements: list[Statement]
    first_entry_id: int
    entries_count: int
    new_users_count: int
    after: Mapping[str, Held]
    """The accounts that it changes."""


def no_plan(next_ids: NextIds) -> Plan:
    """Write no entries."""
    return Plan([], next_ids.entry_id, 0, 0, {})


def plan_entries(decision: BatchDecision, held: Mapping[str, Held], next_ids: NextIds) -> Plan:
    """Write new entries. `held` is what there is of their users; who is not in it is new."""
    if not decision.entries:
        return no_plan(next_ids)
    first_entry_id = next_ids.entry_id
    new_user_ids: list[str] = []
    places: dict[str, tuple[int, int]] = {}
    for user_id in decision.accounts:
        if known := held.get(user_id):
            places[user_id] = known[:2]
        else:
            places[user_id] = (next_ids.account_id + len(new_user_ids), 0)
            new_user_ids.append(user_id)
    rows = []
    marks = []
    for entry_id, entry in enumerate(decision.entries, first_entry_id):
        user_id, version = entry[:2]
        account_id, previous_entry_id = places[user_id]
        rows.append(entry_row(entry_id, account_id, previous_entry_id, entry))
        places[user_id] = (account_id, entry_id)
        if version % MARK_EVERY_VERSIONS == 0:
            marks.append((account_id, version, entry_id))
    statements = insert("INSERT", "entry", *alike(ENTRY_COLUMNS, rows))
    statements += _also(new_user_ids, next_ids, marks)
    if after := consequences(decision.entries):
        statements += statements_for(after, lambda user_id: places[user_id][0])
    accounts_after = {user_id: Held(*places[user_id], account) for user_id, account in decision.accounts.items()}
    return Plan(statements, first_entry_id, len(rows), len(new_user_ids), accounts_after)


def plan_cost(applied: Applied, held: Held, entry_id: int) -> Plan | None:
    """As `plan_entries`, for the entry of a cost that draws from no grant; None if more than its row is to be written."""
    entry, account, _ = applied
    if entry.version % MARK_EVERY_VERSIONS == 0:
        return None
    account_id, last_entry_id, _ = held
    row = entry_row(entry_id, account_id, last_entry_id, entry)
    after = {entry.user_id: made(Held, (account_id, entry_id, account))}
    return Plan([insert_one("INSERT", "entry", leading(ENTRY_COLUMNS, len(row)), row)], entry_id, 1, 0, after)


def plan_costs(decision: CostDecision, users: CostUsers, held: Sequence[Held], next_ids: NextIds) -> Plan:
    """As `plan_entries`, for costs in columns; `held` are their users, in order, the new ones without an id."""
    recorded, accounts = decision
    count = len(recorded)
    account_ids: Sequence[int]
    account_ids, entry_ids_before, _ = zip(*held, strict=True)
    new_user_ids = []
    if NO_ACCOUNT_ID in account_ids:
        new_user_ids = [each.account.user_id for each in held if each.account_id == NO_ACCOUNT_ID]
        new_ids = itertools.count(next_ids.account_id)
        account_ids = [account_id or next(new_ids) for account_id in account_ids]
    entry_ids = range(next_ids.entry_id, next_ids.entry_id + count)
    account_id_of_each: Sequence[int]
    previous_entry_ids: Sequence[int]
    last_entry_ids: Sequence[int]
    if len(held) == count:
        account_id_of_each, previous_entry_ids, last_entry_ids = account_ids, entry_ids_before, entry_ids
    else:
        account_id_of_each = [account_ids[place] for place in users.places]
        previous_entry_ids, last_entry_ids = _chained(users.places, entry_ids_before, entry_ids)
    columns, rows = cost_rows(next_ids.entry_id, account_id_of_each, previous_entry_ids, recorded)
    statements = insert_each("INSERT", "entry", columns, rows, count)
    marks = [
        (account_id, version, entry_id)
        for account_id, version, entry_id in zip(account_id_of_each, recorded.numbers.versions, entry_ids, strict=True)
        if version % MARK_EVERY_VERSIONS == 0
    ]
    statements += _also(new_user_ids, next_ids, marks)
    accounts_after = map(made, itertools.repeat(Held), zip(account_ids, last_entry_ids, accounts, strict=True))
    after = dict(zip(users.user_ids, accounts_after, strict=True))
    return Plan(statements, next_ids.entry_id, count, len(new_user_ids), after)


def _chained(
    places: Sequence[int], entry_ids_before: Sequence[int], entry_ids: Sequence[int]
) -> tuple[list[int], list[int]]:
    """The entry before each new one of the same user, and the last entry of each user after them."""
    previous = []
    last = [*entry_ids_before]
    for entry_id, place in zip(entry_ids, places, strict=True):
        previous.append(last[place])
        last[place] = entry_id
    return previous, last


def _also(new_user_ids: Sequence[str], next_ids: NextIds, marks: Sequence[tuple[int, int, int]]) -> Iterable[Statement]:
    """What has to be written beside entries."""
    if new_user_ids:
        yield from insert("INSERT", "user", "account_id, user_id", [*enumerate(new_user_ids, next_ids.account_id)])
    if marks:
        yield from insert("INSERT", "entry_mark", "account_id, version, entry_id", marks)

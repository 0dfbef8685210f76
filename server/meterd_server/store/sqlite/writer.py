"""A batch's whole way through SQLite, in one call on the writing connection's own thread.

Loading, deciding, writing and committing in one hop is what makes small commits cheap.
"""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, NamedTuple

from meterd_server.model import Account, Applied, CostColumns, RecordCost, Rejection
from meterd_server.rules import (
    NO_FACTS,
    BatchDecision,
    apply,
    decide_batch,
    decide_cost,
    decide_costs,
    may_be_recorded,
    needs,
)
from meterd_server.store.sqlite.consequences import read_facts
from meterd_server.store.sqlite.memory import Accounts
from meterd_server.store.sqlite.plan import NO_ACCOUNT_ID, NextIds, Plan, no_plan, plan_cost, plan_costs, plan_entries
from meterd_server.store.sqlite.rows import (
    ACCOUNT_COLUMNS,
    ENTRY_COLUMNS,
    Held,
    account_row,
    alike,
    entry_from_row,
    held_from_row,
    pack_request_id,
)
from meterd_server.store.sqlite.statements import insert

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from meterd_server.model import Command, Entry, Outcome
    from meterd_server.rules import Facts, RequestKey
    from meterd_server.store.sqlite.statements import Statement

REPLAY_ENTRIES_MAX = 50_000
"""How many entries the account rows may lack, about: a fraction of a second to replay at the next start."""

CATCH_UP_EVERY_ENTRIES = 64
"""Account rows catch up only then: the commits of single calls between are one statement each, and many rows at once take less."""

_LOAD_ACCOUNTS = (
    f"SELECT user_id, {ACCOUNT_COLUMNS} FROM user JOIN account USING (account_id)"
    " WHERE user_id IN (SELECT value FROM json_each(?))"
)
_FIND_REQUEST = f"SELECT {ENTRY_COLUMNS} FROM entry WHERE request_id = ? AND account_id = ?"
_LAST_IDS = "SELECT (SELECT coalesce(max(account_id), 0) FROM user), (SELECT coalesce(max(entry_id), 0) FROM entry)"
_REPLAY_AFTER = "SELECT replay_after_entry_id FROM recovery"
_SET_REPLAY_AFTER = "UPDATE recovery SET replay_after_entry_id = ?"
_REPLAY = (
    f"SELECT user_id, {ENTRY_COLUMNS} FROM entry JOIN user USING (account_id) WHERE entry_id > ? ORDER BY entry_id"
)


class Prepared(NamedTuple):
    """A batch that is decided, and what is to be written of it."""

    commands: Sequence[Command]
    now_us: int
    outcomes: Sequence[Outcome]
    plan: Plan


class Writer:
    """The writing connection with the accounts it holds in memory.

    One thread at a time uses it, but for `peek`: the connection's, or the event loop's while the connection is idle. What `peek`
    can see changes only after a commit. Raises what sqlite3 raises.
    """

    def __init__(self, connection: sqlite3.Connection, accounts_max: int) -> None:
        self._connection = connection
        self._accounts = Accounts(accounts_max)
        self._last_account_id, self._last_entry_id = connection.execute(_LAST_IDS).fetchone()
        self._replay_after_entry_id: int = connection.execute(_REPLAY_AFTER).fetchone()[0]
        self._entries_since_catch_up = 0
        self._replay()

    def peek(self, user_id: str) -> Account | None:
        """The account if it is in memory. Called from the event loop, whatever is under way."""
        held = self._accounts.get(user_id)
        return held.account if held else None

    def held(self, user_id: str) -> Held | None:
        """The account with its place in the file, loaded if need be; None for an unknown user, who is not kept in memory."""
        known = self._accounts.get(user_id)
        if known is None:
            loaded = self._load({user_id})
            self._accounts.put_clean(loaded)
            known = loaded.get(user_id)
        return known

    def look(self, user_ids: set[str]) -> dict[str, Held]:
        """The accounts that there are, loaded if need be, but not kept in memory: looking at all would push out the busy ones."""
        return self._load(user_ids)

    def commit(self, commands: Sequence[Command], now_us: int) -> Sequence[Outcome]:
        """Decide and write the batch in one transaction; see `Store.commit`."""
        return self.carry_out(self.prepare(commands, now_us))

    def prepare(self, commands: Sequence[Command], now_us: int) -> Prepared:
        """Decide the batch, and write nothing. Holds until something else is written."""
        if type(commands) is CostColumns:
            if prepared := self._prepare_costs(commands, now_us):
                return prepared
            commands = [*commands]
        elif len(commands) == 1 and (prepared := self._prepare_cost(commands[0], now_us)):
            return prepared
        held, accounts, facts = self._look_up(commands)
        # Retries are rare, so the batch is first decided as if every request id were new; the unique index tells otherwise.
        # A rejected command writes nothing that could collide: whether it was recorded before has to be asked.
        decision = decide_batch(accounts, {}, commands, now_us, facts)
        rejected = [
            command for command, outcome in zip(commands, decision.outcomes, strict=True) if type(outcome) is Rejection
        ]
        if rejected and self._find(held, rejected):
            # A repeated batch: what is a replay changes nothing, so others may be refused, and were recorded as well.
            decision = decide_batch(accounts, self._find(held, commands), commands, now_us, facts)
        return Prepared(commands, now_us, decision.outcomes, plan_entries(decision, held, self._next_ids()))

    def carry_out(self, prepared: Prepared) -> Sequence[Outcome]:
        """Write what was prepared, in one transaction; where something was recorded before, decide again first."""
        try:
            self._write(prepared.plan)
        except sqlite3.IntegrityError:
            # Nothing was written. Now that every request id is asked for, nothing can collide again.
            commands = [*prepared.commands]
            held, accounts, facts = self._look_up(commands)
            recorded = self._find(held, commands)
            decision = decide_batch(accounts, recorded, commands, prepared.now_us, facts)
            self._write(plan_entries(decision, held, self._next_ids()))
            return decision.outcomes
        return prepared.outcomes

    def _look_up(self, commands: Sequence[Command]) -> tuple[dict[str, Held], dict[str, Account], Facts]:
        """What there is to know of the commands' users, but for what they have recorded."""
        user_ids = {command.user_id for command in commands}
        held = self._load(user_ids)
        wanted = needs(commands)
        return (
            held,
            _accounts(user_ids, held),
            read_facts(self._connection, wanted, held) if wanted else NO_FACTS,
        )

    def _prepare_costs(self, costs: CostColumns, now_us: int) -> Prepared | None:
        """`prepare` for costs in columns; None if that takes more than adding up."""
        users = costs.users()
        held = self._load_each(users.user_ids)
        decision = decide_costs([each.account for each in held], users.places, costs, now_us)
        if decision is None:
            return None
        return Prepared(costs, now_us, decision.recorded, plan_costs(decision, users, held, self._next_ids()))

    def _prepare_cost(self, command: Command, now_us: int) -> Prepared | None:
        """`prepare` for a cost by itself, which somebody waits for: in a third of the time. None if it takes more than its row."""
        if type(command) is not RecordCost:
            return None
        held = self._accounts.get(command.user_id)
        if held is None or held.account.more:
            return None
        outcome = decide_cost(held.account, command, now_us)
        plan = plan_cost(outcome, held, self._last_entry_id + 1) if type(outcome) is Applied else None
        return Prepared((command,), now_us, (outcome,), plan) if plan else None

    def import_entries(self, entries: Sequence[Entry], accounts: Mapping[str, Account]) -> None:
        """Write entries as they are, and the accounts after them, in one transaction."""
        self._write(
            plan_entries(BatchDecision([], [*entries], {**accounts}), self._load({*accounts}), self._next_ids())
        )

    def close(self) -> None:
        """Bring every account row up to date and empty the write-ahead log into the file."""
        everyone = self._accounts.longest_ahead(len(self._accounts))
        if everyone:
            self._transact(no_plan(self._next_ids()), everyone)
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _replay(self) -> None:
        """Apply the entries that came after the account rows were last known to be complete."""
        entries = self._connection.execute(_REPLAY, (self._replay_after_entry_id,))
        while page := entries.fetchmany(1000):
            held = self._load({row[0] for row in page})
            for user_id, *row in page:
                entry_id, account_id, version = row[:3]
                known = held.get(user_id) or Held(account_id, 0, Account(user_id))
                if version > known.account.version:
                    account = apply(known.account, entry_from_row(user_id, tuple(row)))
                    held[user_id] = Held(account_id, entry_id, account)
                    self._accounts.put_ahead({user_id: held[user_id]}, entry_id)

    def _load_each(self, user_ids: Sequence[str]) -> list[Held]:
        """The account of each, in order; who is unknown gets one without an id."""
        known = [held for held in self._accounts.get_each(user_ids) if held]
        if len(known) == len(user_ids):
            return known
        loaded = self._load({*user_ids})
        return [loaded.get(user_id) or Held(NO_ACCOUNT_ID, 0, Account(user_id)) for user_id in user_ids]

    def _load(self, user_ids: set[str]) -> dict[str, Held]:
        held = {user_id: known for user_id in user_ids if (known := self._accounts.get(user_id))}
        if len(held) < len(user_ids):
            missing = user_ids - held.keys()
            for user_id, *row in self._connection.execute(_LOAD_ACCOUNTS, (json.dumps(list(missing)),)):
                held[user_id] = held_from_row(user_id, tuple(row))
        return held

    def _find(self, held: dict[str, Held], commands: Iterable[Command]) -> dict[RequestKey, Entry]:
        found = {}
        for command in commands:
            if may_be_recorded(command) and (known := held.get(command.user_id)):
                key = (pack_request_id(command.request_id), known.account_id)
                if row := self._connection.execute(_FIND_REQUEST, key).fetchone():
                    found[command.user_id, command.request_id] = entry_from_row(command.user_id, row)
        return found

    def _next_ids(self) -> NextIds:
        return NextIds(self._last_account_id + 1, self._last_entry_id + 1)

    def _write(self, plan: Plan) -> None:
        if plan.entries_count:
            self._transact(plan, self._to_catch_up(plan))

    def _to_catch_up(self, plan: Plan) -> Sequence[str]:
        """The users whose account rows are to be written along with the plan."""
        behind = self._last_entry_id - self._replay_after_entry_id
        since = self._entries_since_catch_up + plan.entries_count
        if behind <= REPLAY_ENTRIES_MAX or since < CATCH_UP_EVERY_ENTRIES:
            return ()
        # At least as many as can have gone ahead since: the backlog shrinks, and no commit is held up for long.
        return self._accounts.longest_ahead(2 * max(len(plan.after), CATCH_UP_EVERY_ENTRIES))

    def _transact(self, plan: Plan, catch_up: Sequence[str]) -> None:
        """One transaction: the plan's rows, and the account rows of the users in `catch_up`. Then memory follows."""
        statements, replay_after, caught_up = plan.statements, self._replay_after_entry_id, {}
        if catch_up:
            caught_up = {user_id: plan.after.get(user_id) or self._must_get(user_id) for user_id in catch_up}
            rows = [account_row(held) for held in caught_up.values()]
            replay_after = (self._accounts.first_entry_id_ahead(without=caught_up) or plan.first_entry_id) - 1
            statements = [
                *statements,
                *insert("REPLACE", "account", *alike(ACCOUNT_COLUMNS, rows)),
                (_SET_REPLAY_AFTER, (replay_after,)),
            ]
        self._execute(statements)
        self._last_account_id += plan.new_users_count
        self._last_entry_id += plan.entries_count
        self._replay_after_entry_id = replay_after
        self._entries_since_catch_up = 0 if caught_up else self._entries_since_catch_up + plan.entries_count
        self._accounts.put_ahead(plan.after, plan.first_entry_id)
        if caught_up:
            self._accounts.put_clean(caught_up)

    def _execute(self, statements: Sequence[Statement]) -> None:
        connection = self._connection
        if len(statements) == 1:
            # A statement alone is a transaction of its own: most small batches are one, and hold up the event loop least.
            connection.execute(*statements[0])
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements:
                connection.execute(*statement)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _must_get(self, user_id: str) -> Held:
        held = self._accounts.get(user_id)
        if held is None:
            raise LookupError("an account ahead of its row is not in memory")
        return held


def _accounts(user_ids: set[str], held: Mapping[str, Held]) -> dict[str, Account]:
    accounts = {user_id: known.account for user_id, known in held.items()}
    if len(held) < len(user_ids):
        accounts |= {user_id: Account(user_id) for user_id in user_ids - held.keys()}
    return accounts

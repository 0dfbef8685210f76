"""A batch's way through PostgreSQL: lock, decide, claim, commit, and what is done when one of these fails.

One transaction at READ COMMITTED:

1. The accounts that exist are locked, in the same order by everyone. Whoever holds an account's row is alone with that user's
   entries, so what is read or written about them until COMMIT cannot be changed by a rival. Only then is read what else the
   batch needs to know: reservations, and entries that are to be reversed.
2. The rules decide as if every request id were new. For a refused command it is looked up whether its id was recorded before.
3. One statement claims and writes: new users by their primary key, request ids by the unique index, both with the row itself. A
   rival's claim on the same new user is waited for; one that was committed makes the statement fail, and the batch is then decided
   again, knowing what is recorded.
4. COMMIT, which nothing cancels.

Only step 1 and the new users of step 3 ever wait for a rival, each in sorted order, and who is in step 3 never waits for one in
step 1: no two daemons can wait for each other. Where an engine underneath sees a deadlock all the same, the batch is tried again.

A connection that breaks after COMMIT was sent leaves open whether it was carried out. The batch is then taken through the same
steps on a new connection to the primary. The lock waits until the broken transaction is over, whichever way; if its entries are
there, it was carried out and its outcomes are true; if not, it never will be, and the batch is decided anew.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import asyncpg

from meterd_server.model import Account, Rejection
from meterd_server.rules import NO_FACTS, decide_batch, may_be_recorded, needs
from meterd_server.store.postgres.arguments import arguments, buckets
from meterd_server.store.postgres.claim import ClaimedError, write_decision
from meterd_server.store.postgres.connections import CONNECTION_ERRORS
from meterd_server.store.postgres.consequences import read_facts
from meterd_server.store.postgres.rows import (
    account_from_row,
    entry_from_row,
    pack_request_id,
)
from meterd_server.store.postgres.statements import COMMIT, ROLLBACK

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from meterd_server.model import Command, Entry, Outcome
    from meterd_server.rules import BatchDecision, RequestKey
    from meterd_server.store.postgres.connections import Connection, Connections
    from meterd_server.store.postgres.statements import Statements

_ATTEMPTS_MAX = 12
"""How often a batch is tried when rivals get in its way."""

_RECONNECT_SECONDS = (0.0, 0.1, 0.4)
"""How long to wait before each new connection for one batch; after the last, its outcome is unknown."""

_JITTER_SECONDS = 0.02
"""The first pause after a deadlock or a serialization failure, at most; it doubles."""


class Writer:
    """Commits batches. `begin` is the statement that opens a transaction. Raises what the driver raises, when all was tried."""

    def __init__(self, connections: Connections, statements: Statements, begin: str) -> None:
        self._connections = connections
        self._statements = statements
        self._begin = begin

    async def commit(self, commands: Sequence[Command], now_us: int) -> list[Outcome]:
        """Decide and write the batch in one transaction; see `Store.commit`. Never to be cancelled."""
        attempt = _Attempt(self._statements, self._begin, commands, now_us)
        lost = 0
        for number in range(_ATTEMPTS_MAX):
            try:
                # After a connection was lost the pool's others may lead to a server that is not the primary any more.
                async with self._connections.fresh() if lost else self._connections.borrow() as connection:
                    return await attempt.run(connection)
            except (asyncpg.UniqueViolationError, ClaimedError):
                pause_seconds = 0.0  # whoever was first has committed
            except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError):
                pause_seconds = random.uniform(0, _JITTER_SECONDS * 2**number)  # noqa: S311 -- jitter is no secret
            except CONNECTION_ERRORS:
                if lost == len(_RECONNECT_SECONDS):
                    raise
                pause_seconds = _RECONNECT_SECONDS[lost]
                lost += 1
            attempt.look_up_all = True
            await asyncio.sleep(min(pause_seconds, 1))
        raise TimeoutError(f"rivals were in the way {_ATTEMPTS_MAX} times")

    async def write(self, decision: BatchDecision, known: Iterable[str]) -> None:
        """Write what was decided elsewhere, in one transaction: entries as they are, accounts in place of those `known`.

        Raises `ClaimedError` or `asyncpg.UniqueViolationError` if any of it is there already.
        """
        async with self._connections.borrow() as connection:
            try:
                await connection.execute(self._begin)
                await write_decision(connection, self._statements, decision, set(known))
                await _commit(connection)
            except BaseException:
                await _roll_back(connection)
                raise


class _Attempt:
    """One batch, and what is known of the attempts at it so far."""

    def __init__(self, statements: Statements, begin: str, commands: Sequence[Command], now_us: int) -> None:
        self._statements = statements
        self._begin = begin
        self._commands = commands
        self._now_us = now_us
        self._needs = needs(commands)
        self._unanswered: list[BatchDecision] = []
        self.look_up_all = False
        """Whether every request id is looked up: an attempt without that has failed."""

    async def run(self, connection: Connection) -> list[Outcome]:
        """Take the batch through one transaction. When this raises, either nothing was written or it is found out next time."""
        try:
            await connection.execute(self._begin)
            locked = await self._lock(connection)
            recorded = await self._find(connection, self._all_keys()) if self.look_up_all else {}
            decision = self._carried_out(recorded)
            if decision is None:
                decision = await self._decide(connection, locked, recorded)
                if decision.entries:
                    await write_decision(connection, self._statements, decision, locked)
                    return await self._commit(connection, decision)
        except BaseException:
            await _roll_back(connection)
            raise
        await _roll_back(connection)
        return decision.outcomes

    def _carried_out(self, recorded: Mapping[RequestKey, Entry]) -> BatchDecision | None:
        """The decision whose COMMIT was carried out although its answer was lost, if there is one."""
        for decision in self._unanswered:
            if all(recorded.get((entry.user_id, entry.request_id)) == entry for entry in decision.entries):
                return decision
        return None

    async def _decide(
        self, connection: Connection, locked: Mapping[str, Account], recorded: Mapping[RequestKey, Entry]
    ) -> BatchDecision:
        """What the batch comes to, knowing what `recorded` says. Raises `ClaimedError` if that is newer than what is locked."""
        commands = self._commands
        if any(user_id not in locked for user_id, _ in recorded):
            raise ClaimedError  # a rival made the user known between the locking and the looking up
        unknown = {command.user_id for command in commands}.difference(locked)
        accounts = {**locked, **{user_id: Account(user_id) for user_id in unknown}}
        facts = await read_facts(connection, self._statements, self._needs, locked) if self._needs else NO_FACTS
        decision = decide_batch(accounts, recorded, commands, self._now_us, facts)
        if not self.look_up_all:
            # A refused command claims nothing that could collide: whether it was recorded before has to be asked.
            refused = {
                (command.user_id, command.request_id)
                for command, outcome in zip(commands, decision.outcomes, strict=True)
                if isinstance(outcome, Rejection) and command.user_id in locked and may_be_recorded(command)
            }
            if refused and await self._find(connection, refused):
                # A repeated batch: what is a replay changes nothing, so others may be refused, and were recorded as well.
                recorded = await self._find(connection, self._all_keys())
                decision = decide_batch(accounts, recorded, commands, self._now_us, facts)
        return decision

    async def _commit(self, connection: Connection, decision: BatchDecision) -> list[Outcome]:
        """Send COMMIT. Raises `ConnectionError` when it is not known whether it was carried out."""
        self._unanswered.append(decision)
        try:
            await _commit(connection)
        except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError):
            self._unanswered.pop()  # refused: this one will never be
            raise
        except Exception as error:
            connection.terminate()
            raise ConnectionError("the connection was lost in COMMIT") from error
        return decision.outcomes

    async def _lock(self, connection: Connection) -> dict[str, Account]:
        users = sorted({command.user_id for command in self._commands})
        rows = await connection.fetch(self._statements.lock, buckets(self._statements, users), users)
        return {row[0]: account_from_row(row[0], row[1:]) for row in rows}

    def _all_keys(self) -> set[RequestKey]:
        """What may be recorded: by somebody else under the commands' ids, or by an attempt of which it is not known.

        The latter may have made entries under ids that nobody was asked to look up: new ones, and those of lapses.
        """
        keys = {(each.user_id, each.request_id) for each in self._commands if may_be_recorded(each)}
        return keys.union((each.user_id, each.request_id) for decision in self._unanswered for each in decision.entries)

    async def _find(self, connection: Connection, keys: Iterable[RequestKey]) -> dict[RequestKey, Entry]:
        packed = [(user_id, (pack_request_id(request_id),)) for user_id, request_id in keys]
        rows = await connection.fetch(self._statements.find, *arguments(self._statements, packed, 1))
        entries = [entry_from_row(row[0], row[1:]) for row in rows]
        return {(entry.user_id, entry.request_id): entry for entry in entries}


async def _commit(connection: Connection) -> None:
    status = await connection.execute(COMMIT)
    if status != COMMIT:
        raise ConnectionError(f"COMMIT was answered with {status}")


async def _roll_back(connection: Connection) -> None:
    """Undo the transaction, or hang up if even that cannot be done."""
    try:
        if not connection.is_closed():
            await connection.execute(ROLLBACK)
    except Exception:
        # The error that led here is the one to tell.
        connection.terminate()

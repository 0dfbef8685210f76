"""Writing what was decided: rows whose keys are the claims, so that nobody else can write the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meterd_server.store.consequences import consequences
from meterd_server.store.postgres.arguments import arguments
from meterd_server.store.postgres.buckets import bucket_of
from meterd_server.store.postgres.consequences import write_consequences
from meterd_server.store.postgres.rows import ACCOUNT, ENTRY, account_values, entry_values

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from meterd_server.model import Account, Entry
    from meterd_server.rules import BatchDecision
    from meterd_server.store.postgres.connections import Connection
    from meterd_server.store.postgres.statements import Statements


class ClaimedError(Exception):
    """Something that was to be written is there already, or its place was taken: the batch is to be decided again."""


COPY_ENTRIES_MIN = 100
"""From how many entries on COPY is worth its two more ways to the server: it costs both sides a third less a row."""


async def write_decision(
    connection: Connection, statements: Statements, decision: BatchDecision, known: Collection[str]
) -> None:
    """Write all that was decided, inside a transaction: accounts in place of those `known`, the entries, what follows from them.

    Raises `ClaimedError` or `asyncpg.UniqueViolationError` if a new user or a request id is there already.
    """
    await _write_entries(connection, statements, decision, known)
    if after := consequences(decision.entries):
        await write_consequences(connection, statements, after)


async def _write_entries(
    connection: Connection, statements: Statements, decision: BatchDecision, known: Collection[str]
) -> None:
    accounts = decision.accounts.values()
    updated = [account for account in accounts if account.user_id in known]
    inserted = [account for account in accounts if account.user_id not in known]
    # In one order for everyone: at new users a rival may be waited for.
    inserted.sort(key=lambda account: (bucket_of(account.user_id), account.user_id))
    entries = decision.entries
    if not statements.distributed and len(entries) < COPY_ENTRIES_MIN:
        update, insert = _accounts(statements, updated), _accounts(statements, inserted)
        given = [*update, *insert, *_entries(statements, entries), len(accounts)]
        _expect(len(entries), await connection.execute(statements.write, *given))
        return
    if updated:
        _expect(len(updated), await connection.execute(statements.update_accounts, *_accounts(statements, updated)))
    if inserted:
        _expect(len(inserted), await connection.execute(statements.insert_accounts, *_accounts(statements, inserted)))
    if statements.distributed:
        status = await connection.execute(statements.insert_entries, *_entries(statements, entries))
    else:
        status = await connection.copy_records_to_table(
            "entry",
            schema_name=statements.schema,
            columns=("bucket", "user_id", *(name for name, _ in ENTRY)),
            records=[(bucket_of(entry.user_id), entry.user_id, *entry_values(entry)) for entry in entries],
        )
    _expect(len(entries), status)


def _accounts(statements: Statements, accounts: Iterable[Account]) -> list[Any]:
    return arguments(statements, [(account.user_id, account_values(account)) for account in accounts], len(ACCOUNT))


def _entries(statements: Statements, entries: Iterable[Entry]) -> list[Any]:
    return arguments(statements, [(entry.user_id, entry_values(entry)) for entry in entries], len(ENTRY))


def _expect(rows: int, status: str) -> None:
    """Compare with the number of rows at the end of a command's status, so that nothing is committed by halves."""
    if status.rpartition(" ")[2] != str(rows):
        raise ClaimedError(f"{rows} rows were to be written, the server answered {status!r}")

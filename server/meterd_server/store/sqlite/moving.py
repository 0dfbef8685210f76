"""What moving a ledger from one engine to another asks of the SQLite file; on the writing connection's thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterd_server.rules import BatchDecision

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from meterd_server.model import Account, Entry
    from meterd_server.store.sqlite.writer import Writer

_USERS = "SELECT user_id FROM user WHERE user_id > ? ORDER BY user_id LIMIT ?"


def list_users(connection: sqlite3.Connection, writer: Writer, after: str | None, limit: int) -> list[Account]:
    """Up to `limit` accounts in the order of their user ids, those after `after`."""
    user_ids = [user_id for (user_id,) in connection.execute(_USERS, (after or "", limit))]
    return [held.account for user_id in user_ids if (held := writer.held(user_id))]


def import_entries(writer: Writer, entries: Sequence[Entry], accounts: Mapping[str, Account]) -> None:
    """Write entries as they are, and the accounts after them, in one transaction."""
    # The writer's own way of writing, without its deciding.
    decision = BatchDecision([], list(entries), dict(accounts))
    writer._write(writer._plan(decision, writer._load(set(accounts))))  # noqa: SLF001

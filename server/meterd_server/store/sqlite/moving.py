"""What moving a ledger from one engine to another asks of the SQLite file; on the writing connection's thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

    from meterd_server.model import Account
    from meterd_server.store.sqlite.writer import Writer

_USERS = "SELECT user_id FROM user WHERE user_id > ? ORDER BY user_id LIMIT ?"


def list_users(connection: sqlite3.Connection, writer: Writer, after: str | None, limit: int) -> list[Account]:
    """Up to `limit` accounts in the order of their user ids, those after `after`."""
    user_ids = [user_id for (user_id,) in connection.execute(_USERS, (after or "", limit))]
    held = writer.look({*user_ids})
    return [held[user_id].account for user_id in user_ids if user_id in held]

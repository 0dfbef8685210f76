"""Listing a user's entries along their chain, from newer to older, without an index by user.

A chain is entered at the user's last entry or, for a listing that begins in the middle, at the nearest mark: at most
MARK_EVERY_VERSIONS entries are then walked in vain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterd_server.store.sqlite.rows import ENTRY_COLUMNS, Held, entry_from_row

if TYPE_CHECKING:
    import sqlite3

    from meterd_server.model import Entry

_FIND_MARK = "SELECT version, entry_id FROM entry_mark WHERE account_id = ? AND version >= ? ORDER BY version LIMIT 1"
_PREVIOUS = ",".join(f"previous.{column.strip()}" for column in ENTRY_COLUMNS.split(","))
_WALK = f"""
    WITH RECURSIVE chain AS (
      SELECT {ENTRY_COLUMNS} FROM entry WHERE entry_id = ?
      UNION ALL
      SELECT {_PREVIOUS} FROM chain JOIN entry AS previous ON previous.entry_id = chain.previous_entry_id LIMIT ?
    )
    SELECT * FROM chain WHERE version <= ?"""


def list_entries(
    connection: sqlite3.Connection,
    held: Held,
    *,
    after_version: int,
    before_version: int,
    newest_first: bool,
    limit: int,
) -> list[Entry]:
    """Up to `limit` entries with after_version < version < before_version, in the order asked for."""
    newest = min(before_version - 1, held.account.version)
    if newest_first:
        oldest = max(after_version + 1, newest - limit + 1)
    else:
        oldest = after_version + 1
        newest = min(newest, after_version + limit)
    if newest < oldest:
        return []
    mark = connection.execute(_FIND_MARK, (held.account_id, newest)).fetchone()
    entered_version, entered_entry_id = mark or (held.account.version, held.last_entry_id)
    rows = connection.execute(_WALK, (entered_entry_id, entered_version - oldest + 1, newest)).fetchall()
    entries = [entry_from_row(held.account.user_id, row) for row in rows]
    return entries if newest_first else entries[::-1]

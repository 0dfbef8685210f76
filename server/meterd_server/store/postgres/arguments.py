"""The arguments of a statement of many rows: its bucket or buckets, its users, then a list for each column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meterd_server.store.postgres.buckets import bucket_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterd_server.store.postgres.statements import Statements


def buckets(statements: Statements, users: Sequence[str]) -> int | list[int]:
    """The first argument of a statement: each row's bucket, or the one bucket of all."""
    if statements.distributed:
        return bucket_of(users[0]) if users else 0
    return list(map(bucket_of, users))


def arguments(statements: Statements, rows: Sequence[tuple[str, tuple[Any, ...]]], columns: int) -> list[Any]:
    """Rows of (user id, values) as arguments, each row having so many values."""
    users = [user_id for user_id, _ in rows]
    lists = zip(*(values for _, values in rows), strict=True) if rows else [()] * columns
    return [buckets(statements, users), users, *lists]

"""Where engines are chosen: which store a database setting names."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from meterd_server.errors import StartupError
from meterd_server.store.postgres.address import is_postgres, parse
from meterd_server.store.sqlite import SqliteStore
from meterd_server.store.sqlite.snapshot import SqliteSnapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meterd_server.store import MovableStore
    from meterd_server.store.reading import Snapshot


def make_store(
    db: str, *, accounts_max: int = 100_000, connections: int = 8, nothing_else_to_do: bool = False
) -> MovableStore:
    """The store that `db` names, not open yet: postgresql://…, the path of a SQLite file, or :memory:.

    `accounts_max` bounds what SQLite caches; `connections` is how many PostgreSQL is asked for. With `nothing_else_to_do`
    the process may wait for larger commits of SQLite where it stands. Raises `StartupError`.
    """
    if not is_postgres(db):
        if not nothing_else_to_do:
            return SqliteStore(db, accounts_max=accounts_max)
        return SqliteStore(db, accounts_max=accounts_max, at_once_operations_max=2_000, at_once_seconds_max=0.05)
    with _driver():
        from meterd_server.store.postgres.engine import PostgresStore  # noqa: PLC0415 -- the driver is an extra
    return PostgresStore(db, connections=connections)


def make_snapshot(db: str, *, beside_daemon: bool = False) -> Snapshot:
    """A snapshot of the store that `db` names, not taken yet: it is when it is opened.

    With `beside_daemon`, a daemon may have the SQLite file; PostgreSQL does not mind either way. Raises `StartupError`.
    """
    if not is_postgres(db):
        return SqliteSnapshot(db, beside_daemon=beside_daemon)
    with _driver():
        from meterd_server.store.postgres.snapshot import PostgresSnapshot  # noqa: PLC0415 -- the driver is an extra
    return PostgresSnapshot(db)


@contextmanager
def _driver() -> Iterator[None]:
    """Say how to get the driver where it is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise StartupError("PostgreSQL needs an extra: pip install 'meterd[server,postgres]'") from None


def shown(db: str) -> str:
    """A database setting as a person may read it, without a password."""
    return parse(db).place if is_postgres(db) else db

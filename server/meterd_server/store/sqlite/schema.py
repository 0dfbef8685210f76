"""Opening a file: is it ours, is its schema one we know, and bringing it up to date."""

from __future__ import annotations

import sqlite3
from functools import cache
from importlib import resources

from meterd_server.errors import StartupError

APPLICATION_ID = 0x6D747264
"""`mtrd`, in the file's header: tells a meterd file from any other SQLite file."""


@cache
def migrations() -> tuple[tuple[int, str], ...]:
    """The versioned schema files, oldest first: (version, SQL). Read once: a reopening after a fault needs the database only."""
    folder = resources.files("meterd_server.store") / "schema"
    names = sorted(file.name for file in folder.iterdir() if file.name.startswith("sqlite_"))
    return tuple(
        (int(name.removeprefix("sqlite_").removesuffix(".sql")), (folder / name).read_text()) for name in names
    )


def migrate(connection: sqlite3.Connection, place: str) -> None:
    """Apply the schema files that the database at `place` lacks, each in a transaction of its own.

    Raises `StartupError` for a file of another application and for one from a newer meterd.
    """
    version = _version(connection, place)
    known = migrations()
    for number, sql in known:
        if number > version:
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {number};\nCOMMIT;"
            )


def check_current(connection: sqlite3.Connection, place: str) -> None:
    """Raise `StartupError` unless the database at `place` is a ledger of the newest schema, and so can be read as it is."""
    version, newest = _version(connection, place), migrations()[-1][0]
    if not version:
        raise StartupError(f"{place} is no ledger")
    if version < newest:
        raise StartupError(
            f"{place} has schema version {version}, not {newest}: meterd db init --db {place} brings it up to date"
        )


def missing(connection: sqlite3.Connection) -> str:
    """The first table or index that is not as the schema files make it, by name; empty if all are. More than those may be there."""
    found = dict(connection.execute(_MADE))
    return next((name for name, sql in _made().items() if found.get(name) != sql), "")


@cache
def _made() -> dict[str, str]:
    fresh = sqlite3.connect(":memory:", isolation_level=None)
    migrate(fresh, ":memory:")
    made = dict(fresh.execute(_MADE))
    fresh.close()
    return made


_MADE = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name"


def _version(connection: sqlite3.Connection, place: str) -> int:
    """The version of the schema that is there; 0 for a file without one. Raises `StartupError` for what cannot be ours."""
    application_id, version, tables = (
        connection.execute(query).fetchone()[0]
        for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_schema")
    )
    if application_id != APPLICATION_ID and (application_id or version or tables):
        raise StartupError(f"{place} is the database of another application; give --db a file of its own")
    newest = migrations()[-1][0]
    if version > newest:
        raise StartupError(
            f"{place} has schema version {version}, this meterd knows {newest}; run the newer meterd that wrote it"
        )
    found: int = version
    return found

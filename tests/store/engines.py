"""The engines that have to show the behaviour in this folder: an engine joins by a line in ENGINES."""

from collections.abc import Callable
from typing import Any, NamedTuple

from meterd_server.store.sqlite import SqliteStore


class Engine(NamedTuple):
    """How to make a store of one engine, and what the engine cannot do."""

    name: str
    make: Callable[..., Any]
    """make(place, accounts_max=...) returns a store that is not open yet; the same place is the same data."""
    survives_reopening: bool = True


ENGINES = [
    Engine("sqlite-file", lambda place, **options: SqliteStore(place / "meterd.sqlite3", **options)),
    Engine("sqlite-memory", lambda _, **options: SqliteStore(":memory:", **options), survives_reopening=False),
]

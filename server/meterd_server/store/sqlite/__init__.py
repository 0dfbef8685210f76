"""The SQLite engine: one file, one writing connection, nothing to operate."""

from meterd_server.store.sqlite.engine import SqliteStore

__all__ = ["SqliteStore"]

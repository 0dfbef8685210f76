"""The first look at a server: can it be used, and if not, one line that says why and what to do.

No text of the driver or the server goes into such a line unless it is known to hold no password.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import asyncpg

from meterd_server.errors import StartupError
from meterd_server.store.postgres.statements import BEGIN, SYNCHRONOUS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meterd_server.store.postgres.address import Address
    from meterd_server.store.postgres.connections import Connection

log = logging.getLogger(__name__)

VERSION_MIN = 13

_LOOK = """
    SELECT current_setting('server_version_num')::int / 10000 AS version, pg_is_in_recovery() AS is_replica,
           current_setting('server_encoding') AS encoding, current_setting('synchronous_commit') AS synchronous_commit,
           current_setting('fsync') AS fsync, current_setting('default_transaction_read_only') AS read_only"""
"""What a server has to be, in one row."""


async def look(connection: Connection, address: Address) -> str:
    """Check what the server is. Returns the statement that opens a transaction there. Raises `StartupError`."""
    row = await connection.fetchrow(_LOOK)
    if row["is_replica"] or row["read_only"] == "on":
        raise StartupError(_line(asyncpg.TargetServerAttributeNotMatched(), address))
    if row["version"] < VERSION_MIN:
        raise StartupError(f"{address.place} is PostgreSQL {row['version']}; meterd needs {VERSION_MIN} or newer")
    if row["encoding"] != "UTF8":
        raise StartupError(
            f"{address.place} has the encoding {row['encoding']}, which cannot hold every user id; "
            "make the database with ENCODING 'UTF8' TEMPLATE template0"
        )
    if row["fsync"] != "on":
        log.warning("%s runs with fsync = off: what is answered may be lost when the machine fails", address.place)
    return BEGIN + SYNCHRONOUS if row["synchronous_commit"] == "off" else BEGIN


@contextmanager
def explained(address: Address, connections: int) -> Iterator[None]:
    """Turn what goes wrong at a start into a `StartupError` of one line."""
    try:
        yield
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise StartupError(_line(error, address, connections)) from error


_ADVICE: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    (
        (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError),
        "{place}: the server does not let {role} in; check user and password in the address (or PGPASSFILE), and pg_hba.conf",
    ),
    ((asyncpg.InvalidCatalogNameError,), "{place}: there is no database {database}; make it: createdb {database}"),
    (
        (asyncpg.InsufficientPrivilegeError,),
        "{place}: {role} may not use or make the schema {schema}; as a superuser: CREATE SCHEMA {schema} AUTHORIZATION {role}",
    ),
    (
        (asyncpg.TooManyConnectionsError,),
        "{place}: the server has fewer than the {connections} connections free that a daemon keeps; lower --db-connections",
    ),
    (
        (asyncpg.TargetServerAttributeNotMatched, asyncpg.ReadOnlySQLTransactionError),
        "{place} takes no writes (a replica, or default_transaction_read_only): give the address of the primary",
    ),
    (
        (asyncpg.CannotConnectNowError,),
        "{place}: the server is starting up or shutting down; try again in a moment",
    ),
    ((asyncpg.PostgresError,), "{place} cannot be used: {error} ({sqlstate}); the server's log says more"),
    ((TimeoutError,), "{place}: no answer in time; check host, port and firewall"),
    ((OSError,), "{place}: nobody answers there; check host and port, and that the server runs"),
    (
        (Exception,),
        "{place} is an address that the driver cannot use ({error}); it is postgresql://USER:PASSWORD@HOST:PORT/DATABASE",
    ),
)
"""What a person is told and may do, by what went wrong; the first that fits."""


def _line(error: Exception, address: Address, connections: int = 0) -> str:
    advice = next(text for kinds, text in _ADVICE if isinstance(error, kinds))
    return advice.format(
        place=address.place,
        role=address.user or "this role",
        database=address.database or "of this name",
        schema=address.schema,
        connections=connections,
        error=type(error).__name__,
        sqlstate=getattr(error, "sqlstate", ""),
    )

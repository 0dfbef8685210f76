"""A database's address: what the driver is given, what is ours, and what a person may read. Needs no driver."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode

from meterd_server.errors import StartupError

SCHEMES = ("postgresql://", "postgres://")
DEFAULT_SCHEMA = "meterd"

_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class Address(NamedTuple):
    """A PostgreSQL URL taken apart."""

    url: str
    """The URL without the parameters that are ours. It may hold a password: never logged, never in an error."""
    place: str
    """The URL as a person may read it: without the password and without parameters."""
    user: str
    """The role, or empty: the driver's default."""
    database: str
    """The database, or empty: the driver's default."""
    schema: str
    """The schema that holds the tables: `?schema=`, by default meterd."""
    statement_cache_size: int
    """Prepared statements kept a connection: `?statement_cache_size=`, 0 behind a pgbouncer older than 1.21."""


def is_postgres(db: str) -> bool:
    """Whether `db` names a PostgreSQL database."""
    return db.startswith(SCHEMES)


def parse(url: str) -> Address:
    """Take a URL apart. Raises `StartupError`, without repeating any of it, if it is none."""
    try:
        return _parse(url)
    except ValueError:
        raise StartupError(
            "the database address is not postgresql://USER:PASSWORD@HOST:PORT/DATABASE; "
            "characters such as @ : / ? # in a password are written as %40 %3A %2F %3F %23"
        ) from None


def _parse(url: str) -> Address:
    scheme, colon, rest = url.partition("://")
    if not colon or f"{scheme}://" not in SCHEMES or "#" in rest:
        raise ValueError
    head, _, query_text = rest.partition("?")
    login, _, where = head.rpartition("@")
    hosts, _, database = where.partition("/")
    if any(port and not port.isdigit() for port in map(_port, hosts.split(","))):
        raise ValueError
    query = dict(parse_qsl(query_text, keep_blank_values=True, strict_parsing=bool(query_text)))
    schema = query.pop("schema", DEFAULT_SCHEMA)
    cache_size = int(query.pop("statement_cache_size", "256"))
    if not _SCHEMA_NAME.fullmatch(schema) or schema.startswith("pg_") or cache_size < 0:
        raise ValueError
    user = unquote(login.partition(":")[0]) or query.get("user", "")
    shown_hosts = hosts or query.get("host", "")
    rebuilt = f"{scheme}://{head}" + (f"?{urlencode(query)}" if query else "")
    place = f"{scheme}://{user}{'@' if user else ''}{shown_hosts}/{database}"
    return Address(
        rebuilt, place, user, unquote(database) or query.get("database", query.get("dbname", "")), schema, cache_size
    )


def _port(host: str) -> str:
    """The port of HOST:PORT or [IPV6]:PORT, or empty."""
    return host.rpartition("]")[2].partition(":")[2]

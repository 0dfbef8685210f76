"""The address of a PostgreSQL database: what it may say, and that no word about it holds a password."""

import sys

import pytest

from meterd_server.errors import StartupError
from meterd_server.store.engines import make_store, shown
from meterd_server.store.postgres.address import parse

SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql:/user:{SECRET}@host/db",
        f"mysql://user:{SECRET}@host/db",
        f"postgresql://user:{SECRET}/x@host:port/db",
        f"postgresql://user:{SECRET}#x@host/db",
        f"postgresql://user:{SECRET}@host:54x/db",
        f"postgresql://user:{SECRET}@host/db?sslmode",
        f"postgresql://user:{SECRET}@host/db?schema=Meterd;",
        f"postgresql://user:{SECRET}@host/db?statement_cache_size=-1",
    ],
)
def test_what_is_not_an_address_is_refused_without_repeating_it(url):
    """A malformed address is refused with the form it has to have; it may hold a password anywhere."""
    with pytest.raises(StartupError) as info:
        parse(url)
    assert "postgresql://USER:PASSWORD@HOST:PORT/DATABASE" in str(info.value)
    assert SECRET not in str(info.value)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (f"postgresql://ada:{SECRET}@db:5433/meterd?sslmode=require", "postgresql://ada@db:5433/meterd"),
        (f"postgres://ada:p%40{SECRET}@a,b:1,[::1]:2/x", "postgres://ada@a,b:1,[::1]:2/x"),
        (f"postgresql:///x?host=/run&user=ada&password={SECRET}", "postgresql://ada@/run/x"),
        ("postgresql://", "postgresql:///"),
    ],
)
def test_a_shown_address_has_no_password(url, place):
    """What goes into logs and messages says who, where and which database."""
    assert place == shown(url) == parse(url).place


def test_our_own_parameters_are_not_the_drivers():
    """Schema and statement_cache_size are read by meterd and taken off the address; the rest is passed on."""
    address = parse("postgresql://db/x?schema=other&sslmode=require&statement_cache_size=0")
    assert ("postgresql://db/x?sslmode=require", "other", 0) == (
        address.url,
        address.schema,
        address.statement_cache_size,
    )


def test_a_missing_driver_is_named(monkeypatch):
    """Without asyncpg, the extra that brings it is named; SQLite does not need it."""
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    for name in [
        name for name in sys.modules if name.startswith("meterd_server.store.postgres.") and "address" not in name
    ]:
        monkeypatch.delitem(sys.modules, name)
    make_store(":memory:")
    with pytest.raises(StartupError, match=r"pip install 'meterd\[server,postgres\]'"):
        make_store("postgresql://db/x")

"""Opening a PostgreSQL database: what is refused and with which words, and that no word holds a password."""

import asyncio
import socket
from contextlib import asynccontextmanager
from itertools import count

import asyncpg
import pytest

from meterd_server.errors import StartupError, StoreUnavailable
from meterd_server.model import Account
from meterd_server.rules import fingerprint
from meterd_server.store.postgres.buckets import bucket_of
from meterd_server.store.postgres.engine import PostgresStore
from meterd_server.store.postgres.schema import migrations
from meterd_server.store.postgres.statements import SYNCHRONOUS
from rules.commands import cost, reverse
from store.engines import private_server
from store.model import entries_of

SECRET = "hunter2"

_numbers = count(1)


async def refusal(url, **options):
    """Return the text of the StartupError that opening `url` raises: one line, without the password, naming the place."""
    store = PostgresStore(url, **options)
    with pytest.raises(StartupError) as info:
        await store.open()
    await store.close()
    text = str(info.value)
    assert SECRET not in text
    assert store.place in text
    assert 1 == len(text.splitlines())
    return text


async def open_once(url):
    """Make the tables, as a first start does."""
    store = PostgresStore(url)
    await store.open()
    await store.close()


@asynccontextmanager
async def connected(url):
    """Yield a connection of the test's own."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


@pytest.fixture
def server():
    """Return the private server."""
    return private_server()


@pytest.fixture
async def admin(server):
    """Return a superuser's connection."""
    connection = await asyncpg.connect(server.url())
    yield connection
    await connection.close()


@pytest.fixture
async def database(admin, server, role):  # a role can only go after what it owns
    """Return a function that makes a database and returns the address of it for a role."""
    made = []

    async def make(role="postgres", options=""):
        name = f"open_{next(_numbers)}_{id(made)}"
        made.append(name)
        await admin.execute(f"CREATE DATABASE {name} {options}")
        return f"postgresql://{role}:{SECRET}@/{name}?host={server.folder}"

    yield make
    for name in made:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def role(admin):
    """Return a function that makes a role with some attributes and returns its name."""
    made = []

    async def make(attributes="", name=None):
        name = name or f"role_{next(_numbers)}"
        made.append(name)
        await admin.execute(f"CREATE ROLE {name} LOGIN {attributes}")
        return name

    yield make
    for name in made:
        await admin.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


async def test_a_wrong_password(server, role):
    """The role and what to check are named."""
    await role(f"PASSWORD 'not {SECRET}'", name="guarded")
    text = await refusal(f"postgresql://guarded:{SECRET}@/postgres?host={server.folder}")
    assert "does not let guarded in; check user and password" in text


async def test_an_unknown_role(server):
    """A role that does not exist is told as a wrong password is."""
    assert "does not let nobody_here in" in await refusal(
        f"postgresql://nobody_here:{SECRET}@/postgres?host={server.folder}"
    )


async def test_a_missing_database(server):
    """The command that makes it is given."""
    text = await refusal(f"postgresql://postgres:{SECRET}@/nowhere?host={server.folder}")
    assert "there is no database nowhere; make it: createdb nowhere" in text


async def test_a_role_that_may_not_make_the_schema(role, database):
    """The statement that a superuser has to give is given."""
    name = await role()
    assert f"CREATE SCHEMA meterd AUTHORIZATION {name}" in await refusal(await database(name))


async def test_a_role_that_may_not_write(role, database, server):
    """A role without rights on the tables is refused at the start, with the statement that its owner has to give."""
    owner = await database()
    await open_once(owner)
    name = await role()
    url = owner.replace("//postgres:", f"//{name}:")
    assert "may not use or make the schema meterd" in await refusal(url)
    async with connected(owner) as connection:
        await connection.execute(
            f"GRANT USAGE ON SCHEMA meterd TO {name}; GRANT SELECT ON ALL TABLES IN SCHEMA meterd TO {name}"
        )
    assert "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA meterd" in await refusal(url)
    async with connected(owner) as connection:
        await connection.execute(f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA meterd TO {name}")
    store = PostgresStore(url)
    await store.open()
    await store.commit([cost("alice", 1)], 1)
    await store.close()


LIKE_CITUS = """
    CREATE TABLE pg_dist_partition (logicalrelid regclass, partkey text, together text);
    CREATE FUNCTION create_distributed_table(name regclass, key text, kind text = 'hash', colocate_with text = 'default')
    RETURNS void LANGUAGE sql AS 'INSERT INTO pg_dist_partition VALUES (name, key, colocate_with)'"""


async def test_tables_are_distributed_together(database):
    """Where the server can, every table of users is distributed by bucket, all together; those that already are, are left."""
    url = await database()
    async with connected(url) as connection:
        await connection.execute(LIKE_CITUS)
        store = PostgresStore(url)
        await store.open()
        assert "account, entry, reservation, reversal, grant_due in meterd" in (await store.distribute())[0]
        placed = await connection.fetch("SELECT logicalrelid::text, partkey, together FROM pg_dist_partition")
        names = [row[0] for row in placed]
        assert [f"meterd.{name}" for name in ("account", "entry", "reservation", "reversal", "grant_due")] == names
        assert {"bucket"} == {row[1] for row in placed}
        assert ["default", *[name.replace("meterd.", '"meterd".') for name in names[:-1]]] == [row[2] for row in placed]
        assert "already" in (await store.distribute())[0]
        await connection.execute("DELETE FROM pg_dist_partition WHERE logicalrelid::text ~ 'rever'")
        assert "create_distributed_table: reversal in meterd" in (await store.distribute())[0]
        await store.close()


async def test_tables_of_the_first_schema_are_brought_up_to_date(database):
    """What was recorded before there were reservations is there afterwards, and is built upon."""
    url = await database()
    async with connected(url) as connection:
        _, first = migrations()[0]
        await connection.execute(
            f"CREATE SCHEMA meterd; SET search_path = meterd; {first}; INSERT INTO meta VALUES (1, 1)"
        )
        await connection.execute("INSERT INTO account VALUES (1, 0, 5, 7, 0, $1, 'alice')", bucket_of("alice"))
        await connection.execute(
            "INSERT INTO entry VALUES (1, -5, -5, $2, 7, NULL, 0, $1, 1, 'alice', 'r', NULL, NULL, NULL)",
            bucket_of("alice"),
            fingerprint(cost("alice", 5, "r")),
        )
    store = PostgresStore(url)
    await store.open()
    assert Account("alice", 1, 0, 5, 7) == await store.account("alice")
    again, reversed_ = await store.commit([cost("alice", 5, "r"), reverse("alice", 1)], 8)
    assert (True, 5, 0) == (again.replayed, reversed_.entry.amount_microcents, reversed_.account.balance_microcents)
    await store.close()


async def test_a_newer_schema(database):
    """A database that a newer meterd has changed is not touched."""
    url = await database()
    await open_once(url)
    async with connected(url) as connection:
        await connection.execute("UPDATE meterd.meta SET schema_version = 99")
    assert "has schema version 99, this meterd knows 2; run the newer meterd" in await refusal(url)


async def test_a_schema_of_another_application(database):
    """Tables that somebody else made under our names are not touched, and a way out is named."""
    url = await database()
    async with connected(url) as connection:
        await connection.execute("CREATE TABLE account (id int)")
    assert "add ?schema=NAME" in await refusal(f"{url}&schema=public")
    await open_once(url)


async def test_a_schema_that_is_there_already_is_used(database, role):
    """A role that may make no schema uses one that was made for it, of whatever name."""
    name = await role()
    url = await database(name)
    async with connected(url.replace(f"//{name}:", "//postgres:")) as connection:
        await connection.execute(f"CREATE SCHEMA ledger AUTHORIZATION {name}")
    await open_once(f"{url}&schema=ledger")
    await open_once(f"{url}&schema=ledger")


async def test_a_server_that_takes_no_writes(role, database):
    """A read-only server, as a replica is one, is refused at the start."""
    name = await role()
    url = await database(name)
    async with connected(url.replace(f"//{name}:", "//postgres:")) as connection:
        await connection.execute(f"ALTER ROLE {name} SET default_transaction_read_only = on")
    assert "give the address of the primary" in await refusal(url)


async def test_too_few_connections(role, database, admin):
    """A limit that leaves fewer connections than the daemon keeps is told at the start, and how to keep fewer."""
    name = await role("CONNECTION LIMIT 3")
    url = await database(name)
    async with connected(url.replace(f"//{name}:", "//postgres:")) as connection:
        await connection.execute(f"CREATE SCHEMA meterd AUTHORIZATION {name}")
    text = await refusal(url)
    assert "fewer than the 8 connections free" in text
    assert "lower --db-connections" in text
    await admin.execute(f"ALTER ROLE {name} CONNECTION LIMIT 9")
    # The server counts a connection until its process has ended, which may be after the client closed it.
    await admin.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = $1", name)
    await open_once(url)


async def test_a_database_of_another_encoding(database):
    """An encoding that cannot hold every user id is refused, with the one to take."""
    url = await database(options="ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    assert "has the encoding LATIN1" in await refusal(url)


async def test_nobody_there(tmp_path, unused_port):
    """Where nobody listens, by socket or by port, that is what is said."""
    for url in (
        f"postgresql://ada:{SECRET}@/x?host={tmp_path}",
        f"postgresql://ada:{SECRET}@127.0.0.1:{unused_port}/x",
    ):
        assert "nobody answers there" in await refusal(url)


@pytest.fixture
def unused_port():
    """Return a port at which nobody listens any more."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


async def test_a_server_that_says_nothing(monkeypatch):
    """A server that takes the connection and then is silent is given up in time."""
    monkeypatch.setattr("meterd_server.store.postgres.connections.CONNECT_SECONDS_MAX", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listening:  # connections queue up, and nobody takes them
        port = listening.getsockname()[1]
        assert "no answer in time" in await refusal(f"postgresql://ada:{SECRET}@127.0.0.1:{port}/x?sslmode=disable")


async def test_a_server_that_would_answer_too_early(role, database):
    """Where commits would be answered before they are on disk, the daemon asks for it itself."""
    name = await role("SUPERUSER")
    url = await database(name)
    async with connected(url) as connection:
        await connection.execute(f"ALTER ROLE {name} SET synchronous_commit = off")
    store = PostgresStore(url)
    await store.open()
    assert store._open.writer._begin.endswith(SYNCHRONOUS)
    await store.close()


async def test_many_start_at_once(database):
    """Of daemons that start at the same time on an empty database, one makes the tables and all of them start."""
    url = await database()
    stores = [PostgresStore(url, connections=2) for _ in range(6)]
    await asyncio.gather(*[store.open() for store in stores])
    for store in stores:
        await store.commit([cost("alice", 1)], 1)
    assert 6 == len(await entries_of(stores[0], "alice"))
    for store in stores:
        await store.close()


async def test_without_prepared_statements(database):
    """Behind a pooler that keeps no prepared statements, everything works without them."""
    store = PostgresStore(f"{await database()}&statement_cache_size=0")
    await store.open()
    commands = [cost(f"user-{number}", 1) for number in range(150)]
    await store.commit(commands, 1)
    assert all(outcome.replayed for outcome in await store.commit(commands, 1))
    await store.close()


async def test_reopening_what_is_gone(database):
    """While the database cannot be used, reopening says that it is unavailable, and works when it can be."""
    url = await database()
    store = PostgresStore(url, connections=2)
    await store.open()
    async with connected(url) as connection:
        await connection.execute("ALTER SCHEMA meterd RENAME TO away")
        await connection.execute("CREATE SCHEMA meterd; CREATE TABLE meterd.entry ()")
        with pytest.raises(StoreUnavailable):
            await store.commit([cost("alice", 1)], 1)
        with pytest.raises(StoreUnavailable):
            await store.reopen()
        with pytest.raises(StoreUnavailable):
            await store.account("alice")
        await connection.execute("DROP SCHEMA meterd CASCADE; ALTER SCHEMA away RENAME TO meterd")
    await store.reopen()
    await store.commit([cost("alice", 1)], 1)
    await store.close()

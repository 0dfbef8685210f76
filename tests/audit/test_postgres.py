"""The same commands on PostgreSQL: a ledger there is verified where it is, and backed up into the one kind of file."""

import asyncio

import asyncpg
import pytest

from audit.files import make_ledger
from audit.ledgers import MemoryLedger
from meterd_server.store.postgres.engine import PostgresStore
from meterd_server.store.postgres.snapshot import PostgresSnapshot
from rules.commands import cost
from store.engines import postgres_url

SCHEMA = "schema="


async def _make(url):
    store = PostgresStore(url, connections=2)
    await store.open()
    await make_ledger(store)


@pytest.fixture
def url(tmp_path):
    """Return the address of a ledger in which everything has happened."""
    url = postgres_url(tmp_path / "first")
    asyncio.run(_make(url))
    return url


def execute(url, statement):
    """Do something to a database that no daemon would do."""

    async def run():
        address, _, schema = url.partition(SCHEMA)
        connection = await asyncpg.connect(address.rstrip("?&"))
        await connection.execute(f'SET search_path = "{schema}"')
        await connection.execute(statement)
        await connection.close()

    asyncio.run(run())


def test_a_whole_ledger(run, url):
    """It adds up."""
    result = run("verify", "--db", url)
    assert (0, "") == (result.exit_code, result.stderr)
    assert "adds up: 2 users, 22 entries, " in result.stdout


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        (
            "UPDATE entry SET balance_microcents = 0 WHERE user_id = 'ada' AND version = 4",
            "user 'ada', version 4: balance",
        ),
        (
            "UPDATE account SET residue_picocents = 1 WHERE user_id = 'ada'",
            "user 'ada', version 21: residue_picocents of",
        ),
        (
            "DELETE FROM entry WHERE user_id = 'ada' AND version = 10",
            "user 'ada', version 11: version of the next entry",
        ),
        ("DELETE FROM account WHERE user_id = 'bob'", "entries in the database: the sum of all versions: expected 21"),
        (
            "UPDATE reservation SET held_microcents = 0 WHERE held_microcents = 20",
            "version 9: reservation 'r4', as it is kept",
        ),
        ("DELETE FROM reservation WHERE state = 3", "version 8: reservation 'r3', as it is kept"),
        (
            "UPDATE reversal SET reversed_microcents = 1 WHERE version = 4",
            "how much of entry 4 is reversed, as it is kept",
        ),
        ("UPDATE grant_due SET lapsed = true", "user 'ada', version 3: when grant 3 lapses, as it is kept"),
        (
            "UPDATE grant_due SET lapsed = false",
            "user 'ada', version 2: when grant 2 lapses, as it is kept: expected None",
        ),
        ("UPDATE entry SET more = '[' WHERE user_id = 'bob'", "user 'bob', version 1: the entries from that one on"),
        (
            "UPDATE account SET more = '[]' WHERE user_id = 'bob'",
            "what can be read of the database: expected everything",
        ),
        ("DROP INDEX entry_request", "entry_request is not there, or not valid"),
    ],
)
def test_a_damaged_ledger(run, url, statement, text):
    """Exit code 1, and one line that names the first difference."""
    execute(url, statement)
    result = run("verify", "--db", url)
    assert (1, "", 1) == (result.exit_code, result.stdout, len(result.stderr.splitlines()))
    assert text in result.stderr


def test_there_and_back(run, url, tmp_path):
    """A backup is a SQLite ledger; restored into another schema it is the ledger that it was, and is not restored over."""
    backup, other = tmp_path / "backup.sqlite3", postgres_url(tmp_path / "second")
    assert 0 == run("backup", backup, "--db", url).exit_code
    assert [backup] == [*tmp_path.iterdir()]
    assert "adds up: 2 users, 22 entries, " in run("verify", "--db", backup).stdout
    result = run("restore", backup, "--db", other)
    assert (0, "") == (result.exit_code, result.stderr)
    assert "adds up: 2 users, 22 entries, " in run("verify", "--db", other).stdout
    assert run("export", "--db", url).stdout == run("export", "--db", other).stdout
    again = run("restore", backup, "--db", other)
    assert (3, 1) == (again.exit_code, len(again.stderr.splitlines()))
    assert "is not empty: restore into a database, or a ?schema=NAME, without a ledger" in again.stderr


async def test_a_snapshot_is_of_one_moment(url):
    """What daemons commit after it was opened is not in it, neither in accounts nor in entries."""
    store, snapshot = PostgresStore(url, connections=2), PostgresSnapshot(url)
    await store.open()
    await snapshot.open()
    await store.commit([cost("ada", 1), cost("new", 1)], 1)
    assert MemoryLedger().accounts == {each.user_id: each for each in await snapshot.users(None, 10)}
    found = await snapshot.entries("ada", after_version=0, before_version=99, newest_first=False, limit=99)
    assert MemoryLedger().logs["ada"] == found
    assert (22, 4, 2, 1) == await snapshot.rows()
    await snapshot.close()
    await store.close()


def test_what_is_not_there(run, tmp_path):
    """A database without a ledger is told, and none is made by asking."""
    url = postgres_url(tmp_path)
    for _ in range(2):
        result = run("verify", "--db", url)
        assert (5, 1) == (result.exit_code, len(result.stderr.splitlines()))
        assert "holds no ledger" in result.stderr

"""`meterd db`: preparing a database, and moving a ledger from one to another."""

import asyncio
import re

import pytest

from meterd_server.store.sqlite import SqliteStore
from rules.commands import cost, funding
from store.engines import postgres_url


@pytest.fixture
def url(tmp_path):
    """Return the address of an empty PostgreSQL schema."""
    return postgres_url(tmp_path)


@pytest.fixture
def ledger(tmp_path):
    """Return the path of a SQLite ledger with two users."""

    async def fill():
        store = SqliteStore(path)
        await store.open()
        await store.commit([funding("alice", 100, "f"), cost("alice", 30, "c"), cost("bob", 5, "c")], 1)
        await store.close()

    path = tmp_path / "ledger.sqlite3"
    asyncio.run(fill())
    return path


def lines(result):
    """Return the lines on stdout of a command that succeeded."""
    assert 0 == result.exit_code, result.stderr
    return result.stdout.splitlines()


def test_moving_there_and_back(run, ledger, url, tmp_path):
    """A ledger goes to PostgreSQL and back; both times its sums and one digest are told, and the third move has nothing to do."""
    back = tmp_path / "back.sqlite3"
    told = [lines(run("db", "move", str(a), str(b))) for a, b in ((ledger, url), (url, back), (ledger, back))]
    digests = {re.search(r"[0-9a-f]{64}", text[-1])[0] for text in told}
    assert 1 == len(digests)
    for text in told:
        assert text[0].startswith("moved 3 entries of 2 users from ")
        assert text[1].startswith("both hold funded 100 µ¢, spent 35 µ¢, ")


def test_moving_into_another_ledger(run, ledger, tmp_path):
    """A database that holds something else is a conflict, told in one line."""
    other = tmp_path / "other.sqlite3"

    async def fill():
        store = SqliteStore(other)
        await store.open()
        await store.commit([cost("mallory", 5)], 1)
        await store.close()

    asyncio.run(fill())
    result = run("db", "move", str(ledger), str(other))
    assert (3, 1) == (result.exit_code, len(result.stderr.splitlines()))
    assert "'mallory'" in result.stderr


def test_moving_from_nothing(run, tmp_path):
    """A source that is not there is not made by asking for it."""
    result = run("db", "move", str(tmp_path / "none"), str(tmp_path / "new"))
    assert (5, f"meterd: there is no file {tmp_path / 'none'}\n") == (result.exit_code, result.stderr)
    assert [] == list(tmp_path.iterdir())


def test_moving_to_itself(run, ledger):
    """A ledger is not moved onto itself."""
    assert 3 == run("db", "move", str(ledger), str(ledger)).exit_code


@pytest.mark.parametrize("place", ["mysql://u:hunter2@h/d", "postgresql://u:hunter2@h:x/d", ""])
def test_a_place_that_cannot_be(run, ledger, place):
    """A wrong address is a line without the password in it."""
    result = run("db", "move", str(ledger), place)
    assert result.exit_code in {2, 5}
    assert 1 == len(result.stderr.splitlines())
    assert "hunter2" not in result.stderr


def test_init_makes_the_tables(run, url, monkeypatch):
    """A database is prepared by flag or by variable, and preparing it again changes nothing."""
    assert ["ready"] == [line.split()[-1] for line in lines(run("db", "init", "--db", url))]
    monkeypatch.setenv("METERD_DB", url)
    assert ["ready"] == [line.split()[-1] for line in lines(run("db", "init"))]


def test_init_distributes_where_it_can(run, url):
    """A server that cannot distribute says so; that transactions keep to one bucket is recorded all the same, for those asked."""
    first, second, third = lines(run("db", "init", "--distribute", "--db", url))
    assert first.endswith("is ready")
    assert second.startswith("this server has no create_distributed_table")
    assert third.startswith("recorded: every transaction keeps to one bucket")


def test_a_file_is_not_distributed(run, tmp_path):
    """--distribute is for PostgreSQL, and says so."""
    result = run("db", "init", "--distribute", "--db", str(tmp_path / "m.sqlite3"))
    assert 5 == result.exit_code
    assert "--distribute is for PostgreSQL" in result.stderr

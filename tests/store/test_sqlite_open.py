"""Opening a SQLite file: what is refused and with which words, and how the file is set up."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from meterd_server.errors import StartupError
from meterd_server.model import Account
from meterd_server.rules import fingerprint
from meterd_server.store.sqlite import SqliteStore
from meterd_server.store.sqlite.schema import APPLICATION_ID, migrations
from rules.commands import cost, reverse


async def refusal(path):
    """Return the text of the StartupError that opening `path` raises; it is one line that names the path."""
    store = SqliteStore(path)
    with pytest.raises(StartupError) as info:
        await store.open()
    text = str(info.value)
    assert str(path) in text
    assert 1 == len(text.splitlines())
    return text


@pytest.fixture
async def path(tmp_path):
    """Return the path of a closed meterd file in which alice has one entry."""
    path = tmp_path / "meterd.sqlite3"
    store = SqliteStore(path)
    await store.open()
    await store.commit([cost("alice", 5, "r1")], 1)
    await store.close()
    return path


def change(path, *statements):
    """Execute statements on the file, as another program might."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


async def test_folders_are_made(tmp_path):
    """A path in a folder that does not exist yet is made, with characters that a URI would quote."""
    path = tmp_path / "new folder" / "50%?" / "led#ger.db"
    store = SqliteStore(path)
    await store.open()
    await store.commit([cost("alice", 5)], 1)
    bounds = {"after_version": 0, "before_version": 9, "newest_first": True, "limit": 9}
    assert 1 == len(await store.entries("alice", **bounds))
    await store.close()
    assert path.is_file()


async def test_a_relative_path(tmp_path, monkeypatch):
    """A path may be relative, given as text."""
    monkeypatch.chdir(tmp_path)
    store = SqliteStore("ledger.db")
    await store.open()
    await store.commit([cost("alice", 5)], 1)
    await store.close()
    assert (tmp_path / "ledger.db").is_file()


async def test_a_folder_is_refused(tmp_path):
    """A folder cannot be the database, and nothing is left beside it."""
    assert "is a folder" in await refusal(tmp_path / ".")
    assert not (tmp_path.parent / f"{tmp_path.name}.lock").exists()


async def test_a_parent_that_is_a_file_is_refused(tmp_path):
    """A path below a file cannot be made."""
    (tmp_path / "file").write_text("")
    await refusal(tmp_path / "file" / "ledger.db")


@pytest.mark.parametrize("content", [b"not a database" * 1000, b"SQLite format 3\0" + b"\xff" * 4096])
async def test_a_file_that_is_no_database_is_refused(tmp_path, content):
    """Another kind of file, or a damaged one, is refused and left as it is."""
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    assert "cannot be used as a database" in await refusal(path)
    assert content == path.read_bytes()


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE account (x)", "PRAGMA user_version = 1", "PRAGMA application_id = 7"]
)
async def test_the_database_of_another_application_is_refused(tmp_path, statement):
    """A SQLite file that is not ours is refused, by its tables, its version or its application id, and gets no table."""
    path = tmp_path / "other.db"
    change(path, statement)
    assert "another application" in await refusal(path)
    with closing(sqlite3.connect(path)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    assert tables <= {"account"}


async def test_an_empty_file_is_ours(tmp_path):
    """A file of no bytes, as mktemp makes it, becomes the database."""
    path = tmp_path / "ledger.db"
    path.touch()
    store = SqliteStore(path)
    await store.open()
    await store.commit([cost("alice", 5)], 1)
    await store.close()


async def test_a_newer_schema_is_refused(path):
    """A file that a newer meterd wrote is refused with both versions, and is not changed."""
    change(path, "PRAGMA user_version = 9999")
    assert "schema version 9999" in await refusal(path)
    with closing(sqlite3.connect(path)) as connection:
        assert (9999,) == connection.execute("PRAGMA user_version").fetchone()


async def test_a_refusal_lets_go_of_the_lock(path):
    """A file that was refused can be opened as soon as the reason is gone."""
    with closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    change(path, "PRAGMA user_version = 9999")
    await refusal(path)
    change(path, f"PRAGMA user_version = {version}")
    store = SqliteStore(path)
    await store.open()
    assert -5 == (await store.account("alice")).balance_microcents
    await store.close()


async def test_a_file_in_use_is_refused(path):
    """A second store of the same file is refused with the process that holds it, until that one is closed."""
    first = SqliteStore(path)
    await first.open()
    text = await refusal(path)
    assert f"process {os.getpid()}" in text
    await first.commit([cost("alice", 5)], 1)
    await first.close()
    second = SqliteStore(path)
    await second.open()
    assert 2 == (await second.account("alice")).version
    await second.close()


async def test_a_reopened_store_still_holds_its_lock(path):
    """Reopening does not let another store in between."""
    first = SqliteStore(path)
    await first.open()
    await first.reopen()
    assert f"process {os.getpid()}" in await refusal(path)
    await first.close()


UNPRIVILEGED = """
import asyncio, os, sys
from meterd_server.store.sqlite import SqliteStore

async def use(place):
    store = SqliteStore(place)
    await store.open()
    await store.close()

asyncio.run(use(":memory:"))  # what is imported on the way may be unreadable later
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    asyncio.run(use(sys.argv[1]))
except Exception as error:
    print(type(error).__name__, error)
else:
    print("opened")
"""


def opened_unprivileged(path):
    """Return what comes of opening `path` in a process that permissions apply to."""
    process = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED, path], check=True, timeout=60, stdout=subprocess.PIPE, text=True
    )
    return process.stdout.strip()


@pytest.fixture
def public_folder():
    """Return a folder that every user can reach, unlike pytest's own."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)
        Path(folder).chmod(0o700)


@pytest.mark.parametrize("existing", [False, True], ids=["new file", "existing file"])
def test_a_read_only_folder_is_refused(public_folder, existing):
    """A folder in which nothing can be written is refused when the daemon starts."""
    path = public_folder / "ledger.db"
    if existing:
        path.touch()
    public_folder.chmod(0o555)
    assert opened_unprivileged(path).startswith(f"StartupError {path} cannot be used as a database")


def test_a_read_only_file_is_refused(public_folder):
    """A file that can be read but not written is refused when the daemon starts, not at the first cost."""
    path = public_folder / "ledger.db"
    assert "opened" == opened_unprivileged(path)
    path.chmod(0o444)
    answer = opened_unprivileged(path)
    assert answer.startswith(f"StartupError {path} cannot be used as a database")
    assert "readonly" in answer


async def test_the_pragmas_are_in_force(tmp_path):
    """Every connection logs ahead and syncs at every commit: an acknowledged change survives a power cut."""
    connections = []

    def connect(*args, **kwargs):
        connections.append(sqlite3.connect(*args, **kwargs))
        return connections[-1]

    store = SqliteStore(tmp_path / "ledger.db", connect=connect)
    await store.open()
    await store.commit([cost("alice", 5)], 1)
    assert ("wal", 2) == tuple(connections[0].execute(f"PRAGMA {name}").fetchone()[0] for name in SYNCED)
    assert {"wal"} == {one.execute("PRAGMA journal_mode").fetchone()[0] for one in connections}
    for reader in connections[1:]:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM entry")
    await store.close()


SYNCED = ("journal_mode", "synchronous")


async def test_tables_are_strict(path):
    """Every table refuses a value of another type: no amount can become text or a float."""
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'").fetchall()
        strict = {name: bool(flag) for name, flag in tables if not name.startswith("sqlite_")}
        assert {"entry": True, "account": True} == {name: strict[name] for name in ("entry", "account")}
        assert all(strict.values())
        for value in ("text", 1.5, 2.0**70):
            with pytest.raises(sqlite3.IntegrityError):
                connection.execute("UPDATE entry SET amount_microcents = ?", (value,))


async def test_a_closed_file_is_one_file(path):
    """After close everything is in the one file: no log is left that a copy could miss."""
    assert {path.name, f"{path.name}.lock"} == {file.name for file in path.parent.iterdir()}
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as connection:
        assert [(1, -5)] == connection.execute("SELECT version, balance_microcents FROM entry").fetchall()
        assert [(1, 5)] == connection.execute("SELECT version, spent_microcents FROM account").fetchall()


async def test_a_file_of_an_earlier_schema_is_brought_up_to_date(tmp_path):
    """What was recorded before there were reservations is there afterwards, and is built upon."""
    path = tmp_path / "meterd.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        for _, sql in migrations()[:2]:
            connection.executescript(sql)
        connection.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 2;")
        connection.execute("INSERT INTO user VALUES (1, 'alice')")
        connection.execute("INSERT INTO account VALUES (1, 1, 1, 0, 5, 7, 0)")
        connection.execute(
            "INSERT INTO entry VALUES (1, 1, 1, 0, 1, -5, -5, 'r', ?, NULL, NULL, NULL, 7, NULL, 0)",
            (fingerprint(cost("alice", 5, "r")),),
        )
        connection.commit()
    store = SqliteStore(path)
    await store.open()
    assert Account("alice", 1, 0, 5, 7) == await store.account("alice")
    again, reversed_ = await store.commit([cost("alice", 5, "r"), reverse("alice", 1)], 8)
    assert (True, 5, 0) == (again.replayed, reversed_.entry.amount_microcents, reversed_.account.balance_microcents)
    await store.close()

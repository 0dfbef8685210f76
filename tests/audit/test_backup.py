"""`meterd backup` and `meterd restore`: one whole file or none, verified, and nothing replaced that was not to be."""

import asyncio
import sqlite3
import stat

import pytest

from audit.files import execute
from audit.ledgers import MemoryLedger
from meterd_server.store.sqlite import SqliteStore, snapshot
from meterd_server.store.sqlite.schema import APPLICATION_ID, migrations
from meterd_server.store.sqlite.snapshot import SqliteSnapshot
from rules.commands import cost, funding


async def _contents(path):
    store = SqliteStore(path)
    await store.open()
    accounts = await store.users(None, 100)
    logs = {
        each.user_id: await store.entries(
            each.user_id, after_version=0, before_version=1000, newest_first=False, limit=1000
        )
        for each in accounts
    }
    await store.close()
    return {each.user_id: each for each in accounts}, logs


def contents(path):
    """Return the accounts and the entries in a ledger."""
    return asyncio.run(_contents(path))


def refused(result, code, text):
    """Say whether a command ended with this code and one line with this text."""
    assert (code, "", 1) == (result.exit_code, result.stdout, len(result.stderr.splitlines()))
    assert text in result.stderr


def test_there_and_back(run, ledger, tmp_path):
    """A ledger that was backed up and restored is the one it was, and is used like any other; only its owner can read it."""
    backup, restored = tmp_path / "backup.sqlite3", tmp_path / "new" / "restored.sqlite3"
    result = run("backup", backup, "--db", ledger)
    assert (0, "") == (result.exit_code, result.stderr)
    assert result.stdout.startswith(f"backed up {ledger} into {backup}, and verified: 2 users, 22 entries, ")
    result = run("restore", backup, "--db", restored)
    assert (0, "") == (result.exit_code, result.stderr)
    assert result.stdout.startswith(f"restored {backup} into {restored}, and verified: 2 users, 22 entries, ")
    assert 0o600 == stat.S_IMODE(backup.stat().st_mode) == stat.S_IMODE(restored.stat().st_mode)
    expected = MemoryLedger()
    assert (expected.accounts, expected.logs) == contents(restored) == contents(ledger)
    assert 0 == run("verify", "--db", backup).exit_code
    assert not [*tmp_path.rglob("*.partial*")]


def test_a_backup_is_one_file(run, ledger, tmp_path):
    """A backup needs no log beside it, and reading it makes none."""
    folder = tmp_path / "backups"
    folder.mkdir()
    assert 0 == run("backup", folder / "b", "--db", ledger).exit_code
    connection = sqlite3.connect(folder / "b")
    assert [("delete",)] == connection.execute("PRAGMA journal_mode").fetchall()
    connection.close()
    assert ["b"] == [each.name for each in folder.iterdir()]


def test_beside_a_daemon(run, ledger, tmp_path):
    """A backup is the ledger as it was when it began, whatever is committed meanwhile; the daemon's files are left alone."""
    backup = tmp_path / "backup.sqlite3"

    async def commit_between():
        store = SqliteStore(ledger)
        await store.open()
        await store.commit([cost("ada", 1, "before")], 1)
        seen = SqliteSnapshot(ledger, beside_daemon=True)
        await seen.open()
        loop = asyncio.get_running_loop()
        committed = 0

        def commit_one(_done, _total):
            nonlocal committed
            asyncio.run_coroutine_threadsafe(store.commit([cost("ada", 1), funding("new", 5)], 1), loop).result(20)
            committed += 1

        await seen.copy_to(backup, commit_one)
        await seen.close()
        assert committed
        assert 22 + committed == (await store.account("ada")).version
        await store.commit([cost("ada", 1)], 1)
        await store.close()

    asyncio.run(commit_between())
    assert run("verify", "--db", backup).stdout.startswith(f"{backup} adds up: 2 users, 23 entries, ")
    assert 0 == run("verify", "--db", ledger).exit_code


def test_a_damaged_ledger_is_not_backed_up(run, ledger, tmp_path):
    """A backup that does not add up is none: the difference is named, and what was there before stays."""
    backup = tmp_path / "backup.sqlite3"
    assert 0 == run("backup", backup, "--db", ledger).exit_code
    before = backup.read_bytes()
    execute(ledger, "UPDATE entry SET balance_microcents = 0 WHERE account_id = 1 AND version = 4")
    refused(run("backup", backup, "--db", ledger, "--force"), 1, "user 'ada', version 4: balance_microcents")
    assert before == backup.read_bytes()
    assert not [*tmp_path.glob("*.partial*")]


def test_nothing_is_replaced_unasked(run, ledger, tmp_path):
    """A file that is there stays, unless --force is given."""
    backup = tmp_path / "backup.sqlite3"
    backup.write_text("precious")
    refused(run("backup", backup, "--db", ledger), 3, f"{backup} is there already; --force replaces it")
    assert "precious" == backup.read_text()
    assert 0 == run("backup", backup, "--db", ledger, "--force").exit_code
    assert 0 == run("verify", "--db", backup).exit_code


def test_a_file_with_a_log_is_not_replaced(run, ledger, tmp_path):
    """A log beside the place would become part of what is put there: not even --force does that."""
    backup = tmp_path / "backup.sqlite3"
    (tmp_path / "backup.sqlite3-wal").write_bytes(b"x")
    refused(run("backup", backup, "--db", ledger, "--force"), 3, f"{backup}-wal is there")
    refused(run("restore", ledger, "--db", backup), 3, f"{backup}-wal is there without {backup}")
    assert not backup.exists()


def test_what_an_interrupted_backup_left(run, ledger, tmp_path):
    """A partial file of before is in nobody's way."""
    (tmp_path / "backup.sqlite3.partial").write_text("half")
    assert 0 == run("backup", tmp_path / "backup.sqlite3", "--db", ledger).exit_code
    assert not [*tmp_path.glob("*.partial*")]


def test_a_full_disk(run, ledger, tmp_path, monkeypatch):
    """What cannot be written is told with the reason, and leaves nothing."""

    def fail(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(snapshot, "_copy", fail)
    refused(run("backup", tmp_path / "b", "--db", ledger), 5, "b.partial cannot be written: database or disk is full")
    assert not [*tmp_path.glob("b*")]


@pytest.mark.parametrize("place", ["folder", "nowhere/backup"])
def test_where_no_file_can_be(run, ledger, tmp_path, place):
    """A folder, and a folder that is not there, are told in a line."""
    (tmp_path / "folder").mkdir()
    result = run("backup", tmp_path / place, "--db", ledger)
    assert result.exit_code in {3, 5}
    assert 1 == len(result.stderr.splitlines())


def test_a_damaged_backup_is_not_restored(run, ledger, tmp_path):
    """The difference is named, and there is no ledger then that could be taken for a whole one."""
    execute(ledger, "UPDATE account SET spent_microcents = 0 WHERE account_id = 2")
    refused(run("restore", ledger, "--db", tmp_path / "new.sqlite3"), 1, "user 'bob', version 1")
    assert {"ledger.sqlite3", "new.sqlite3.lock"} == {each.name for each in tmp_path.iterdir()}


def test_a_backup_of_an_older_schema(run, tmp_path):
    """It is brought up to date on its way; the backup stays as it is."""
    backup = tmp_path / "old.sqlite3"
    connection = sqlite3.connect(backup, isolation_level=None)
    for version, sql in migrations()[:2]:
        connection.executescript(f"{sql}\nPRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version};")
    connection.execute("INSERT INTO user VALUES (1, 'ada')")
    connection.execute("INSERT INTO entry VALUES (1, 1, 1, 0, 2, 100, 100, 'f', 5, NULL, NULL, NULL, 7, NULL, 0)")
    connection.execute("INSERT INTO account VALUES (1, 1, 1, 100, 0, 7, 0)")
    connection.close()
    before = backup.read_bytes()
    refused(run("verify", "--db", backup), 5, "has schema version 2")
    assert 0 == run("restore", backup, "--db", tmp_path / "new.sqlite3").exit_code
    assert "adds up: 1 user, 1 entry, " in run("verify", "--db", tmp_path / "new.sqlite3").stdout
    assert before == backup.read_bytes()


def test_a_ledger_is_not_restored_over(run, ledger, whole_ledger):
    """A database with anything in it is refused."""
    before = ledger.read_bytes()
    refused(run("restore", whole_ledger, "--db", ledger), 3, f"{ledger} is not empty")
    assert before == ledger.read_bytes()


def test_into_an_empty_ledger(run, ledger, tmp_path):
    """One that a daemon has made and nobody has used is empty."""
    empty = tmp_path / "empty.sqlite3"
    assert 0 == run("db", "init", "--db", empty).exit_code
    assert 0 == run("restore", ledger, "--db", empty).exit_code
    assert MemoryLedger().accounts == contents(empty)[0]


def test_into_a_daemons_ledger(run, ledger, tmp_path):
    """Nothing is put into the place of a file that a daemon has."""
    target = tmp_path / "target.sqlite3"

    async def restore():
        store = SqliteStore(target)
        await store.open()
        result = await asyncio.to_thread(run, "restore", ledger, "--db", target)
        await store.close()
        return result

    refused(asyncio.run(restore()), 5, "is held by another meterd")


def test_from_a_ledger_in_use(run, ledger, tmp_path):
    """A file with a log is more than the file: it is to be backed up first."""
    (tmp_path / "ledger.sqlite3-wal").write_bytes(b"x")
    refused(run("restore", ledger, "--db", tmp_path / "new.sqlite3"), 3, "the file is in use as a ledger")


def test_what_is_no_backup(run, tmp_path):
    """Another application's database, or none, is not restored."""
    execute(tmp_path / "other", "CREATE TABLE t (x)", "INSERT INTO t VALUES (1)")
    for name in ("other", "none"):
        result = run("restore", tmp_path / name, "--db", tmp_path / "new.sqlite3")
        assert (5, 1) == (result.exit_code, len(result.stderr.splitlines()))
        assert not (tmp_path / "new.sqlite3").exists()

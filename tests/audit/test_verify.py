"""`meterd verify --db` on SQLite files that somebody, or something, has changed."""

import asyncio
import json
import os

import pytest

from audit.files import execute, make_file
from meterd_server.store.sqlite import SqliteStore
from rules.commands import cost

DAMAGES = {
    "balance": (
        ["UPDATE entry SET balance_microcents = balance_microcents + 1 WHERE account_id = 1 AND version = 4"],
        "user 'ada', version 4: balance_microcents: expected 1150, stored 1151",
    ),
    "amount": (
        ["UPDATE entry SET amount_microcents = 0 WHERE account_id = 2"],
        "user 'bob', version 1: balance_microcents: expected 0, stored -7",
    ),
    "record time": (
        ["UPDATE entry SET record_time_us = 1 WHERE account_id = 1 AND version = 9"],
        "user 'ada', version 9: record time in microseconds: expected above ",
    ),
    "residue": (
        ["UPDATE entry SET residue_picocents = -1 WHERE account_id = 1 AND version = 5"],
        "user 'ada', version 5: residue_picocents: expected 0 to 999999, stored -1",
    ),
    "residue of the account": (
        ["UPDATE account SET residue_picocents = 1 WHERE account_id = 1"],
        "user 'ada', version 21: residue_picocents of the account: expected 700000, stored 1",
    ),
    "spent": (
        ["UPDATE account SET spent_microcents = spent_microcents - 1 WHERE account_id = 1"],
        "user 'ada', version 21: balance_microcents: funded - spent - lapsed: expected 1158, stored 1159",
    ),
    "what an account has more": (
        ["UPDATE account SET more = NULL WHERE account_id = 1"],
        "user 'ada', version 21: balance_microcents: funded - spent - lapsed: expected 1158, stored 1308",
    ),
    "a gap": (
        [
            "UPDATE entry SET version = version + 1 WHERE account_id = 1 AND version = 21",
            "UPDATE account SET version = version + 1 WHERE account_id = 1",
        ],
        "user 'ada', version 22: version of the next entry: expected 21, stored 22",
    ),
    "a lost entry": (
        ["DELETE FROM entry WHERE account_id = 1 AND version = 10"],
        "user 'ada', version 11: version of the next entry: expected 1, stored 11",
    ),
    "a lost account": (
        ["DELETE FROM account WHERE account_id = 2"],
        "entries in the database: the sum of all versions: expected 21, stored 22",
    ),
    "an entry of nobody": (
        [
            "INSERT INTO entry SELECT 99, 7, 1, 0, kind, 0, 0, 'x', 0, NULL, NULL, NULL, 1, NULL, 0, NULL FROM entry LIMIT 1"
        ],
        "entries in the database: the sum of all versions: expected 22, stored 23",
    ),
    "a request id twice": (
        ["DROP INDEX entry_request", "UPDATE entry SET request_id = 'c1' WHERE account_id = 1 AND version = 21"],
        "user 'ada', version 21: a request id that no earlier entry has: expected a new one, stored c1",
    ),
    "no index of request ids": (["DROP INDEX entry_request"], "entry_request is not as the schema has it"),
    "an open reservation": (
        ["UPDATE reservation SET held_microcents = 0 WHERE reservation_id = 'r4'"],
        "user 'ada', version 9: reservation 'r4', as it is kept: expected Reservation(",
    ),
    "an ended reservation": (
        ["UPDATE reservation SET state = 1 WHERE reservation_id = 'r1'"],
        "user 'ada', version 6: reservation 'r1', as it is kept: expected Reservation(",
    ),
    "a lost reservation": (
        ["DELETE FROM reservation WHERE reservation_id = 'r3'"],
        "user 'ada', version 8: reservation 'r3', as it is kept: expected Reservation(",
    ),
    "a reservation of nothing": (
        ["INSERT INTO reservation SELECT 'r9', 2, 1, 1, 5, 5, 0, 0, 0, 1, 0, ''"],
        "reservations in the database: as many as were made: expected 4, stored 5",
    ),
    "how much is reversed": (
        ["UPDATE reversal SET reversed_microcents = 349 WHERE version = 4"],
        "user 'ada', version 4: how much of entry 4 is reversed, as it is kept: expected 350, stored 349",
    ),
    "a lost reversal": (
        ["DELETE FROM reversal WHERE version = 1"],
        "user 'ada', version 1: how much of entry 1 is reversed, as it is kept: expected 5, stored None",
    ),
    "a reversal of nothing": (
        ["INSERT INTO reversal VALUES (2, 1, 7)"],
        "entries with a reversal in the database: as many as were reversed: expected 2, stored 3",
    ),
    "when a grant lapses": (
        ["UPDATE grant_due SET expire_time_us = 1"],
        "user 'ada', version 3: when grant 3 lapses, as it is kept: expected 1800000090000000, stored 1",
    ),
    "a grant that never lapses": (
        ["DELETE FROM grant_due"],
        "user 'ada', version 3: when grant 3 lapses, as it is kept: expected 1800000090000000, stored None",
    ),
    "a grant of nothing": (
        ["INSERT INTO grant_due VALUES (2, 1, 5)"],
        "grants in the database that are to lapse: as many as stand: expected 1, stored 2",
    ),
    "what cannot be read": (
        ["UPDATE entry SET more = '[' WHERE account_id = 1 AND version = 4"],
        "user 'ada', version 1: the entries from that one on: expected readable, stored StoreUnavailable: Expecting value: line 1",
    ),
    "what makes no sense": (
        ['UPDATE entry SET more = \'{"draws": [[2, "x"]]}\' WHERE account_id = 1 AND version = 4'],
        "user 'ada', version 4: the entry: expected one that can be understood, stored ",
    ),
    "a kind that is none": (
        ["UPDATE entry SET kind = 77 WHERE account_id = 2"],
        "user 'bob', version 1: the entries from that one on: expected readable, stored StoreUnavailable: 77 is not",
    ),
    "an account that cannot be read": (
        ["UPDATE account SET more = '[1]' WHERE account_id = 2"],
        "what can be read of the database: expected everything, stored ",
    ),
}


def test_a_whole_ledger(run, ledger):
    """Exit code 0 and how much there is, for people and for programs; and the file is as it was, to the byte."""
    before = ledger.read_bytes()
    result = run("verify", "--db", ledger)
    assert (0, "") == (result.exit_code, result.stderr)
    assert result.stdout.startswith(f"{ledger} adds up: 2 users, 22 entries, ")
    told = json.loads(run("verify", "--db", ledger, "--json").stdout)
    assert {"users": "2", "entries": "22"} == {key: told[key] for key in ("users", "entries")}
    assert before == ledger.read_bytes()
    assert {ledger.name, f"{ledger.name}.lock"} == {each.name for each in ledger.parent.iterdir()}


@pytest.mark.parametrize(("statements", "text"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_ledger(run, ledger, statements, text):
    """Exit code 1, and one line that names the first difference."""
    execute(ledger, *statements)
    result = run("verify", "--db", ledger)
    assert (1, "", 1) == (result.exit_code, result.stdout, len(result.stderr.splitlines()))
    assert text in result.stderr


def test_a_damaged_page(run, ledger):
    """Bytes that are not SQLite's any more are found, wherever they are."""
    pages = ledger.stat().st_size // 4096
    whole = ledger.read_bytes()
    found = []
    for page in range(1, pages):
        ledger.write_bytes(whole[: page * 4096] + os.urandom(4096) + whole[(page + 1) * 4096 :])
        result = run("verify", "--db", ledger)
        found.append((page, result.exit_code, len(result.stderr.splitlines())))
    assert [(page, 1, 1) for page in range(1, pages)] == found


def test_after_a_crash(run, tmp_path):
    """What a killed daemon leaves adds up too, account rows that lag behind and a log that was not copied; and stays as it was."""
    path = tmp_path / "crashed.sqlite3"

    async def crash():
        store = SqliteStore(tmp_path / "running.sqlite3")
        await store.open()
        for number in range(200):
            await store.commit([cost("ada", number), cost(f"u{number}", 1)], number)
        for ending in ("", "-wal"):
            path.with_name(path.name + ending).write_bytes((tmp_path / f"running.sqlite3{ending}").read_bytes())
        await store.close()

    asyncio.run(crash())
    before = [path.read_bytes(), path.with_name(f"{path.name}-wal").read_bytes()]
    assert run("verify", "--db", path).stdout.startswith(f"{path} adds up: 201 users, 400 entries, ")
    assert before == [path.read_bytes(), path.with_name(f"{path.name}-wal").read_bytes()]


def test_a_daemon_has_it(run, ledger):
    """A file that a daemon has is not looked at; it says how to ask the daemon."""

    async def verify():
        store = SqliteStore(ledger)
        await store.open()
        result = await asyncio.to_thread(run, "verify", "--db", ledger)
        await store.close()
        return result

    result = asyncio.run(verify())
    expected = f"meterd: a daemon has {ledger} (process {os.getpid()}): meterd verify --address asks it\n"
    assert (5, expected) == (result.exit_code, result.stderr)


@pytest.mark.parametrize("content", [None, b"", b"no database", "other"])
def test_what_is_no_ledger(run, tmp_path, content):
    """What is not there, or something else, is told, and nothing is made of it."""
    path = tmp_path / "x.sqlite3"
    if content == "other":
        execute(path, "CREATE TABLE t (x)", "INSERT INTO t VALUES (1)")
    elif content is not None:
        path.write_bytes(content)
    before = path.read_bytes() if path.exists() else None
    result = run("verify", "--db", path)
    assert result.exit_code in {1, 5}
    assert 1 == len(result.stderr.splitlines())
    assert before == (path.read_bytes() if path.exists() else None)


def test_an_older_schema(run, ledger):
    """A file that has to be brought up to date first says so."""
    execute(ledger, "PRAGMA user_version = 1")
    result = run("verify", "--db", ledger)
    assert 5 == result.exit_code
    assert f"meterd db init --db {ledger} brings it up to date" in result.stderr


def test_both_places(run, ledger):
    """A database and a daemon are not verified at once."""
    assert 2 == run("verify", "--db", ledger, "--address", "127.0.0.1:1").exit_code


def test_memory_of_many_users(run, tmp_path):
    """Users on more pages than one, each looked at once."""
    path = tmp_path / "many.sqlite3"
    asyncio.run(make_file(path, [(0, cost(f"user {number}", 1)) for number in range(100)]))
    assert "adds up: 100 users, 100 entries" in run("verify", "--db", path).stdout

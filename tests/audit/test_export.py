"""`meterd export --db`: every entry once, exact, as JSON Lines or CSV."""

import csv
import io
import json

import pytest

from audit.ledgers import MemoryLedger


def rows(result):
    """Return the objects that a command printed."""
    assert (0, "") == (result.exit_code, result.stderr)
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_every_entry(run, ledger):
    """Each user's entries, oldest first, with amounts that no JSON reader rounds."""
    told = rows(run("export", "--db", ledger))
    logs = MemoryLedger().logs
    names = ("user_id", "version", "amount_microcents", "balance_microcents", "request_id", "service")
    expected = [[str(getattr(entry, name)) for name in names] for entry in (*logs["ada"], *logs["bob"])]
    assert expected == [[row[name] for name in names] for row in told]
    assert {"service": "s", "model": "m", "quantities": {"tokens": "3"}} == told[4]["usage"]


def test_some_users(run, ledger):
    """Those that are named, in that order; one without entries has none."""
    told = rows(run("export", "--db", ledger, "--user", "bob", "--user", "eve", "--user", "ada"))
    assert ["bob", *["ada"] * 21] == [row["user_id"] for row in told]


def test_csv_says_the_same(run, ledger):
    """CSV has a line of names, and what has parts of its own as JSON."""
    told = rows(run("export", "--db", ledger))
    result = run("export", "--db", ledger, "--format", "csv")
    read = [*csv.DictReader(io.StringIO(result.stdout))]
    assert [*told[0]] == [*read[0]]
    for row, line in zip(told, read, strict=True):
        assert {name: _cell(value) for name, value in row.items()} == line


def _cell(value):
    if isinstance(value, dict | list | bool):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else value


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_into_a_file(run, ledger, tmp_path, form):
    """A file holds what is printed otherwise, is there whole or not at all, and replaces nothing unasked."""
    file = tmp_path / "entries"
    printed = run("export", "--db", ledger, "--format", form).stdout
    result = run("export", file, "--db", ledger, "--format", form)
    assert (0, f"exported into {file}\n", "") == (result.exit_code, result.stdout, result.stderr)
    assert printed == file.read_text(encoding="utf-8")
    result = run("export", file, "--db", ledger)
    assert (3, f"meterd: {file} is there already; --force replaces it\n") == (result.exit_code, result.stderr)
    assert 0 == run("export", file, "--db", ledger, "--force").exit_code
    assert not [*tmp_path.glob("*.partial*")]


def test_of_nothing(run, tmp_path):
    """A database that is not there is told, and no file is left."""
    result = run("export", tmp_path / "entries", "--db", tmp_path / "none")
    assert (5, f"meterd: there is no file {tmp_path / 'none'}\n") == (result.exit_code, result.stderr)
    assert [] == [*tmp_path.iterdir()]

"""The report is one table, whoever runs what: every row has every cell, and a run replaces its own rows only."""

from collections import Counter

import pytest

from prove.__main__ import REPORT
from prove.proofs import Tally, all_proofs
from prove.report import COLUMNS, Ran, write

NAMES = {"kill", "fill", "note"}


def ran(name, *kinds, notes=(), **more):
    """A proof that was run, and survived each kind of fault once."""
    return Ran(name, f"what {name} is", Tally(Counter(kinds), Counter(kinds), dict.fromkeys(notes), **more), 1.0)


def cells(path):
    """The rows of a report without its head, as lists of cells."""
    lines = [line for line in path.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "---" not in line][1:]


def kinds(path):
    """The proofs' names and kinds of fault, in order."""
    return [(row[0], row[2]) for row in cells(path)]


@pytest.fixture
def path(tmp_path):
    """Return where a report is, of two proofs, one of which has something to note."""
    path = tmp_path / "REPORT.md"
    write(path, [ran("kill", "SIGKILL", "SIGTERM"), ran("note", "a stall", "b stall", notes=["a|b", "c"])], NAMES)
    return path


def test_every_row_has_every_cell(path):
    """Also one that has nothing to note, and after it was read and written again."""
    for _ in range(3):
        assert {len(COLUMNS)} == {len(row) for row in cells(path)}
        assert ["", "", "a/b; c", ""] == [row[-1] for row in cells(path)]
        write(path, [], NAMES)


def test_a_run_replaces_its_own_rows(path):
    """Those of the other proofs stay, and those of proofs that there are no more go."""
    write(path, [ran("fill", "ENOSPC"), ran("kill", "SIGKILL")], NAMES)
    assert [("fill", "ENOSPC"), ("kill", "SIGKILL"), ("note", "a stall"), ("note", "b stall")] == kinds(path)
    write(path, [], NAMES - {"kill"})
    assert [("fill", "ENOSPC"), ("note", "a stall"), ("note", "b stall")] == kinds(path)
    assert "3 faults injected, 3 survived" in path.read_text()


def test_what_cannot_be_run_here(path):
    """It keeps the rows that it has from a machine on which it can, and has one that says why if there are none."""
    write(path, [ran("kill", not_here="no signals"), ran("fill", not_here="no such disk")], NAMES)
    assert [
        ("fill", "not run here: no such disk"),
        ("kill", "SIGKILL"),
        ("kill", "SIGTERM"),
        ("note", "a stall"),
        ("note", "b stall"),
    ] == kinds(path)


def test_a_row_that_lacks_a_cell_is_mended(path):
    """An empty last cell was lost by earlier versions of this."""
    path.write_text(path.read_text().replace(" |  |\n", " |\n"))
    write(path, [], NAMES)
    assert {len(COLUMNS)} == {len(row) for row in cells(path)}


def test_the_report_that_is_kept():
    """Every row of REPORT.md has every cell and belongs to a proof that there is."""
    rows = cells(REPORT)
    assert {len(COLUMNS)} == {len(row) for row in rows}
    assert {row[0] for row in rows} <= all_proofs().keys()

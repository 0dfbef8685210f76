"""What was injected and survived, as a table on the screen and as the file that stays in the repository."""

from __future__ import annotations

import platform
import sqlite3
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from prove.proofs import Tally

COLUMNS = ("proof", "what is broken", "fault", "injected", "survived", "seconds", "on", "notes")
ON_SCREEN = ("proof", "fault", "injected", "survived", "seconds")
_BEGIN = """# What was survived

Written by `make prove` (`PROVE=long make prove` for the long one); a run of some proofs replaces their rows and leaves the others.
*Injected* is how often a fault was made to happen, *survived* how often every promise held afterwards: nothing acknowledged is
lost, nothing is there twice, every batch is whole or absent, and every account is what its entries come to.

"""


class Ran(NamedTuple):
    """A proof that was run."""

    name: str
    what: str
    tally: Tally
    seconds: float


def table(results: list[Ran]) -> Table:
    """The results as a person reads them in a terminal."""
    shown = Table(title="Faults injected and survived")
    for column in ON_SCREEN:
        shown.add_column(column, justify="right" if column in ("injected", "survived", "seconds") else "left")
    for ran in results:
        for row in rows(ran):
            shown.add_row(
                *(row[COLUMNS.index(column)] for column in ON_SCREEN), style=None if ran.tally.held else "red"
            )
        shown.add_section()
    return shown


def rows(ran: Ran) -> list[tuple[str, ...]]:
    """A row for each kind of fault; what was noted is in the first."""
    on = f"{datetime.now(UTC):%Y-%m-%d}"
    seconds = f"{ran.seconds:,.0f}"
    notes = "; ".join(ran.tally.notes)
    if ran.tally.not_here and not ran.tally.injected:
        return [(ran.name, ran.what, f"not run here: {ran.tally.not_here}", "0", "0", seconds, on, notes)]
    return [
        (
            ran.name,
            ran.what,
            kind,
            f"{injected:,}",
            f"{ran.tally.survived[kind]:,}",
            seconds,
            on,
            "" if place else notes,
        )
        for place, (kind, injected) in enumerate(sorted(ran.tally.injected.items()))
    ]


def write(path: Path, results: list[Ran], names: set[str]) -> None:
    """Replace the rows of what was run, keep those of the other proofs that there are, and say with what it ran.

    What cannot be run here keeps the rows that it has from where it can.
    """
    before = [row for row in _read(path) if row[0] in names]
    known = {row[0] for row in before}
    ran_here = [ran for ran in results if ran.tally.injected or ran.name not in known]
    kept = [row for row in before if row[0] not in {ran.name for ran in ran_here}]
    all_rows = sorted([*kept, *(row for ran in ran_here for row in rows(ran))])
    lines = [_line(COLUMNS), "|" + "---|" * len(COLUMNS), *map(_line, all_rows)]
    injected, survived = (sum(int(row[at].replace(",", "")) for row in all_rows) for at in (3, 4))
    machine = (
        f"meterd {version('meterd')}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"{platform.system()} on {platform.machine()}."
    )
    total = f"{injected:,} faults injected, {survived:,} survived. Last run with {machine}"
    path.write_text(_BEGIN + "\n".join(lines) + f"\n\n{total}\n", encoding="utf-8")


def _read(path: Path) -> list[tuple[str, ...]]:
    if not path.exists():
        return []
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("| ")][1:]
    found = [[cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")] for line in lines]
    return [(*row, *[""] * (len(COLUMNS) - len(row))) for row in found]


def _line(row: Sequence[str]) -> str:
    """A row of the table; an empty cell is one as well."""
    return f"| {' | '.join(cell.replace('|', '/').strip() for cell in row)} |"

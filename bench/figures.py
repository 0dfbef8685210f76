"""From rounds to figures: medians, ratios round by round, and how they are shown."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from bench.servers import Measured


class Ratio(NamedTuple):
    """One figure over its yardstick's, of each round, and what it should reach."""

    what: str
    rounds: Sequence[float]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def median(self) -> float:
        """The figure to quote."""
        return statistics.median(self.rounds)

    @property
    def aim(self) -> str:
        """What it should be."""
        return (
            f"≥ {self.at_least:.3g}" if self.at_least is not None else f"≤ {self.at_most:.3g}" if self.at_most else ""
        )

    @property
    def reached(self) -> str:
        """Whether it is, in a word; none where nothing is aimed at."""
        if not self.aim:
            return ""
        is_reached = (self.at_least is None or self.median >= self.at_least) and (
            self.at_most is None or self.median <= self.at_most
        )
        return "yes" if is_reached else "no"


class Row(NamedTuple):
    """One server under one load: the rounds it took."""

    what: str
    server: str
    rounds: Sequence[Measured]

    def median(self, field: str) -> float:
        """The median of one figure."""
        return statistics.median(getattr(each, field) for each in self.rounds)


class Report:
    """What has been measured so far."""

    def __init__(self) -> None:
        self.ratios: list[Ratio] = []
        self.rows: list[Row] = []
        self.notes: list[str] = []

    def add(self, rows: Iterable[Row], *ratios: Ratio) -> None:
        """Add figures, and show the ratios at once."""
        self.rows += rows
        for ratio in ratios:
            self.ratios.append(ratio)
            print(
                f"  {ratio.median:6.2f} x  {ratio.what}  ({min(ratio.rounds):.2f} to {max(ratio.rounds):.2f}; {ratio.aim})"
            )

    def note(self, text: str) -> None:
        """Add a sentence, and show it."""
        self.notes.append(text)
        print(f"  {text}")

    def show(self) -> None:
        """Print the tables."""
        for title, table in self._tables():
            shown = Table(title=title, title_justify="left", box=None, pad_edge=False)
            for place, column in enumerate(table[0]):
                shown.add_column(column, justify="right" if place > 1 else "left")
            for row in table[1:]:
                shown.add_row(*row)
            Console(width=130).print(shown)

    def markdown(self, command: str) -> str:
        """The whole report: ratios first, then a plot of them, then every figure."""
        parts = ["# What was measured", f"`{command}` on {machine()}, {datetime.now(UTC):%Y-%m-%d}."]
        for title, table in self._tables():
            lines = ["| " + " | ".join(row) + " |" for row in table]
            ruler = "|" + "".join("---|" if place < 2 else "---:|" for place in range(len(table[0])))
            parts += [f"## {title}", "\n".join([lines[0], ruler, *lines[1:]])]
            if table is self._ratio_table:
                parts.append(self._plot())
        return "\n\n".join([*parts, *self.notes]) + "\n"

    def _tables(self) -> list[tuple[str, list[list[str]]]]:
        self._ratio_table = [["ratio of medians, round by round", "aim", "median", "lowest", "highest", "reached"]] + [
            [
                ratio.what,
                ratio.aim,
                f"{ratio.median:.2f}",
                f"{min(ratio.rounds):.2f}",
                f"{max(ratio.rounds):.2f}",
                ratio.reached,
            ]
            for ratio in self.ratios
        ]
        figures = [
            ["load", "server", "operations/s", "p50 ms", "p99 ms", "CPU µs each", "resident MB", "load's CPU"]
        ] + [
            [
                row.what,
                row.server,
                f"{row.median('per_second'):,.0f}",
                f"{row.median('p50_ms'):.2f}",
                f"{row.median('p99_ms'):.2f}",
                f"{row.median('processor_us'):.1f}",
                f"{row.median('megabytes'):.0f}",
                f"{row.median('load_share'):.0%}",
            ]
            for row in self.rows
        ]
        return [("Ratios", self._ratio_table), ("Figures", figures)]

    def _plot(self) -> str:
        names = ", ".join(f'"{number}"' for number in range(1, len(self.ratios) + 1))
        values = ", ".join(f"{ratio.median:.2f}" for ratio in self.ratios)
        return (
            "```mermaid\nxychart-beta\n"
            '  title "Ratios, in the order of the table"\n'
            f'  x-axis [{names}]\n  y-axis "times the yardstick"\n  bar [{values}]\n```'
        )


def machine() -> str:
    """What the figures were taken on."""
    return f"{platform.platform()}, Python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores"

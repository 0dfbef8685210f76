"""The command that makes a file of rate cards of another project's prices, and says what it took and what not, and why."""

from __future__ import annotations

import re
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from meterd_server.cli.cards import refused
from meterd_server.cli.output import count, new_table, print_json, say, show
from meterd_server.cli.session import JsonOption
from meterd_server.rate_files import Imported, Problem, RateFileError, Skipped, render_cards
from meterd_server.rate_files.genai_prices import import_genai_prices
from meterd_server.rate_files.litellm import import_litellm
from meterd_server.rate_files.models_dev import import_models_dev

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_US_PER_SECOND = 1_000_000
_VARIABLE = re.compile(r"'[^']*'|\"[^\"]*\"|[0-9]+")


class Source(StrEnum):
    """Whose prices."""

    GENAI_PRICES = "genai-prices"
    LITELLM = "litellm"
    MODELS_DEV = "models-dev"


@dataclass(frozen=True)
class Report:
    """What became of an import, as --json prints it."""

    source: str
    card_count: int
    services: dict[str, int]
    """Cards by service."""
    skipped: list[dict[str, str]]
    """The name of each thing that was skipped, and why."""
    output: str


def import_(
    source: Annotated[Source, typer.Argument(metavar="SOURCE", help="genai-prices, litellm or models-dev.")],
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="What was downloaded: genai-prices' data.json (without it, the installed package's), LiteLLM's "
            "model_prices_and_context_window.json, or the folder of models.dev.",
            show_default=False,
        ),
    ] = None,
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="The TOML file to write. Default: none, only the report."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there already.")] = False,
    service: Annotated[
        list[str] | None, typer.Option("--service", metavar="NAME", help="Only of this service; may be repeated.")
    ] = None,
    effective: Annotated[
        datetime | None,
        typer.Option(
            metavar="DATE",
            formats=["%Y-%m-%d"],
            help="From when on the prices are valid (UTC). Default: since ever, or what the source says.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make rate cards of another project's prices.

    It reads a file and writes one; nothing is fetched, and nothing loaded. Look the file over, then `meterd prices load` it.

    A price that a card cannot say exactly is skipped, never rounded; the report says what was, and why. To import prices that have
    changed, give the date of the change as --effective.
    """
    effective_from_us = 0 if effective is None else int(effective.replace(tzinfo=UTC).timestamp()) * _US_PER_SECOND
    try:
        with _progress(source) as progress:
            imported = _read(source, path, effective_from_us, progress)
        if service:
            imported = _only(imported, service)
        if output is not None:
            _write(output, imported, source, force=force)
    except RateFileError as error:
        raise refused(error, as_json=as_json) from None
    services = Counter(card.service for card in imported.cards)
    if as_json:
        skipped = [each._asdict() for each in imported.skipped]
        print_json(Report(source.value, len(imported.cards), dict(services), skipped, str(output or "")))
        return
    written = f", written to {output}" if output else "; nothing is written without --output"
    say(f"{source}: {count(len(imported.cards), 'card')} for {count(len(services), 'service')}{written}")
    _show_skipped(imported.skipped)


def _read(source: Source, path: Path | None, effective_from_us: int, progress: Callable[[int, int], None]) -> Imported:
    if source is Source.GENAI_PRICES:
        return import_genai_prices(path, effective_from_us=effective_from_us, progress=progress)
    if path is None:
        raise typer.BadParameter(f"{source} needs a file", param_hint="'FILE'")
    read = import_litellm if source is Source.LITELLM else import_models_dev
    return read(path, effective_from_us=effective_from_us, progress=progress)


def _only(imported: Imported, services: Sequence[str]) -> Imported:
    """What is of these services; what was skipped says its service only in its name, if at all."""
    return Imported(
        tuple(card for card in imported.cards if card.service in services),
        tuple(each for each in imported.skipped if each.name.partition("/")[0] in services),
    )


def _write(output: Path, imported: Imported, source: Source, *, force: bool) -> None:
    """Write the cards. Raises `RateFileError` when it cannot be, or a file would be lost."""
    head = f"# {len(imported.cards)} cards imported from {source} by meterd prices import.\n\n"
    try:
        with output.open("w" if force else "x", encoding="utf-8") as file:
            file.write(head + render_cards(imported.cards))
    except FileExistsError:
        raise RateFileError([Problem(str(output), 1, "is there already; --force replaces it")]) from None
    except OSError as error:
        raise RateFileError([Problem(str(output), 1, f"cannot be written: {error.strerror}")]) from None


def _show_skipped(skipped: Sequence[Skipped]) -> None:
    """A line for each kind of reason: how often, and the first that it is true of."""
    counts = Counter(_kind(each.reason) for each in skipped)
    if not counts:
        return
    table = new_table("skipped", "why", "such as", numeric=("skipped",))
    for kind, times in counts.most_common():
        example = next(each for each in skipped if _kind(each.reason) == kind)
        table.add_row(f"{times:,}", example.reason if times == 1 else kind, example.name)
    show(table)
    say("--json names them all")


def _kind(reason: str) -> str:
    """A reason without what differs from one case to the next."""
    return _VARIABLE.sub("…", reason.partition(": ")[0])


@contextmanager
def _progress(source: Source) -> Iterator[Callable[[int, int], None]]:
    """Yield what shows how far an import is: a bar on stderr if that is a terminal, else nothing."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"reading {source}", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)

"""The commands for a ledger as a whole: verify, backup, restore."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from meterd_server import backups
from meterd_server.audit import Difference, DifferenceError, Summary, audit_ledger
from meterd_server.cli.bars import Bars
from meterd_server.cli.live import LiveLedger
from meterd_server.cli.offline import DbOption, ReadDbOption, finished, given_place, place_of
from meterd_server.cli.output import count, print_json, say
from meterd_server.cli.session import (
    DEFAULT_ADDRESS,
    DEFAULT_TIMEOUT_SECONDS,
    AddressOption,
    JsonOption,
    Target,
    TimeoutOption,
)
from meterd_server.store.engines import shown


def verify(
    context: typer.Context,
    *,
    db: ReadDbOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
    as_json: JsonOption = False,
) -> None:
    """Check that a ledger adds up: every account is rebuilt from its entries, and every rule is checked.

    It asks the daemon, or reads the database itself with --db. Exits 0, or 1 with the first difference: whose, at which version,
    what was expected and what is stored.
    """
    started = time.monotonic()
    place = given_place(context, db)
    what = f"the ledger at {address}" if place is None else shown(place)
    if place is None:
        with Bars() as bars, Target(context, address, timeout, as_json).reporting():
            summary = finished(_verify_live(address, timeout, bars.bar("checking", None)))
    else:
        with Bars() as bars:
            summary = finished(backups.audit(place, bars))
    _report(f"{what} adds up", summary, started, as_json)


async def _verify_live(address: str, timeout_seconds: float, advance: Callable[[int], None]) -> Summary:
    async with LiveLedger(address, timeout_seconds) as ledger:
        summary = await audit_ledger(ledger, advance, is_whole=False)
        if await ledger.reports_drift():
            raise DifferenceError(
                Difference("", 0, "what the daemon found by itself", "no drift", "drift; see its log")
            )
        return summary


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup to write.", show_default=False)],
    *,
    db: DbOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a ledger into one file, as it is now, and verify what was written.

    Daemons go on meanwhile. FILE is a ledger of its own, whichever database it is from: meterd restore puts it back, and meterd
    verify --db FILE checks it again.
    """
    started = time.monotonic()
    place = place_of(db)
    with Bars() as bars:
        summary = finished(backups.backup(place, file, bars, force=force))
    _report(f"backed up {shown(place)} into {file}, and verified", summary, started, as_json)


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What meterd backup wrote.", show_default=False)],
    *,
    db: DbOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a backup into an empty database, and verify what was written.

    A database that holds anything is refused.
    """
    started = time.monotonic()
    place = place_of(db)
    with Bars() as bars:
        summary = finished(backups.restore(file, place, bars))
    _report(f"restored {file} into {shown(place)}, and verified", summary, started, as_json)


def _report(done: str, summary: Summary, started: float, as_json: bool) -> None:
    seconds = time.monotonic() - started
    if as_json:
        print_json({"users": summary.users, "entries": summary.entries, "seconds": f"{seconds:.1f}"})
        return
    entries = f"{summary.entries:,} entr{'y' if summary.entries == 1 else 'ies'}"
    say(f"{done}: {count(summary.users, 'user')}, {entries}, {seconds:.1f} s")

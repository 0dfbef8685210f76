"""The command that writes entries out: JSON Lines or CSV, a page at a time, whatever the ledger's size."""

import csv
import io
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

import meterd
from meterd._convert import entry_from
from meterd.v1 import account_pb2
from meterd_server.cli.bars import Bars
from meterd_server.cli.exits import Exit
from meterd_server.cli.live import LiveLedger
from meterd_server.cli.offline import ReadDbOption, finished, given_place
from meterd_server.cli.output import complain, jsonable, say
from meterd_server.cli.session import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS, AddressOption, Target, TimeoutOption
from meterd_server.files import InTheWayError, must_be_free, put_in_place, written
from meterd_server.model import Entry
from meterd_server.rpc import encode
from meterd_server.store.engines import make_snapshot
from meterd_server.store.reading import Readable, opened, page_of, pages


class Format(StrEnum):
    """What an entry is written as."""

    JSONL = "jsonl"
    CSV = "csv"


_Write = Callable[[Iterable[meterd.Entry]], None]
_COLUMNS = [field.name for field in fields(meterd.Entry)]


def export(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Where to. Default: standard output.", show_default=False)
    ] = None,
    *,
    user: Annotated[
        list[str] | None, typer.Option(metavar="USER", help="Only this user's; may be repeated.", show_default=False)
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="JSON Lines, or CSV with a line of names.")] = Format.JSONL,
    db: ReadDbOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
) -> None:
    """Write out entries, each user's oldest first.

    They are what `meterd entries --json` prints, every field exact. In CSV, what has parts of its own is JSON.
    """
    place = given_place(context, db)
    with Bars() as bars, Target(context, address, timeout, as_json=False).reporting():
        if place is None:
            source: AbstractAsyncContextManager[Readable] = LiveLedger(address, timeout)
        else:
            source = opened(make_snapshot(place, beside_daemon=True))
        advance = bars.bar("exporting", None)
        try:
            if file is None:
                finished(_export(source, user, _writer(form, sys.stdout.buffer), advance))
                sys.stdout.buffer.flush()
            else:
                _export_to(file, form, lambda write: finished(_export(source, user, write, advance)), force=force)
                say(f"exported into {file}")
        except BrokenPipeError:
            # Whoever reads has seen enough. What is left in the buffer has nowhere to go.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(Exit.NOT_COVERED) from None


def _export_to(file: Path, form: Format, run: Callable[[_Write], None], *, force: bool) -> None:
    try:
        must_be_free(file, force=force)
        with written(file) as partial:
            with partial.open("wb") as target:
                run(_writer(form, target))
            put_in_place(partial, file)
    except InTheWayError as error:
        complain(str(error))
        raise typer.Exit(Exit.CONFLICT) from None


async def _export(
    source: AbstractAsyncContextManager[Readable],
    users: Sequence[str] | None,
    write: _Write,
    advance: Callable[[int], None],
) -> None:
    async with source as ledger:
        async for user_id in _given(users) if users else _everyone(ledger):
            at = 0
            while entries := await page_of(ledger, user_id, at):
                write(map(_told, entries))
                advance(len(entries))
                at = entries[-1].version


async def _given(users: Sequence[str]) -> AsyncIterator[str]:
    for user_id in users:
        yield user_id


async def _everyone(ledger: Readable) -> AsyncIterator[str]:
    async for page in pages(ledger):
        for account in page:
            yield account.user_id


def _told(entry: Entry) -> meterd.Entry:
    """The entry as callers are told of it: the one form of it that is promised to stay."""
    message = account_pb2.Entry()
    encode.fill_entry(message, entry)
    return entry_from(message)


def _writer(form: Format, target: BinaryIO) -> _Write:
    """What writes entries to `target`, as UTF-8 whatever the terminal's encoding is."""
    if form is Format.JSONL:
        return lambda entries: target.writelines(f"{_json(jsonable(entry))}\n".encode() for entry in entries)
    target.write(",".join(_COLUMNS).encode() + b"\n")

    def write(entries: Iterable[meterd.Entry]) -> None:
        page = io.StringIO(newline="")
        rows = csv.writer(page, lineterminator="\n")
        rows.writerows([_cell(jsonable(getattr(entry, name))) for name in _COLUMNS] for entry in entries)
        target.write(page.getvalue().encode())

    return write


def _cell(value: object) -> object:
    """What has parts of its own, and what is true or false, as JSON; nothing for what is not there."""
    return _json(value) if isinstance(value, dict | list | bool) else value


_json = json.JSONEncoder(ensure_ascii=False).encode

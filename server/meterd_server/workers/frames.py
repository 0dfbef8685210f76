"""Commands and outcomes as plain tuples, both ways: what `link` can carry.

marshal knows neither NamedTuples nor enums. What a worker knows of an outcome from the command it sent does not come back.
"""

from __future__ import annotations

from asyncio import CancelledError
from typing import TYPE_CHECKING, Any

from meterd_server.errors import Overloaded, Reason, StoreUnavailable
from meterd_server.model import (
    Account,
    Applied,
    Check,
    Checked,
    Entry,
    EntryKind,
    PricedUsage,
    RateCardKey,
    RecordCost,
    RecordFunding,
    Rejection,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from meterd_server.model import Command, Outcome

    Row = tuple[Any, ...]
    PackedCommands = tuple[bytes, list[Row]]

_COMMANDS: tuple[type[Command], ...] = (RecordCost, RecordFunding, Check)
_NUMBERS = {command: number for number, command in enumerate(_COMMANDS)}
_SAID_BY_COMMAND = frozenset((RecordCost, RecordFunding))
_ENTRY_KINDS = {int(kind): kind for kind in EntryKind}
_NEW_ENTRY_FIELDS = 8

# Makes a NamedTuple of a tuple in half the time that its own `_make` takes.
_new: Callable[[Any, Iterable[Any]], Any] = tuple.__new__


def pack_commands(commands: Sequence[Command]) -> PackedCommands:
    """What `unpack_commands` takes: a number for each command's type, and its fields."""
    rows: list[Row] = [*map(tuple, commands)]
    for place, command in enumerate(commands):
        if type(command) is RecordCost and command.priced:
            usage, picocents, rate_card = command.priced
            rows[place] = (*rows[place][:-1], (tuple(usage), picocents, tuple(rate_card)))
    return bytes(map(_NUMBERS.__getitem__, map(type, commands))), rows


def unpack_commands(packed: PackedCommands) -> list[Command]:
    """The commands that were packed."""
    numbers, rows = packed
    commands: list[Command] = [*map(_new, map(_COMMANDS.__getitem__, numbers), rows)]
    for place, command in enumerate(commands):
        if type(command) is RecordCost and command.priced:
            usage, picocents, rate_card = command.priced
            priced = PricedUsage(Usage(*usage), picocents, RateCardKey(*rate_card))
            commands[place] = command._replace(priced=priced)
    return commands


def pack_outcomes(commands: Sequence[Command], outcomes: Sequence[Outcome]) -> list[Row]:
    """What `unpack_outcomes` takes for the same commands. A new entry goes without what its command says."""
    rows: list[Row] = []
    for command, outcome in zip(commands, outcomes, strict=True):
        if type(outcome) is Applied and not outcome.replayed and type(command) in _SAID_BY_COMMAND:
            entry, account, _ = outcome
            rows.append(
                (
                    entry.version,
                    entry.amount_microcents,
                    entry.balance_microcents,
                    entry.fingerprint,
                    entry.record_time_us,
                    account.funded_microcents,
                    account.spent_microcents,
                    account.residue_picocents,
                )
            )
        else:
            rows.append(_pack_outcome(outcome))
    return rows


def unpack_outcomes(commands: Sequence[Command], rows: Sequence[Row]) -> list[Outcome]:
    """The outcomes that were packed for these commands."""
    return [
        _new_entry(command, row) if len(row) == _NEW_ENTRY_FIELDS else _unpack_outcome(row)
        for command, row in zip(commands, rows, strict=True)
    ]


def _new_entry(command: Command, row: Row) -> Applied:
    version, amount, balance, fingerprint, record_time_us, funded, spent, residue = row
    usage = rate_card = None
    if type(command) is RecordCost:
        user_id, request_id, _, service, labels, _, occur_time_us, _, priced = command
        kind = EntryKind.COST
        if priced:
            usage, _, rate_card = priced
    elif type(command) is RecordFunding:
        user_id, request_id, _, _, labels, _, _ = command
        kind, service, occur_time_us = EntryKind.FUNDING, "", None
    else:
        raise ValueError("an entry of no command")
    applied: Applied = _new(
        Applied,
        (
            _new(
                Entry,
                (
                    user_id,
                    version,
                    kind,
                    amount,
                    balance,
                    request_id,
                    fingerprint,
                    service,
                    labels,
                    occur_time_us,
                    record_time_us,
                    residue,
                    usage,
                    rate_card,
                ),
            ),
            _new(Account, (user_id, version, funded, spent, record_time_us, residue)),
            False,
        ),
    )
    return applied


def _pack_outcome(outcome: Outcome) -> Row:
    match outcome:
        case Applied(entry, account, replayed):
            return Applied.__name__, pack_entry(entry), tuple(account), replayed
        case Checked(account, shortfall):
            return Checked.__name__, tuple(account), shortfall
        case Rejection(reason, message, details):
            return Rejection.__name__, reason.value, message, dict(details)


def _unpack_outcome(row: Row) -> Outcome:
    match row:
        case (Applied.__name__, entry, account, replayed):
            return Applied(unpack_entry(entry), Account(*account), replayed)
        case (Checked.__name__, account, shortfall):
            return Checked(Account(*account), shortfall)
        case (_, reason, message, details):
            return Rejection(Reason(reason), message, details)
    raise ValueError("a row of no outcome")


def pack_entry(entry: Entry) -> Row:
    """What `unpack_entry` takes."""
    usage, rate_card = entry.usage, entry.rate_card
    return (
        *entry[:2],
        int(entry.kind),
        *entry[3:-2],
        None if usage is None else tuple(usage),
        None if rate_card is None else tuple(rate_card),
    )


def unpack_entry(row: Row) -> Entry:
    """The entry that was packed."""
    *fields, usage, rate_card = row
    fields[2] = _ENTRY_KINDS[fields[2]]
    return Entry._make([*fields, usage and Usage(*usage), rate_card and RateCardKey(*rate_card)])


def pack_error(error: BaseException) -> str:
    """What `unpack_error` takes. An error's text stays where the log of its cause is."""
    if isinstance(error, CancelledError):
        return StoreUnavailable.__name__
    return type(error).__name__ if isinstance(error, Overloaded | StoreUnavailable) else ""


def unpack_error(name: str) -> Exception:
    """The error that was packed: one of those a ledger raises on purpose, else a RuntimeError."""
    match name:
        case Overloaded.__name__:
            return Overloaded()
        case StoreUnavailable.__name__:
            return StoreUnavailable("the ledger's process says so")
        case _:
            return RuntimeError("the ledger's process failed; its own line in the log says how")

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
    Capture,
    Check,
    Checked,
    CostColumns,
    Entry,
    EntryKind,
    Expire,
    Extend,
    GrantTerms,
    Lapse,
    Numbers,
    PricedColumns,
    PricedUsage,
    RecordCost,
    RecordedColumns,
    RecordFunding,
    Rejection,
    Release,
    Reserve,
    Reverse,
    SetPolicy,
)
from meterd_server.model.flat import flat, made, restored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterd_server.model import Command, Outcome

    Row = tuple[Any, ...]
    PackedCommands = tuple[Any, ...]
    PackedOutcomes = list[Row] | tuple[Any, ...]
    """Rows, or columns."""

_COMMANDS: tuple[type[Command], ...] = (
    RecordCost,
    RecordFunding,
    Check,
    Reserve,
    Capture,
    Release,
    Extend,
    SetPolicy,
    Reverse,
    Expire,
    Lapse,
)
_NUMBERS = {command: number for number, command in enumerate(_COMMANDS)}
_SAID_BY_COMMAND = frozenset((RecordCost, RecordFunding))
_NOUNS = frozenset((PricedUsage, GrantTerms))
"""What a command may hold that is more than a plain value, in its last field."""
_NEW_ENTRY_FIELDS = 8


def pack_commands(commands: Sequence[Command]) -> PackedCommands:
    """What `unpack_commands` takes: a number for each command's type, and its fields; or the columns of costs."""
    if isinstance(commands, CostColumns):
        services = commands.services
        # Marshalled by themselves, a thousand names that are the same take as long as other ones.
        packed = [services[0]] if services.count(services[0]) == len(services) else services
        return commands.user_ids, commands.request_ids, commands.costs_microcents, packed, *(commands.priced or ())
    rows: list[Row] = [*map(tuple, commands)]
    for place, row in enumerate(rows):
        if type(row[-1]) in _NOUNS:
            rows[place] = (*row[:-1], flat(row[-1]))
    return bytes(map(_NUMBERS.__getitem__, map(type, commands))), rows


def unpack_commands(packed: PackedCommands) -> Sequence[Command]:
    """The commands that were packed."""
    if not isinstance(packed[0], bytes):
        user_ids, request_ids, costs, services, *priced = packed
        if len(services) < len(user_ids):
            services = [*services] * len(user_ids)
        return CostColumns(user_ids, request_ids, costs, services, PricedColumns(*priced) if priced else None)
    numbers, rows = packed
    commands: list[Command] = [*map(made, map(_COMMANDS.__getitem__, numbers), rows)]
    for place, row in enumerate(rows):
        if type(row[-1]) is tuple:
            kind = type(commands[place])
            noun = GrantTerms if kind is RecordFunding else PricedUsage
            commands[place] = made(kind, (*row[:-1], restored(noun, row[-1])))
    return commands


def pack_outcomes(commands: Sequence[Command], outcomes: Sequence[Outcome]) -> PackedOutcomes:
    """What `unpack_outcomes` takes for the same commands. A new entry goes without what its command says.

    It does if it and the account are plain: what is special goes as it is. What is in columns goes in columns.
    """
    if isinstance(outcomes, RecordedColumns):
        return outcomes.fingerprint, *outcomes.numbers
    rows: list[Row] = []
    for command, outcome in zip(commands, outcomes, strict=True):
        if (
            type(outcome) is Applied
            and not outcome.replayed
            and type(command) in _SAID_BY_COMMAND
            and outcome.entry.more is None
            and outcome.account.more is None
        ):
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


def unpack_outcomes(commands: Sequence[Command], packed: PackedOutcomes) -> Sequence[Outcome]:
    """The outcomes that were packed for these commands."""
    if isinstance(packed, tuple):
        fingerprint, *columns = packed
        numbers = Numbers(*columns)
        if not isinstance(commands, CostColumns) or len(commands) != len(numbers.versions):
            raise ValueError("columns of no costs")
        return RecordedColumns(commands, fingerprint, numbers)
    return [
        _new_entry(command, row) if len(row) == _NEW_ENTRY_FIELDS else _unpack_outcome(row)
        for command, row in zip(commands, packed, strict=True)
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
    applied: Applied = made(
        Applied,
        (
            made(
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
                    None,
                ),
            ),
            made(Account, (user_id, version, funded, spent, record_time_us, residue, None)),
            False,
        ),
    )
    return applied


def _pack_outcome(outcome: Outcome) -> Row:
    match outcome:
        case Applied(entry, account, replayed):
            return Applied.__name__, pack_entry(entry), pack_account(account), replayed
        case Checked(account, shortfall):
            return Checked.__name__, pack_account(account), shortfall
        case Rejection(reason, message, details):
            return Rejection.__name__, reason.value, message, dict(details)


def _unpack_outcome(row: Row) -> Outcome:
    match row:
        case (Applied.__name__, entry, account, replayed):
            return Applied(unpack_entry(entry), unpack_account(account), replayed)
        case (Checked.__name__, account, shortfall):
            return Checked(unpack_account(account), shortfall)
        case (_, reason, message, details):
            return Rejection(Reason(reason), message, details)
    raise ValueError("a row of no outcome")


def pack_entry(entry: Entry) -> Row:
    """What `unpack_entry` takes."""
    return flat(entry)


def unpack_entry(row: Row) -> Entry:
    """The entry that was packed."""
    return restored(Entry, row)


def pack_account(account: Account) -> Row:
    """What `unpack_account` takes."""
    return tuple(account) if account.more is None else flat(account)


def unpack_account(row: Row) -> Account:
    """The account that was packed."""
    return Account(*row) if row[-1] is None else restored(Account, row)


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

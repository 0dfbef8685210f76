"""Money's rules, all of them, once for every store. Pure: no I/O, no clock, no await.

`decide` takes one command to its outcome; `decide_batch` folds a batch over the accounts it touches, in order, knowing which
request ids were recorded before. A store loads, calls `decide_batch`, and writes what comes out in one transaction.
"""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from meterd_server.errors import Reason
from meterd_server.model import (
    ACCOUNT_MICROCENTS_MAX,
    Account,
    Applied,
    Change,
    Check,
    Checked,
    Command,
    Entry,
    EntryKind,
    Outcome,
    RecordCost,
    RecordFunding,
    Rejection,
)
from meterd_server.pricing import PICOCENTS_PER_MICROCENT, charge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_INT64 = Struct(">q")
# A copy is made in half the time of a new one.
_new_hash = blake2b(digest_size=8).copy

RequestKey = tuple[str, str]
"""(user_id, request_id): what is unique for ever."""


class BatchDecision(NamedTuple):
    """What a batch came to: an outcome for each command in order, and what is to be written if it is to be true."""

    outcomes: list[Outcome]
    entries: list[Entry]
    accounts: dict[str, Account]


def decide_check(account: Account, command: Check) -> Checked:
    """How much is missing for the minimum, in microcents; 0 when it can be afforded (inclusive)."""
    minimum = command.minimum_microcents
    if command.picocents is not None:
        minimum = charge(account.residue_picocents, command.picocents).microcents
    return Checked(account, max(0, minimum - account.available_microcents))


def fingerprint(command: Change) -> int:
    """64 bits that tell this request from a different one under the same request_id.

    They cover what the caller asked, never what came of it, and are stored with the entry: the encoding is part of the file
    format. `ascii` of a tuple of ints and strings is unambiguous and the same in every Python.
    """
    if isinstance(command, RecordCost):
        _, _, cost, service, labels, reject_overdraft, occur_time_us, _, priced = command
        asked: tuple[object, ...] = ("cost", cost, service, labels, reject_overdraft, occur_time_us)
        if priced:
            # The price is no part of it: a retry is the same request under a card that has changed since.
            asked = ("usage", *priced.usage, service, labels, reject_overdraft, occur_time_us)
    else:
        _, _, amount, expected_funded, labels, _ = command
        asked = ("funding", amount, expected_funded, labels)
    hashed = _new_hash()
    hashed.update(ascii(asked).encode())
    number: int = _INT64.unpack(hashed.digest())[0]
    return number


def decide(account: Account, command: Change, now_us: int) -> Outcome:
    """The outcome of a command whose request_id was never recorded: the one entry it makes, or why it makes none."""
    if isinstance(command, RecordCost):
        return _decide_cost(account, command, now_us)
    return _decide_funding(account, command, now_us)


def replay(entry: Entry, account: Account, command: Change) -> Outcome:
    """The outcome of a command whose request_id was recorded as `entry`: that entry again, if it is the same request."""
    if entry.fingerprint != fingerprint(command):
        return Rejection(
            Reason.REQUEST_ID_REUSED,
            f"request_id {command.request_id!r} was used before for a different request (entry version {entry.version})",
        )
    return Applied(entry, account, replayed=True)


def apply(account: Account, entry: Entry) -> Account:
    """The account after its next entry: how an account is rebuilt from its entries, and how `decide` makes it."""
    user_id, _, funded, spent, *_ = account
    amount = entry.amount_microcents
    if entry.kind is EntryKind.COST:
        spent -= amount
    else:
        funded += amount
    return Account(user_id, entry.version, funded, spent, entry.record_time_us, entry.residue_picocents)


def decide_batch(
    accounts: Mapping[str, Account],
    recorded: Mapping[RequestKey, Entry],
    commands: Iterable[Command],
    now_us: int,
) -> BatchDecision:
    """Decide commands in order, each seeing what those before it changed.

    `accounts` holds every user named; `recorded` the entries of the request ids that were found in the store.
    """
    outcomes: list[Outcome] = []
    changed: dict[str, Account] = {}
    made: dict[RequestKey, Entry] = {}
    for command in commands:
        user_id = command.user_id
        account = changed.get(user_id) or accounts[user_id]
        if isinstance(command, Check):
            outcomes.append(decide_check(account, command))
            continue
        key = (user_id, command.request_id)
        earlier = made.get(key) or (recorded.get(key) if recorded else None)
        if earlier is not None:
            outcomes.append(replay(earlier, account, command))
            continue
        outcome = decide(account, command, now_us)
        if isinstance(outcome, Applied):
            made[key] = outcome.entry
            changed[user_id] = outcome.account
        outcomes.append(outcome)
    return BatchDecision(outcomes, list(made.values()), changed)


def _decide_cost(account: Account, command: RecordCost, now_us: int) -> Outcome:
    cost, residue = command.cost_microcents, account.residue_picocents
    if command.priced:
        cost, residue = divmod(
            residue + command.priced.picocents, PICOCENTS_PER_MICROCENT
        )  # as `charge`, in a third of its time
    available = account.available_microcents
    if command.reject_overdraft and cost > available:
        return Rejection(
            Reason.INSUFFICIENT_FUNDS,
            f"{cost} microcents required, {available} available",
            {
                "available_microcents": available,
                "required_microcents": cost,
                "shortfall_microcents": cost - available,
            },
        )
    return _append(account, command, EntryKind.COST, -cost, now_us, residue_picocents=residue)


def _decide_funding(account: Account, command: RecordFunding, now_us: int) -> Outcome:
    expected = command.expected_funded_microcents
    if expected is not None and expected != account.funded_microcents:
        return Rejection(
            Reason.FUNDING_CONFLICT,
            f"the funded total is {account.funded_microcents} microcents, not {expected}",
            {"funded_microcents": account.funded_microcents},
        )
    residue = account.residue_picocents
    return _append(account, command, EntryKind.FUNDING, command.amount_microcents, now_us, residue_picocents=residue)


def _append(
    account: Account, command: Change, kind: EntryKind, amount_microcents: int, now_us: int, *, residue_picocents: int
) -> Outcome:
    user_id, version, funded, spent, record_time_us, _ = account
    balance = funded - spent + amount_microcents
    service, occur_time_us, priced = "", None, None
    if isinstance(command, RecordCost):
        service, occur_time_us, priced = command.service, command.occur_time_us, command.priced
    entry = Entry(
        user_id,
        version + 1,
        kind,
        amount_microcents,
        balance,
        command.request_id,
        fingerprint(command),
        service,
        command.labels,
        occur_time_us,
        # A clock that was set back must not reorder a ledger.
        now_us if now_us > record_time_us else record_time_us + 1,
        residue_picocents,
        priced.usage if priced else None,
        priced.rate_card if priced else None,
    )
    after = apply(account, entry)
    if (
        after.funded_microcents > ACCOUNT_MICROCENTS_MAX
        or after.spent_microcents > ACCOUNT_MICROCENTS_MAX
        or not -ACCOUNT_MICROCENTS_MAX <= balance <= ACCOUNT_MICROCENTS_MAX
    ):
        return Rejection(
            Reason.AMOUNT_OUT_OF_RANGE,
            f"the account would leave the range of {ACCOUNT_MICROCENTS_MAX} microcents",
        )
    return Applied(entry, after, replayed=False)

"""A batch of commands, in order: each is decided on what those before it left."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from meterd_server.errors import Reason
from meterd_server.model import (
    Applied,
    Capture,
    Check,
    Checked,
    Expire,
    Extend,
    Lapse,
    RecordCost,
    RecordFunding,
    Rejection,
    Release,
    Reserve,
    Reverse,
    SetPolicy,
)
from meterd_server.rules.administration import decide_policy, decide_reverse
from meterd_server.rules.costs import decide_check, decide_cost, decide_funding
from meterd_server.rules.facts import NO_FACTS, Books
from meterd_server.rules.fingerprints import is_same_request
from meterd_server.rules.grants import lapse
from meterd_server.rules.reservations import (
    decide_capture,
    decide_expire,
    decide_extend,
    decide_release,
    decide_reserve,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meterd_server.model import Account, Change, Command, Entry, Outcome
    from meterd_server.rules.facts import Facts, RequestKey


_NO_BOOKS = Books(NO_FACTS, {})

_BY_ITSELF = (Lapse, Expire)
"""What the daemon asks for without being asked: whether it is done already, the rules see, and nobody waits for its entry."""


class BatchDecision(NamedTuple):
    """What a batch came to: an outcome for each command in order, and what is to be written if it is to be true."""

    outcomes: list[Outcome]
    entries: list[Entry]
    accounts: dict[str, Account]


def decide_batch(
    accounts: Mapping[str, Account],
    recorded: Mapping[RequestKey, Entry],
    commands: Iterable[Command],
    now_us: int,
    facts: Facts = NO_FACTS,
) -> BatchDecision:
    """Decide commands in order, each seeing what those before it changed.

    `accounts` holds every user named; `recorded` the entries of the request ids that were found in the store; `facts` what was
    found of what the commands need.
    """
    outcomes: list[Outcome] = []
    changed: dict[str, Account] = {}
    made: dict[RequestKey, Entry] = {}
    books = Books(facts, made)
    for command in commands:
        user_id = command.user_id
        account = changed.get(user_id) or accounts[user_id]
        if type(command) is Check:
            outcomes.append(decide_check(account, command))
            continue
        if not isinstance(command, _BY_ITSELF):
            key = (user_id, command.request_id)
            earlier = made.get(key) or (recorded.get(key) if recorded else None)
            if earlier is not None:
                outcomes.append(replay(earlier, account, command))
                continue
        if account.more is not None and account.more.grants:
            account, lapses = lapse(account, now_us)
            if lapses:
                made |= {(user_id, entry.request_id): entry for entry in lapses}
                changed[user_id] = account
        if type(command) is Lapse:
            outcomes.append(Checked(account, 0))
            continue
        # Most are costs: a call less for each of them.
        outcome = (
            decide_cost(account, command, now_us)
            if type(command) is RecordCost
            else decide(account, command, now_us, books)
        )
        if type(outcome) is Applied:
            entry, changed[user_id], _ = outcome
            made[user_id, entry.request_id] = entry
            if entry.more is not None:
                books.note(entry)
        outcomes.append(outcome)
    return BatchDecision(outcomes, list(made.values()), changed)


def decide(account: Account, command: Change, now_us: int, books: Books | None = None) -> Outcome:  # noqa: PLR0911 -- one a kind
    """The outcome of a command whose request_id was never recorded: the one entry it makes, or why it makes none."""
    books = books or _NO_BOOKS
    user_id = account.user_id
    match command:
        case RecordCost():
            return decide_cost(account, command, now_us)
        case RecordFunding():
            return decide_funding(account, command, now_us)
        case Reserve():
            return decide_reserve(account, command, now_us)
        case Capture():
            return decide_capture(account, command, books.reservation(user_id, command.reservation_id), now_us)
        case Release():
            return decide_release(account, command, books.reservation(user_id, command.reservation_id), now_us)
        case Extend():
            return decide_extend(account, command, books.reservation(user_id, command.reservation_id), now_us)
        case Expire():
            return decide_expire(account, command, books.reservation(user_id, command.reservation_id), now_us)
        case SetPolicy():
            return decide_policy(account, command, now_us)
        case Reverse():
            found = books.original(user_id, command.version)
            return decide_reverse(account, command, found, books.charged_for(found), now_us)


def replay(entry: Entry, account: Account, command: Change) -> Outcome:
    """The outcome of a command whose request_id was recorded as `entry`: that entry again, if it is the same request."""
    if not is_same_request(entry, command):
        return Rejection(
            Reason.REQUEST_ID_REUSED,
            f"request_id {command.request_id!r} was used before for a different request (entry version {entry.version})",
        )
    return Applied(entry, account, replayed=True)

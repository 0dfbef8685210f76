"""What the client answers: plain, frozen values. Every amount is an `int` of microcents: 10^-6 US cent, 10^-8 USD."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from meterd._deferred import Deferred


@dataclass(frozen=True, slots=True)
class Balance:
    """The state of one user's money after the entry `version`."""

    user_id: str
    """Whose money it is."""
    balance_microcents: int
    """funded - spent - lapsed; may be negative."""
    held_microcents: int
    """The sum of open reservations, >= 0."""
    available_microcents: int
    """balance - held + credit limit: what `check` compares with the minimum; may be negative."""
    funded_microcents: int
    """The sum of all funding, >= 0: the `old_amount_microcents` of the next `update_funding`."""
    spent_microcents: int
    """The sum of all recorded costs, >= 0."""
    lapsed_microcents: int
    """The sum of all funding that expired unspent, >= 0."""
    credit_limit_microcents: int
    """How far below zero the user may go where funds are enforced, >= 0."""
    unlimited: bool
    """True when `check` always allows this user."""
    version: int
    """The version of the user's last entry, counted from 1; 0 means the user is unknown."""


class EntryKind(StrEnum):
    """What an entry did."""

    UNKNOWN = "UNKNOWN"
    """A kind that this version of the client does not know: the daemon is newer."""
    COST = "COST"
    """A cost was recorded: the amount is negative or 0."""
    FUNDING = "FUNDING"
    """Money came in, or was taken back by an update to a lower total."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One append-only row of the ledger; its identity is (`user_id`, `version`)."""

    user_id: str
    """Whose ledger the entry belongs to."""
    version: int
    """Position in the user's ledger: 1 for the first entry, then without gaps."""
    kind: EntryKind
    """What happened."""
    amount_microcents: int
    """Effect on the balance, signed: a cost is negative, a funding positive."""
    balance_microcents: int
    """The user's balance after this entry."""
    request_id: str
    """The idempotency key of the request that made the entry."""
    service: str
    """The metered service as the caller named it; empty when none was given."""
    labels: Mapping[str, str]
    """The caller's labels, unchanged and unchangeable."""
    occur_time: datetime | None
    """When the use happened, as the caller said, in UTC to the microsecond; None when the caller did not say."""
    record_time: datetime
    """When the daemon recorded it, in UTC to the microsecond; strictly increasing along one user's versions."""


@dataclass(frozen=True, slots=True)
class EntryPage:
    """One page of a user's entries."""

    entries: tuple[Entry, ...]
    """The entries in the order asked for."""
    next_page_token: str
    """Pass it as `page_token` to get the next page; empty when there is none."""


@dataclass(frozen=True, slots=True)
class CheckResult(Deferred):
    """May this user afford it? Truthy when allowed, so `if client.check(user_id):` reads as it should."""

    allowed: bool
    """True when available >= minimum (inclusive)."""
    available_microcents: int
    """What the user may still spend; may be negative."""
    shortfall_microcents: int
    """minimum - available when not allowed; 0 when allowed."""
    balance: Balance
    """The account this was decided on."""

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(frozen=True, slots=True)
class Recorded(Deferred):
    """What became of a cost or a funding, sent after it was durable."""

    entry: Entry
    """The entry that holds it: for a replay the original one."""
    balance: Balance
    """The account as it is now."""
    replayed: bool
    """True when this request_id had been recorded before and nothing was changed by this call."""

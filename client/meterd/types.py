"""What the client answers: plain, frozen values. Every amount is an `int` of microcents: 10^-6 US cent, 10^-8 USD."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from meterd._deferred import Deferred
from meterd._labels import Numbers
from meterd.account_types import AccountPolicy, Grant, GrantDraw, Reservation


@dataclass(frozen=True, slots=True)
class Balance(Deferred):
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
    residue_picocents: int = 0
    """What was used but not charged yet, as it is less than a microcent: 0 to 999,999. It goes into the next usage's charge."""
    frozen: bool = False
    """True when nothing new is allowed: `check`, `reserve` and costs with `reject_overdraft` are refused."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user's balance together with the grants in it."""

    balance: Balance
    """The sums."""
    grants: tuple[Grant, ...]
    """Money that expires, in the order in which costs draw from it; empty ones as well, until they lapse."""

    @property
    def base_microcents(self) -> int:
        """The money without expiry, from which costs draw last: the balance without the grants; may be negative."""
        return self.balance.balance_microcents - sum(grant.left_microcents for grant in self.grants)


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used of a service, in its own units."""

    service: str
    """Which service."""
    model: str
    """Which model of it; empty for a service without models."""
    quantities: Mapping[str, int]
    """Units by meter, such as {"input_tokens": 1200}; unchangeable. No unit is counted under two meters."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "quantities", Numbers(self.quantities))


@dataclass(frozen=True, slots=True)
class RateCardKey:
    """Names a version of a rate card for ever."""

    service: str
    """The service of the card."""
    model: str
    """The card's model or pattern of models; empty for the card of the whole service."""
    version: int
    """Which of its versions, from 1."""


class EntryKind(StrEnum):
    """What an entry did."""

    UNKNOWN = "UNKNOWN"
    """A kind that this version of the client does not know: the daemon is newer."""
    COST = "COST"
    """A cost was recorded: the amount is negative or 0."""
    FUNDING = "FUNDING"
    """Money came in, or was taken back by an update to a lower total."""
    RESERVATION = "RESERVATION"
    """Money was set aside: the amount is 0, what is held grows."""
    CAPTURE = "CAPTURE"
    """What was reserved for was charged: the amount is negative or 0."""
    RELEASE = "RELEASE"
    """What was held is available again: the amount is 0."""
    EXTENSION = "EXTENSION"
    """A reservation was kept for longer, or more was set aside: the amount is 0."""
    EXPIRY = "EXPIRY"
    """A reservation's time was over: the amount is 0, or what was missing to its floor."""
    LAPSE = "LAPSE"
    """A grant's time was over: the amount is what was left of it, negative or 0."""
    REVERSAL = "REVERSAL"
    """An entry was undone, in part or whole: the amount has the opposite sign of that entry's."""
    POLICY = "POLICY"
    """The account's policy was set: the amount is 0."""


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
    usage: Usage | None = None
    """What was used, when the cost was recorded as usage; None otherwise."""
    rate_card: RateCardKey | None = None
    """By which version of which card the usage was charged; None without usage."""
    reservation: Reservation | None = None
    """The reservation that the entry opened, changed or ended, as it is after it; None for other kinds."""
    held_microcents: int = 0
    """Effect on what is held, signed."""
    overrun: bool = False
    """True when more was captured than was held."""
    late: bool = False
    """True for a capture that came after the reservation had expired."""
    draws: tuple[GrantDraw, ...] = ()
    """What was taken from grants, in that order, and what was put back; the rest of the amount is the base's."""
    expire_time: datetime | None = None
    """When the money of this funding expires; None if it does not."""
    priority: int = 0
    """The priority of the funding."""
    label: str = ""
    """The label of the funding."""
    policy: AccountPolicy | None = None
    """The account's policy after this entry; None for other kinds than POLICY."""
    reversed_version: int = 0
    """The version of the entry that this one reverses; 0 for other kinds."""
    reversed_microcents: int = 0
    """How much of that entry is reversed in all, with this one."""


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
    """True when available >= minimum (inclusive), for a usage what it would cost, or the user is unlimited; never when frozen."""
    available_microcents: int
    """What the user may still spend; may be negative."""
    shortfall_microcents: int
    """minimum - available when that is missing; 0 when it is not, and so for a frozen user who has enough."""
    balance: Balance
    """The account this was decided on."""

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(frozen=True, slots=True)
class Recorded(Deferred):
    """What became of a change, sent after it was durable."""

    entry: Entry
    """The entry that holds it: for a replay the original one."""
    balance: Balance
    """The account as it is now."""
    replayed: bool
    """True when this request_id had been recorded before and nothing was changed by this call."""

    @property
    def reservation(self) -> Reservation:
        """The reservation as it is after the entry. Raises ValueError for a change that was about none."""
        if (reservation := self.entry.reservation) is None:
            raise ValueError(f"a {self.entry.kind.lower()} is about no reservation")
        return reservation

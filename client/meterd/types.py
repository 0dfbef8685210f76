"""What the client answers: plain, frozen values. Every amount is an `int` of microcents: 10^-6 US cent, 10^-8 USD.

Prices are an `int` of picocents, 10^-6 microcent: $2.00 per 1,000,000 tokens is 200_000_000 picocents a token.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from meterd._deferred import Deferred
from meterd._labels import Numbers

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
    residue_picocents: int = 0
    """What was used but not charged yet, as it is less than a microcent: 0 to 999,999. It goes into the next usage's charge."""


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
    """True when available >= minimum (inclusive); for a usage, the minimum is what it would cost."""
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


@dataclass(frozen=True, slots=True)
class Quote:
    """What a usage would cost now. Truthy when the user has that much, so `if client.quote(...):` reads as it should."""

    cost_microcents: int
    """What the usage would be charged now, with the residue that the user carries."""
    allowed: bool
    """True when the user has that much available (inclusive); False when no user was named."""
    available_microcents: int
    """What the user may still spend; may be negative. 0 when no user was named."""
    shortfall_microcents: int
    """cost - available when not allowed; 0 when allowed, and when no user was named."""
    affordable_units: int | None
    """How many units of the meter asked for are affordable on top of the usage, as is any number below; 0 when the usage alone is
    too expensive. None when no meter was asked for."""
    rate_card: RateCardKey
    """By which version of which card."""

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(frozen=True, slots=True)
class RateTier:
    """Prices for a call that is large: they replace the card's for the whole call."""

    over_units: int
    """The tier applies when the call uses more than this many units of `meters` in sum, >= 0."""
    meters: tuple[str, ...]
    """Whose units are summed: all of a call's input, say, the cached part included. Each is priced by the card."""
    prices_picocents: Mapping[str, int]
    """Picocents a unit for the meters that cost something else then; unchangeable."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "meters", tuple(self.meters))
        object.__setattr__(self, "prices_picocents", Numbers(self.prices_picocents))


@dataclass(frozen=True, slots=True)
class RateCard:
    """The prices of a service, or of some of its models, from a date on until the card's next version."""

    service: str
    """Which service."""
    model: str = ""
    """A model's exact name, or a pattern with * for any characters; empty: every model that no other card is for."""
    prices_picocents: Mapping[str, int] = field(default_factory=dict)
    """Meter to picocents a unit, 0 to 9*10^18; at least one, unchangeable. A meter that is not here is not priced."""
    effective_time: datetime = EPOCH
    """From when on it is valid, with a time zone, to the microsecond; by default since ever."""
    version: int = 0
    """Its number among the cards for the same service and model, from 1; 0 in a card that the daemon is to number."""
    source: str = ""
    """Where the prices come from, for people."""
    per_call_picocents: int = 0
    """What a call costs on top of its units."""
    minimum_picocents: int = 0
    """What a call costs at least."""
    tiers: tuple[RateTier, ...] = ()
    """Other prices for large calls, each over the one before."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "prices_picocents", Numbers(self.prices_picocents))
        object.__setattr__(self, "tiers", tuple(self.tiers))


@dataclass(frozen=True, slots=True)
class RateCardsPut:
    """What became of the cards of `put_rate_cards`."""

    rate_cards: tuple[RateCard, ...]
    """The cards as they are kept, with their versions, in the order given."""
    added_count: int
    """How many of them were not there before."""


@dataclass(frozen=True, slots=True)
class RateCardPage:
    """One page of the rate cards."""

    rate_cards: tuple[RateCard, ...]
    """The cards, by service, model and version."""
    next_page_token: str
    """Pass it as `page_token` to get the next page; empty when there is none."""

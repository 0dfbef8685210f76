"""What the client says and answers about prices: plain, frozen values.

Prices are an `int` of picocents, 10^-6 microcent: $2.00 per 1,000,000 tokens is 200_000_000 picocents a token.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from meterd._labels import Numbers
from meterd.types import RateCardKey

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Quote:
    """What a usage would cost now. Truthy when the user has that much, so `if client.quote(...):` reads as it should."""

    cost_microcents: int
    """What the usage would be charged now, with the residue that the user carries."""
    allowed: bool
    """True when the user has that much available (inclusive), or is unlimited; never when frozen, or when no user was named."""
    available_microcents: int
    """What the user may still spend; may be negative. 0 when no user was named."""
    shortfall_microcents: int
    """cost - available when that is missing; 0 when it is not, and when no user was named."""
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

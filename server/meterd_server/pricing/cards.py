"""What a service costs from a date on. A card that exists is well formed: making a malformed one raises `CardError`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from meterd_server.errors import MeterdError
from meterd_server.model import RateCardKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meterd_server.model import Quantities

PRICE_PICOCENTS_MAX = 9 * 10**18
"""The highest price of a unit, a call or a minimum: $90,000, which an int64 of picocents holds."""

EFFECTIVE_US_MAX = 253_402_300_799_999_999
"""The last microsecond of the year 9999."""

SERVICE_BYTES_MAX = 64
MODEL_BYTES_MAX = 256
SOURCE_BYTES_MAX = 1024
METERS_MAX = 64
TIERS_MAX = 16

_control_character = re.compile("[\x00-\x1f\x7f-\x9f]").search
_meter = re.compile("[a-z][a-z0-9_]{0,63}").fullmatch


class CardError(MeterdError):
    """A card is malformed, or a book refuses it; the text says which card or field, and why."""


@dataclass(frozen=True, slots=True)
class Tier:
    """Prices for a call that is large: they replace the card's for the *whole* call, as AI vendors have it."""

    over: int
    """The tier applies when the call uses more than this many units of `meters` in sum."""
    meters: tuple[str, ...]
    """Whose quantities are summed: all of a call's input, say, the cached part included."""
    prices: Mapping[str, int]
    """Picocents per unit for the meters that cost something else then."""

    def __post_init__(self) -> None:
        _check_integer("over", self.over, 2**63 - 1)
        if not self.meters or len(set(self.meters)) != len(self.meters):
            raise CardError(f"a tier over {self.over} units has to name the meters that it counts, each once")
        object.__setattr__(self, "meters", tuple(sorted(self.meters)))
        object.__setattr__(self, "prices", _frozen_prices(f"the tier over {self.over}", self.prices))


@dataclass(frozen=True, slots=True)
class RateCard:
    """The prices of a service, or of one or several of its models, from `effective_from_us` on."""

    service: str
    """Which service: 1 to 64 bytes."""
    model: str
    """A model's exact name, or a pattern with `*` for any characters; empty: every model that no other card is for."""
    prices: Mapping[str, int]
    """Meter to picocents per unit, 0 to 9 x 10^18. A meter that is not here is not priced, which is not free."""
    effective_from_us: int = 0
    """From when on it is valid, in microseconds since the Unix epoch; until the next version of it."""
    version: int = 0
    """Its number among the cards for the same service and model, from 1; 0 until a book has taken it."""
    source: str = ""
    """Where the prices come from, for people: up to 1,024 bytes."""
    per_call_picocents: int = 0
    """What a call costs on top of its units."""
    minimum_picocents: int = 0
    """What a call costs at least."""
    tiers: tuple[Tier, ...] = ()
    """By rising size, each replacing prices of the one before; at most 16."""
    key: RateCardKey = field(init=False, repr=False, compare=False)
    """Its name, made once and not for every usage."""

    def __post_init__(self) -> None:
        _check_text("service", self.service, 1, SERVICE_BYTES_MAX)
        _check_text("model", self.model, 0, MODEL_BYTES_MAX)
        _check_text("source", self.source, 0, SOURCE_BYTES_MAX)
        _check_integer("effective_from_us", self.effective_from_us, EFFECTIVE_US_MAX)
        _check_integer("version", self.version, 2**31 - 1)
        _check_integer("per_call_picocents", self.per_call_picocents, PRICE_PICOCENTS_MAX)
        _check_integer("minimum_picocents", self.minimum_picocents, PRICE_PICOCENTS_MAX)
        object.__setattr__(self, "key", RateCardKey(self.service, self.model, self.version))
        object.__setattr__(self, "prices", _frozen_prices(str(self), self.prices))
        object.__setattr__(self, "tiers", tuple(sorted(self.tiers, key=lambda tier: (tier.over, tier.meters))))
        self._check_tiers()

    def __str__(self) -> str:
        return f"the card for {self.service!r}" + (f", model {self.model!r}" if self.model else "")

    def price(self, quantities: Mapping[str, int]) -> int:
        """Return the price of one call, in picocents. Raises KeyError with the first meter that is not priced.

        The quantities are disjoint: a cached input token is counted under its own meter and nowhere else.
        """
        prices = self.prices
        for tier in self.tiers:
            if sum(quantities.get(meter, 0) for meter in tier.meters) > tier.over:
                prices = {**prices, **tier.prices}
        picocents = self.per_call_picocents
        for meter, quantity in quantities.items():
            picocents += prices[meter] * quantity
        return picocents if picocents > self.minimum_picocents else self.minimum_picocents  # noqa: FURB136 -- max() takes 0.1 µs

    def price_of(self, quantities: Quantities) -> int | None:
        """Return the same for plain quantities, as fast as can be; None for any that one should look at again.

        That is a card with tiers, a meter that is not priced, or a negative quantity.
        """
        if self.tiers:
            return None
        picocents, prices = self.per_call_picocents, self.prices
        for meter, quantity in quantities:
            price = prices.get(meter)
            if price is None or quantity < 0:
                return None
            picocents += price * quantity
        return picocents if picocents > self.minimum_picocents else self.minimum_picocents  # noqa: FURB136

    def _check_tiers(self) -> None:
        if len(self.tiers) > TIERS_MAX:
            raise CardError(f"{self} has {len(self.tiers)} tiers; {TIERS_MAX} are allowed")
        seen = set()
        for tier in self.tiers:
            if (tier.over, tier.meters) in seen:
                raise CardError(f"{self} has two tiers over {tier.over} {' + '.join(tier.meters)}")
            seen.add((tier.over, tier.meters))
            # Without a price below the threshold, small calls would be refused; a typing error is far more likely.
            for meter in (*tier.meters, *tier.prices):
                if meter not in self.prices:
                    raise CardError(f"the tier over {tier.over} names {meter!r}, for which {self} has no price")


def check_price(meter: object, picocents: object) -> None:
    """Raise `CardError` when this is not the name of a meter and a price of its unit."""
    if not isinstance(meter, str) or not _meter(meter):
        raise CardError(f"{meter!r} is not the name of a meter: 1 to 64 of a-z, 0-9 and _, a letter first")
    _check_integer(f"the price of {meter}", picocents, PRICE_PICOCENTS_MAX)


def _check_text(name: str, value: object, bytes_min: int, bytes_max: int) -> None:
    if not isinstance(value, str):
        raise CardError(f"{name} must be a text, not {value!r}")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise CardError(f"{name} is not valid Unicode") from None
    if not bytes_min <= size <= bytes_max:
        raise CardError(f"{name} must have {bytes_min} to {bytes_max} bytes, not {size}")
    if _control_character(value):
        raise CardError(f"{name} must not have control characters")


def _check_integer(name: str, value: object, maximum: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise CardError(f"{name} must be a whole number, not {value!r}")
    if not 0 <= value <= maximum:
        raise CardError(f"{name} must be 0 to {maximum}, not {value}")


def _frozen_prices(name: str, prices: Mapping[str, int]) -> Mapping[str, int]:
    if not 1 <= len(prices) <= METERS_MAX:
        raise CardError(f"{name} must have 1 to {METERS_MAX} prices, not {len(prices)}")
    for meter, picocents in prices.items():
        check_price(meter, picocents)
    return MappingProxyType(dict(sorted(prices.items())))

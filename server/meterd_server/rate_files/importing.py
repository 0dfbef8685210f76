"""From other projects' prices to cards, with a report of what was taken, skipped and why.

Each source (`genai_prices`, `litellm`, `models_dev`) turns its entries into offers: prices in US dollars, as exact fractions.
Here offers become cards. A price that is not a whole number of picocents, or that depends on what a card cannot say, skips the
whole offer: a card that lacks it would refuse usage that it seems to be for, and a rounded one would charge something else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from meterd_server.pricing import CardError, RateCard, Tier
from meterd_server.rate_files.price_text import PICOCENTS_PER_UNIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


# Vendors' names for the same thing differ, and so do the meters that `meterd.usage` makes of them: a card prices both.
_ALIASES = {"cache_read_tokens": "cached_input_tokens", "cache_write_tokens": "cache_write_5m_tokens"}

_Entry = TypeVar("_Entry")


class Skipped(NamedTuple):
    """What a source has that no card, or no price of it, was made of."""

    name: str
    """What the source calls it."""
    reason: str


class Imported(NamedTuple):
    """The cards that were taken from a source, in its order, and what was skipped."""

    cards: tuple[RateCard, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True)
class Offer:
    """What a source says about a model: US dollars per unit."""

    name: str
    service: str
    models: Sequence[str]
    usd: Mapping[str, Fraction]
    tiers: Mapping[int, Mapping[str, Fraction]] = field(default_factory=dict)
    """Other prices for calls with more than so many input tokens, cached ones included."""
    per_call_usd: Fraction = Fraction(0)
    effective_from_us: int = 0
    source: str = ""


def take_all(
    entries: Sequence[_Entry],
    read: Callable[[_Entry], Iterable[Offer | Skipped]],
    progress: Callable[[int, int], None] | None = None,
) -> Imported:
    """Make cards of a source's entries; where two would be valid for the same model and date, the first is taken."""
    cards: dict[tuple[str, str, int], RateCard] = {}
    skipped: list[Skipped] = []
    for done, entry in enumerate(entries, 1):
        for found in read(entry):
            if isinstance(found, Skipped):
                skipped.append(found)
                continue
            try:
                made = _cards(found)
            except CardError as error:
                skipped.append(Skipped(found.name, str(error)))
                continue
            for card in made:
                key = (card.service, card.model, card.effective_from_us)
                if key in cards:
                    skipped.append(Skipped(found.name, f"{card} was taken from an entry before"))
                else:
                    cards[key] = card
        if progress is not None:
            progress(done, len(entries))
    return Imported(tuple(cards.values()), tuple(skipped))


def fraction(value: object) -> Fraction | None:
    """Return a number of JSON or TOML exactly, or None when it is not a number that can be a price."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    number = Decimal(value)
    # An exponent of a billion is a number that would fill the memory.
    return Fraction(number) if number.is_finite() and abs(number.adjusted()) < 100 else None


def is_input_tokens(meter: str) -> bool:
    """Say whether a meter counts a part of the tokens that a call sends, cached or not."""
    return meter.endswith("_tokens") and meter.startswith(("input_", "cached_input_", "cache_"))


def _cards(offer: Offer) -> list[RateCard]:
    if not offer.usd:
        raise CardError("there is no price for it")
    if not any([*offer.usd.values(), offer.per_call_usd]):
        # In these lists it means "unknown" or "paid otherwise" as often as "free".
        raise CardError("every price is 0; write a card with 'free' if that is what it costs")
    prices = _picocents(offer.usd)
    size = tuple(filter(is_input_tokens, prices))
    return [
        RateCard(
            service=offer.service,
            model=model,
            prices=prices,
            effective_from_us=offer.effective_from_us,
            source=offer.source,
            per_call_picocents=_whole("a call", offer.per_call_usd),
            tiers=tuple(Tier(over, size, _picocents(usd)) for over, usd in offer.tiers.items()),
        )
        for model in offer.models
    ]


def _picocents(usd: Mapping[str, Fraction]) -> dict[str, int]:
    aliases = {_ALIASES[meter]: price for meter, price in usd.items() if meter in _ALIASES}
    return {meter: _whole(meter, price) for meter, price in {**usd, **aliases, **usd}.items()}


def _whole(meter: str, usd: Fraction) -> int:
    picocents = usd * PICOCENTS_PER_UNIT["USD"]
    if picocents.denominator != 1:
        least = picocents.numerator // picocents.denominator
        raise CardError(f"the price of {meter} is not a whole number of picocents, but between {least} and {least + 1}")
    return picocents.numerator

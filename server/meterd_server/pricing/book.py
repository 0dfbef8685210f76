"""The cards of all services by date, and the price of a usage by them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from meterd_server.model import OPERATION_MICROCENTS_MAX
from meterd_server.pricing.cards import CardError, RateCard
from meterd_server.pricing.charges import OPERATION_PICOCENTS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_Key = tuple[str, str]

_RESOLVED_MAX = 4096  # model names come from callers: what is remembered about them is bounded
_FOREVER_US = 2**63


class Rated(NamedTuple):
    """What a usage costs."""

    picocents: int
    """The price, 0 to OPERATION_PICOCENTS_MAX."""
    card: RateCard
    """By which card: its service, model and version name it for ever."""


class Unrated(NamedTuple):
    """No card says what the usage costs."""

    service: str
    model: str
    meter: str
    """The first meter without a price; empty when no card is for the service and model at that time."""

    def __str__(self) -> str:
        model = f", model {self.model!r}" if self.model else ""
        if self.meter:
            return f"no price for meter {self.meter!r} of service {self.service!r}{model}"
        return f"no rate card is valid for service {self.service!r}{model}"


class OutOfRange(NamedTuple):
    """The usage costs more than one operation may move."""

    picocents: int
    limit_microcents: int

    def __str__(self) -> str:
        return f"the usage costs {self.picocents} picocents; one operation may cost {self.limit_microcents} microcents"


Rating = Rated | Unrated | OutOfRange


class _Resolved(NamedTuple):
    """The card for a service and a model in a span of time, and that span."""

    card: RateCard
    from_us: int
    until_us: int


class RateBook:
    """An immutable set of cards. Each service and model has versions, each valid from its date to the next one's."""

    __slots__ = ("_patterns", "_resolved", "_versions")

    def __init__(self, cards: Iterable[RateCard] = ()) -> None:
        """Take cards in any order. Raises `CardError` as `add` does."""
        self._versions: dict[_Key, tuple[RateCard, ...]] = {}
        self._patterns: dict[str, list[str]] | None = None
        self._resolved: dict[_Key, _Resolved] = {}
        for card in sorted(cards, key=lambda card: (card.effective_from_us, card.version)):
            self._take(card)

    def __iter__(self) -> Iterator[RateCard]:
        """All cards, by service, model and version."""
        return (card for key in sorted(self._versions) for card in self._versions[key])

    def __len__(self) -> int:
        return sum(map(len, self._versions.values()))

    def versions(self, service: str, model: str) -> tuple[RateCard, ...]:
        """Return the cards for exactly this service and model or pattern, oldest first; empty when there is none."""
        return self._versions.get((service, model), ())

    def add(self, *cards: RateCard) -> RateBook:
        """Return a book with the cards as well, each as the next version of its service and model; all or none.

        A card that the book has already, date and prices alike, changes nothing. Raises `CardError` for one that would change
        what earlier usage costs: it is not later than the versions there are, or has the number of another.
        """
        book = RateBook()
        book._versions = dict(self._versions)
        for card in sorted(cards, key=lambda card: (card.effective_from_us, card.version)):
            book._take(card)
        return book

    def card(self, service: str, model: str, at_us: int) -> RateCard | None:
        """Return the card that was valid at a time: for the exact model, else the longest pattern, else the service."""
        resolved = self._resolved.get((service, model))
        if resolved is None or not resolved[1] <= at_us < resolved[2]:
            resolved = self._resolve(service, model, at_us)
        return resolved[0] if resolved is not None else None

    def rate(self, service: str, model: str, quantities: Mapping[str, int], at_us: int) -> Rating:
        """Return the price of a usage at a time. `quantities` are disjoint, and none is negative."""
        card = self.card(service, model, at_us)
        if card is None:
            return Unrated(service, model, "")
        try:
            picocents = card.price(quantities)
        except KeyError as error:
            return Unrated(service, model, error.args[0])
        if picocents > OPERATION_PICOCENTS_MAX:
            return OutOfRange(picocents, OPERATION_MICROCENTS_MAX)
        return Rated(picocents, card)

    def names_for(self, service: str, model: str) -> Iterator[str]:
        """The names under which a card may be for this model, best first: its own, patterns, and that of the whole service."""
        if self._patterns is None:
            self._patterns = {}
            for card_service, pattern in sorted(self._versions, key=lambda key: _rank(key[1])):
                if "*" in pattern:
                    self._patterns.setdefault(card_service, []).append(pattern)
        yield model
        yield from (pattern for pattern in self._patterns.get(service, ()) if _matches(pattern, model))
        yield ""

    def _take(self, card: RateCard) -> None:
        """Append a version; only while the book is made."""
        key = (card.service, card.model)
        versions = self._versions.get(key, ())
        for version in versions:
            if version == replace(card, version=card.version or version.version):
                return
            if card.version == version.version:
                raise CardError(f"{card} has a version {card.version} already, and a card is never edited")
            if card.effective_from_us == version.effective_from_us:
                raise CardError(f"{card} has version {version.version} from the same date on: their dates overlap")
        if versions and card.effective_from_us < versions[-1].effective_from_us:
            raise CardError(f"{card} has a later version {versions[-1].version}: it would change what old usage costs")
        if versions and 0 < card.version < versions[-1].version:
            raise CardError(f"{card} is version {card.version}, but version {versions[-1].version} is older")
        version_next = versions[-1].version + 1 if versions else 1
        self._versions[key] = (*versions, replace(card, version=card.version or version_next))

    def _resolve(self, service: str, model: str, at_us: int) -> _Resolved | None:
        until_us = _FOREVER_US
        for pattern in self.names_for(service, model):
            card = None
            for version in self._versions.get((service, pattern), ()):
                if version.effective_from_us > at_us:
                    until_us = min(until_us, version.effective_from_us)
                    break
                card = version
            if card is not None:
                if len(self._resolved) >= _RESOLVED_MAX:
                    self._resolved.clear()
                resolved = _Resolved(card, card.effective_from_us, until_us)
                self._resolved[service, model] = resolved
                return resolved
        return None


def _rank(pattern: str) -> tuple[int, int, str]:
    """Order patterns: most characters that are not `*` first, then the longest beginning, then by name."""
    return (pattern.count("*") - len(pattern), -pattern.index("*") if "*" in pattern else 0, pattern)


def _matches(pattern: str, model: str) -> bool:
    """Say whether the whole of `model` is `pattern` with something, or nothing, for each `*`."""
    first, *middle, last = pattern.split("*")
    if len(model) < len(first) + len(last) or not (model.startswith(first) and model.endswith(last)):
        return False
    # Taking each part where it first occurs leaves the most for the rest: no going back, whatever the names are.
    at, end = len(first), len(model) - len(last)
    for part in middle:
        at = model.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True

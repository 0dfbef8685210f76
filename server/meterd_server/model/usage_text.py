"""A usage and its rate card as one text: what an entry keeps of them, in every engine."""

from __future__ import annotations

import json
from functools import lru_cache
from itertools import repeat
from typing import TYPE_CHECKING

from meterd_server.model.entries import RateCardKey, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_to_json = json.JSONEncoder(separators=(",", ":")).encode


def usage_text(usage: Usage | None, rate_card: RateCardKey | None) -> str | None:
    """JSON: service, model, quantities, and the model and version of the card. None without usage."""
    if usage is None or rate_card is None:
        return None
    service, model, quantities = usage
    # A meter has nothing to escape, and the names are few: a third of the time that it takes to encode it all.
    begin, end = _around_units(service, model, rate_card)
    units_text = ",".join([f'"{meter}":{units}' for meter, units in quantities])
    return f"{begin}{units_text}{end}"


def usage_pieces(service: str, model: str, meters: Iterable[str], rate_card: RateCardKey) -> Sequence[str]:
    """What stands before, between and after the units in the `usage_text` of such usage."""
    begin, end = _around_units(service, model, rate_card)
    before_units = ",".join([f'"{meter}":\0' for meter in meters])
    return f"{begin}{before_units}{end}".split("\0")


def usage_texts(pieces: Sequence[str], units: Iterable[Iterable[int]]) -> list[str]:
    """The `usage_text` of many usages with these pieces; `units` has a column for each meter."""
    columns: list[Iterable[str]] = [repeat(pieces[0])]
    for piece, column in zip(pieces[1:], units, strict=True):
        columns += map(_DECIMALS.__getitem__, column), repeat(piece)
    return [*map("".join, zip(*columns))]  # noqa: B905 -- some of them go on for ever


class _Decimals(dict[int, str]):
    """Each number's decimal text; most are looked up."""

    def __missing__(self, number: int) -> str:
        return str(number)


_DECIMALS = _Decimals({number: str(number) for number in range(1 << 14)})


def usage_of(text: str | None) -> tuple[Usage | None, RateCardKey | None]:
    """Both parts of what `usage_text` wrote."""
    return (None, None) if text is None else read_usage(text)


@lru_cache(4096)  # of what is read once, nearly all is soon read again: to be decided, and to be answered
def read_usage(text: str) -> tuple[Usage, RateCardKey]:
    """`usage_of` where there is some."""
    service, model, quantities, card_model, card_version = json.loads(text)
    return Usage(service, model, tuple(sorted(quantities.items()))), RateCardKey(service, card_model, card_version)


@lru_cache(1024)
def _around_units(service: str, model: str, rate_card: RateCardKey) -> tuple[str, str]:
    return (
        f"[{_to_json(service)},{_to_json(model)},{{",
        f"}},{_to_json(rate_card.model)},{rate_card.version}]",
    )

"""A usage and its rate card as one text: what an entry keeps of them, in every engine."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

from meterd_server.model.entries import RateCardKey, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def usage_template(service: str, model: str, meters: Iterable[str], rate_card: RateCardKey) -> str:
    """What `usage_text` is of such usage, to be given the units of the meters in their order, with `%`."""
    begin, end = (text.replace("%", "%%") for text in _around_units(service, model, rate_card))
    units_text = ",".join([f'"{meter}":%d' for meter in meters])
    return f"{begin}{units_text}{end}"


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

"""What entries and accounts hold as JSON text, in every engine: labels, usage, and what most do not have, both ways."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from meterd_server.model import AccountMore, EntryMore, RateCardKey, Usage
from meterd_server.model.flat import restored

if TYPE_CHECKING:
    from meterd_server.model import Labels

_More = TypeVar("_More", AccountMore, EntryMore)

_to_json = json.JSONEncoder(separators=(",", ":")).encode


def labels_text(labels: Labels) -> str | None:
    """A JSON object; None for no labels."""
    return _to_json(dict(labels)) if labels else None


def labels_of(text: str | None) -> Labels:
    """What `labels_text` wrote."""
    return tuple(sorted(json.loads(text).items())) if text else ()


def usage_text(usage: Usage | None, rate_card: RateCardKey | None) -> str | None:
    """What an entry says of usage: service, model, quantities, and the model and version of the card. None without usage."""
    if usage is None or rate_card is None:
        return None
    service, model, quantities = usage
    # A meter has nothing to escape, and the names are few: a third of the time that it takes to encode it all.
    begin, end = _around_units(service, model, rate_card)
    units_text = ",".join([f'"{meter}":{units}' for meter, units in quantities])
    return f"{begin}{units_text}{end}"


@lru_cache(1024)
def _around_units(service: str, model: str, rate_card: RateCardKey) -> tuple[str, str]:
    return (
        f"[{_to_json(service)},{_to_json(model)},{{",
        f"}},{_to_json(rate_card.model)},{rate_card.version}]",
    )


def usage_of(text: str | None) -> tuple[Usage | None, RateCardKey | None]:
    """Both parts of what `usage_text` wrote."""
    if text is None:
        return None, None
    service, model, quantities, card_model, card_version = json.loads(text)
    return Usage(service, model, tuple(sorted(quantities.items()))), RateCardKey(service, card_model, card_version)


def more_text(more: AccountMore | EntryMore | None) -> str | None:
    """A JSON object of the fields that say something, what is in them as arrays; None for nothing."""
    if more is None:
        return None
    defaults = more._field_defaults
    return _to_json({name: value for name, value in more._asdict().items() if value != defaults[name]})


def more_of(kind: type[_More], text: str | None) -> _More | None:
    """What `more_text` wrote."""
    if text is None:
        return None
    said = json.loads(text)
    return restored(kind, [said.get(name, default) for name, default in kind._field_defaults.items()])

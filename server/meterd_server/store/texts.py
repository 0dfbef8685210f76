"""What entries and accounts hold as JSON text, in every engine: labels, and what most do not have, both ways."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeVar

from meterd_server.model import AccountMore, EntryMore
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

"""What tells one request from another under the same request_id."""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING

from meterd_server.model import RecordCost, RecordFunding

if TYPE_CHECKING:
    from meterd_server.model import Change

_INT64 = Struct(">q")
# A copy is made in half the time of a new one.
_new_hash = blake2b(digest_size=8).copy

_NOT_ASKED = frozenset(("user_id", "request_id", "request_id_is_new"))
_REQUIRED = object()


def fingerprint(command: Change) -> int:
    """64 bits that tell this request from a different one under the same request_id.

    They cover what the caller asked, never what came of it, and are stored with the entry: the encoding is part of the file
    format. `ascii` of a tuple of ints and strings is unambiguous and the same in every Python.
    """
    asked: tuple[object, ...]
    if isinstance(command, RecordCost):
        _, _, cost, service, labels, reject_overdraft, occur_time_us, _, priced = command
        asked = ("cost", cost, service, labels, reject_overdraft, occur_time_us)
        if priced:
            # The price is no part of it: a retry is the same request under a card that has changed since.
            asked = ("usage", *priced.usage, service, labels, reject_overdraft, occur_time_us)
    elif isinstance(command, RecordFunding):
        _, _, amount, expected_funded, labels, _, grant = command
        asked = ("funding", amount, expected_funded, labels)
        if grant:
            asked = (*asked, *grant)
    else:
        asked = _asked(command)
    hashed = _new_hash()
    hashed.update(ascii(asked).encode())
    number: int = _INT64.unpack(hashed.digest())[0]
    return number


def _asked(command: Change) -> tuple[object, ...]:
    """Its kind, and the fields that say something, by name: a field that a later version adds changes no older request."""
    fields = {
        name: value
        for name, value in command._asdict().items()
        if name not in _NOT_ASKED and value != command._field_defaults.get(name, _REQUIRED)
    }
    if priced := fields.pop("priced", None):
        # As one field: what the usage is of may be another service than the one that the caller names.
        fields["usage"] = tuple(priced.usage)
    return (type(command).__name__.lower(), *fields.items())

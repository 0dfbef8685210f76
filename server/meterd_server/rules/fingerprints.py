"""What tells one request from another under the same request_id."""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING

from meterd_server.model import EntryKind, RecordCost, RecordFunding

if TYPE_CHECKING:
    from meterd_server.model import Change, Entry

_INT64 = Struct(">q")
# A copy is made in half the time of a new one.
_new_hash = blake2b(digest_size=8).copy

_NOT_ASKED = frozenset(("user_id", "request_id", "request_id_is_new"))
_REQUIRED = object()


COVERED = 1
"""The fingerprint of a RecordCost whose entry shows all that was asked."""

COVERED_STRICTLY = 2
"""The same with `reject_overdraft`, the one thing that the entry of a cost does not show."""


def fingerprint(command: Change) -> int:
    """What is stored with an entry to tell its request from a different one under the same request_id: see `is_same_request`.

    The entry of a cost shows what was asked, so hardly anything has to be stored; hashing it would be a fourth of deciding it.
    """
    if isinstance(command, RecordCost):
        return COVERED_STRICTLY if command.reject_overdraft else COVERED
    return hashed(command)


def is_same_request(entry: Entry, command: Change) -> bool:
    """Whether the command asks for what the entry was made for. The price of usage is no part of it: cards change."""
    if not isinstance(command, RecordCost) or entry.fingerprint not in (COVERED, COVERED_STRICTLY):
        return entry.fingerprint == hashed(command)  # costs, too, before they were covered
    usage = command.priced.usage if command.priced else None
    return (
        entry.kind is EntryKind.COST
        and entry.fingerprint == fingerprint(command)
        and entry.usage == usage
        and (usage is not None or entry.amount_microcents == -command.cost_microcents)
        and entry.service == command.service
        and entry.labels == command.labels
        and entry.occur_time_us == command.occur_time_us
    )


def hashed(command: Change) -> int:
    """64 bits of what the caller asked, never of what came of it.

    They are stored: the encoding is part of the file format. `ascii` of a tuple of ints and strings is unambiguous and the same in
    every Python.
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
    asked_hash = _new_hash()
    asked_hash.update(ascii(asked).encode())
    number: int = _INT64.unpack(asked_hash.digest())[0]
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

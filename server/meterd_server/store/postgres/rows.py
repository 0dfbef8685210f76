"""How an entry and an account stand in a row, both ways: the one place that knows the columns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from uuid import UUID

from meterd_server.model import (
    Account,
    AccountMore,
    Entry,
    EntryKind,
    EntryMore,
    Reservation,
    ReservationState,
    usage_of,
    usage_text,
)
from meterd_server.store.texts import labels_of, labels_text, more_of, more_text

if TYPE_CHECKING:
    from collections.abc import Sequence

ACCOUNT = (
    ("version", "int8"),
    ("funded_microcents", "int8"),
    ("spent_microcents", "int8"),
    ("record_time_us", "int8"),
    ("residue_picocents", "int8"),
    ("more", "text"),
)
"""An account's columns beyond its key (bucket, user_id), in the order of `account_values`: (name, type)."""

ENTRY = (
    ("version", "int8"),
    ("kind", "int2"),
    ("amount_microcents", "int8"),
    ("balance_microcents", "int8"),
    ("request_id", "bytea"),
    ("fingerprint", "int8"),
    ("service", "text"),
    ("labels", "text"),
    ("occur_time_us", "int8"),
    ("record_time_us", "int8"),
    ("residue_picocents", "int8"),
    ("usage", "text"),
    ("more", "text"),
)
"""An entry's columns beyond (bucket, user_id), in the order of `entry_values`: (name, type)."""

RESERVATION = (
    ("reservation_id", "bytea"),
    ("version", "int8"),
    ("state", "int2"),
    ("amount_microcents", "int8"),
    ("held_microcents", "int8"),
    ("captured_microcents", "int8"),
    ("floor_microcents", "int8"),
    ("captures_floor", "bool"),
    ("expire_time_us", "int8"),
    ("unsettled_microcents", "int8"),
    ("service", "text"),
)
"""A reservation's columns beyond (bucket, user_id), in the order of its fields: (name, type)."""

Row = tuple[Any, ...]

_UUID_BYTES = 16
_canonical_uuid = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch


def pack_request_id(request_id: str) -> bytes:
    """16 bytes for a UUID in canonical lower-case form, else the text; one of 16 characters gets a zero byte before it."""
    if len(request_id) == 36 and _canonical_uuid(request_id):
        return bytes.fromhex(request_id.replace("-", ""))
    text = request_id.encode()
    return text if len(text) != _UUID_BYTES else b"\0" + text


def unpack_request_id(packed: bytes) -> str:
    """The request id as the caller sent it."""
    return str(UUID(bytes=packed)) if len(packed) == _UUID_BYTES else packed.removeprefix(b"\0").decode()


def account_values(account: Account) -> Row:
    """The values of ACCOUNT."""
    return (*account[1:-1], more_text(account.more))


def account_from_row(user_id: str, row: Sequence[Any]) -> Account:
    """The account of a row of ACCOUNT."""
    version, funded, spent, record_time_us, residue_picocents, more = row
    return Account(user_id, version, funded, spent, record_time_us, residue_picocents, more_of(AccountMore, more))


def entry_values(entry: Entry) -> Row:
    """The values of ENTRY."""
    return (
        entry.version,
        entry.kind,
        entry.amount_microcents,
        entry.balance_microcents,
        pack_request_id(entry.request_id),
        entry.fingerprint,
        entry.service or None,
        labels_text(entry.labels),
        entry.occur_time_us,
        entry.record_time_us,
        entry.residue_picocents,
        usage_text(entry.usage, entry.rate_card),
        more_text(entry.more),
    )


def entry_from_row(user_id: str, row: Sequence[Any]) -> Entry:
    """The entry of a row of ENTRY."""
    version, kind, amount, balance, request_id, fingerprint, service, labels = row[:8]
    occur_time_us, record_time_us, residue_picocents, usage, more = row[8:]
    return Entry(
        user_id,
        version,
        EntryKind(kind),
        amount,
        balance,
        unpack_request_id(request_id),
        fingerprint,
        service or "",
        labels_of(labels),
        occur_time_us,
        record_time_us,
        residue_picocents,
        *usage_of(usage),
        more_of(EntryMore, more),
    )


def reservation_values(reservation: Reservation) -> Row:
    """The values of RESERVATION."""
    return (pack_request_id(reservation.reservation_id), *reservation[1:])


def reservation_from_row(row: Sequence[Any]) -> Reservation:
    """The reservation of a row of RESERVATION."""
    reservation_id, version, state, *rest = row
    return Reservation(unpack_request_id(reservation_id), version, ReservationState(state), *rest)

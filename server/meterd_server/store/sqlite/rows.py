"""How an entry and an account stand in a row: the compact forms, both ways."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from uuid import UUID

from meterd_server.model import Account, Entry, EntryKind
from meterd_server.store.texts import labels_of, labels_text, usage_of, usage_text

ENTRY_COLUMNS = (
    "entry_id, account_id, version, previous_entry_id, kind, amount_microcents, balance_microcents, request_id, fingerprint, "
    "service, labels, occur_time_us, record_time_us, residue_picocents, usage"
)
ACCOUNT_COLUMNS = (
    "account_id, version, last_entry_id, funded_microcents, spent_microcents, record_time_us, residue_picocents"
)

_canonical_uuid = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch


class Held(NamedTuple):
    """An account with what only the file's tables know of it."""

    account_id: int
    last_entry_id: int
    account: Account


def pack_request_id(request_id: str) -> bytes | str:
    """16 bytes for a UUID in canonical lower-case form, else the text itself: less than half the index for what clients send."""
    if len(request_id) == 36 and _canonical_uuid(request_id):
        return bytes.fromhex(request_id.replace("-", ""))
    return request_id


def unpack_request_id(packed: bytes | str) -> str:
    """The request id as the caller sent it."""
    return packed if isinstance(packed, str) else str(UUID(bytes=packed))


def entry_row(entry_id: int, account_id: int, previous_entry_id: int, entry: Entry) -> tuple[Any, ...]:
    """The values for ENTRY_COLUMNS."""
    return (
        entry_id,
        account_id,
        entry.version,
        previous_entry_id,
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
        usage_text(entry),
    )


def entry_from_row(user_id: str, row: tuple[Any, ...]) -> Entry:
    """The entry of a row of ENTRY_COLUMNS."""
    _, _, version, _, kind, amount, balance, request_id, fingerprint, service, labels = row[:11]
    occur_time_us, record_time_us, residue_picocents, usage = row[11:]
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
    )


def account_row(held: Held) -> tuple[int, ...]:
    """The values for ACCOUNT_COLUMNS."""
    _, version, *totals = held.account
    return (held.account_id, version, held.last_entry_id, *totals)


def held_from_row(user_id: str, row: tuple[Any, ...]) -> Held:
    """The account of a row of ACCOUNT_COLUMNS."""
    account_id, version, last_entry_id, *totals = row
    return Held(account_id, last_entry_id, Account(user_id, version, *totals))

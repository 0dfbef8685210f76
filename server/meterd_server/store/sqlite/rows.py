"""How an entry and an account stand in a row: the compact forms, both ways."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from meterd_server.model import Account, Entry, EntryKind, RateCardKey, Usage

if TYPE_CHECKING:
    from meterd_server.model import Labels

ENTRY_COLUMNS = (
    "entry_id, account_id, version, previous_entry_id, kind, amount_microcents, balance_microcents, request_id, fingerprint, "
    "service, labels, occur_time_us, record_time_us, residue_picocents, usage"
)
ACCOUNT_COLUMNS = (
    "account_id, version, last_entry_id, funded_microcents, spent_microcents, record_time_us, residue_picocents"
)

_to_json = json.JSONEncoder(separators=(",", ":")).encode
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
        _to_json(dict(entry.labels)) if entry.labels else None,
        entry.occur_time_us,
        entry.record_time_us,
        entry.residue_picocents,
        usage_text(entry) if entry.usage else None,
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
        _labels(labels),
        occur_time_us,
        record_time_us,
        residue_picocents,
        *usage_of(usage),
    )


def usage_text(entry: Entry) -> str:
    """What an entry says of usage, as JSON: service, model, quantities, and the model and version of the card."""
    if entry.usage is None or entry.rate_card is None:
        raise ValueError("an entry without usage")
    service, model, quantities = entry.usage
    # A meter has nothing to escape, and the names are few: a third of the time that it takes to encode it all.
    begin, end = _around_units(service, model, entry.rate_card)
    return begin + ",".join([f'"{meter}":{units}' for meter, units in quantities]) + end


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


def account_row(held: Held) -> tuple[int, ...]:
    """The values for ACCOUNT_COLUMNS."""
    _, version, *totals = held.account
    return (held.account_id, version, held.last_entry_id, *totals)


def held_from_row(user_id: str, row: tuple[Any, ...]) -> Held:
    """The account of a row of ACCOUNT_COLUMNS."""
    account_id, version, last_entry_id, *totals = row
    return Held(account_id, last_entry_id, Account(user_id, version, *totals))


def _labels(text: str | None) -> Labels:
    return tuple(sorted(json.loads(text).items())) if text else ()

"""How an entry and an account stand in a row: the compact forms, both ways.

sqlite3 binds an int, a str or a bytearray as it is. For anything else (a None, bytes, an enum) it first looks whether somebody
has registered an adapter, which takes as long as inserting a third of the row.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import count, repeat
from operator import neg
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from meterd_server.model import Account, AccountMore, Entry, EntryKind, EntryMore, usage_of, usage_text
from meterd_server.store.texts import labels_of, labels_text, more_of, more_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from meterd_server.model import RecordedColumns

PLAIN_ENTRY_COLUMNS = (
    "entry_id, account_id, version, previous_entry_id, kind, amount_microcents, balance_microcents, request_id, fingerprint, "
    "service, record_time_us, residue_picocents"
)
"""The columns that every entry has."""

ENTRY_COLUMNS = f"{PLAIN_ENTRY_COLUMNS}, usage, labels, occur_time_us, more"
"""All of them, what is most common first: a row may end where nothing more is to be said."""

PLAIN_ACCOUNT_COLUMNS = (
    "account_id, version, last_entry_id, funded_microcents, spent_microcents, record_time_us, residue_picocents"
)
"""The columns that every account has."""

ACCOUNT_COLUMNS = f"{PLAIN_ACCOUNT_COLUMNS}, more"

_UUID_BYTES = 16
_UUID_DIGITS = 32
_UUID_CHARACTERS = 36
_UUID_DASHES = (8, 13, 18, 23)
_canonical_uuid = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch


class Held(NamedTuple):
    """An account with what only the file's tables know of it."""

    account_id: int
    last_entry_id: int
    account: Account


def pack_request_id(request_id: str) -> bytearray | str:
    """16 bytes for a UUID in canonical lower-case form, else the text itself: less than half the index for what clients send."""
    if len(request_id) == _UUID_CHARACTERS and _canonical_uuid(request_id):
        return bytearray.fromhex(request_id.replace("-", ""))
    return request_id


def pack_request_ids(request_ids: Sequence[str]) -> Sequence[bytearray | str]:
    """What `pack_request_id` makes of each: all at once, if all are UUIDs in canonical form."""
    text = "".join(request_ids)
    if [*map(len, request_ids)] == [_UUID_CHARACTERS] * len(request_ids):
        digits = text.replace("-", "")
        dashes = {text[place::_UUID_CHARACTERS] for place in _UUID_DASHES}
        if len(digits) == _UUID_DIGITS * len(request_ids) and dashes == {"-" * len(request_ids)}:
            try:
                packed = bytearray.fromhex(digits)
            except ValueError:
                packed = bytearray()
            if packed.hex() == digits:  # in lower case, and without any space
                return [packed[start : start + _UUID_BYTES] for start in range(0, len(packed), _UUID_BYTES)]
    return [*map(pack_request_id, request_ids)]


def unpack_request_id(packed: bytes | str) -> str:
    """The request id as the caller sent it."""
    return packed if isinstance(packed, str) else str(UUID(bytes=packed))


def entry_row(entry_id: int, account_id: int, previous_entry_id: int, entry: Entry) -> tuple[Any, ...]:
    """The values for the first of ENTRY_COLUMNS, at least PLAIN_ENTRY_COLUMNS; for all of them, if there is that much to say."""
    (
        _,
        version,
        kind,
        amount,
        balance,
        request_id,
        fingerprint,
        service,
        labels,
        occur_time_us,
        record_time_us,
        residue_picocents,
        usage,
        rate_card,
        more,
    ) = entry
    row = (
        entry_id,
        account_id,
        version,
        previous_entry_id,
        int(kind),
        amount,
        balance,
        pack_request_id(request_id),
        fingerprint,
        service or None,
        record_time_us,
        residue_picocents,
    )
    if labels or occur_time_us is not None or more is not None:
        return (*row, usage_text(usage, rate_card), labels_text(labels), occur_time_us, more_text(more))
    return row if usage is None else (*row, usage_text(usage, rate_card))


def cost_rows(
    first_entry_id: int, account_ids: Iterable[int], previous_entry_ids: Iterable[int], recorded: RecordedColumns
) -> tuple[str, Iterator[tuple[Any, ...]]]:
    """What `entry_row` makes of the entries of costs, whose ids follow each other: which columns, and the rows one by one."""
    costs, numbers = recorded.costs, recorded.numbers
    columns: list[Iterable[Any]] = [
        count(first_entry_id),
        account_ids,
        numbers.versions,
        previous_entry_ids,
        repeat(int(EntryKind.COST)),
        map(neg, numbers.charges_microcents),
        recorded.balances_microcents,
        pack_request_ids(costs.request_ids),
        repeat(recorded.fingerprint),
        [service or None for service in costs.services],
        numbers.record_times_us,
        numbers.residues_picocents,
    ]
    if costs.priced:
        columns.append(costs.priced.usage_texts)
    return leading(ENTRY_COLUMNS, len(columns)), zip(*columns)  # noqa: B905 -- some of them may go on for ever


def alike(columns: str, rows: Sequence[tuple[Any, ...]]) -> tuple[str, Sequence[tuple[Any, ...]]]:
    """Rows of `entry_row` or `account_row` for one statement: which of the columns, and the rows with a value for each."""
    lengths = {*map(len, rows)}
    length = max(lengths)
    names = leading(columns, length)
    if len(lengths) == 1:
        return names, rows
    return names, [row if len(row) == length else (*row, *(None,) * (length - len(row))) for row in rows]


@cache
def leading(columns: str, count: int) -> str:
    """The names of the first so many columns."""
    return ",".join(columns.split(",")[:count])


def entry_from_row(user_id: str, row: tuple[Any, ...]) -> Entry:
    """The entry of a row of ENTRY_COLUMNS."""
    _, _, version, _, kind, amount, balance, request_id, fingerprint, service = row[:10]
    record_time_us, residue_picocents, usage, labels, occur_time_us, more = row[10:]
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


def account_row(held: Held) -> tuple[Any, ...]:
    """The values for ACCOUNT_COLUMNS; for PLAIN_ACCOUNT_COLUMNS only, if that is all there is to say."""
    _, version, *totals, more = held.account
    row = (held.account_id, version, held.last_entry_id, *totals)
    return row if more is None else (*row, more_text(more))


def held_from_row(user_id: str, row: tuple[Any, ...]) -> Held:
    """The account of a row of ACCOUNT_COLUMNS."""
    account_id, version, last_entry_id, funded, spent, record_time_us, residue_picocents, more = row
    account = Account(user_id, version, funded, spent, record_time_us, residue_picocents, more_of(AccountMore, more))
    return Held(account_id, last_entry_id, account)

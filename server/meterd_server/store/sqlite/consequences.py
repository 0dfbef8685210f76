"""What follows from entries, in the file: written with them, looked up for a decision, and read when its time is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meterd_server.model import Reservation, ReservationState
from meterd_server.rules import Facts, Original, charged_for
from meterd_server.store.consequences import due_commands
from meterd_server.store.sqlite.listing import list_entries
from meterd_server.store.sqlite.rows import pack_request_id, unpack_request_id
from meterd_server.store.sqlite.statements import insert

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping

    from meterd_server.model import Command
    from meterd_server.rules import Needs
    from meterd_server.store.consequences import Consequences
    from meterd_server.store.sqlite.rows import Held
    from meterd_server.store.sqlite.statements import Statement

_RESERVATION_COLUMNS = (
    "reservation_id, account_id, version, state, amount_microcents, held_microcents, captured_microcents, floor_microcents, "
    "captures_floor, expire_time_us, unsettled_microcents, service"
)
_FIND_RESERVATION = f"SELECT {_RESERVATION_COLUMNS} FROM reservation WHERE reservation_id = ? AND account_id = ?"
_FIND_REVERSED = "SELECT reversed_microcents FROM reversal WHERE account_id = ? AND version = ?"
_GRANT_DONE = "DELETE FROM grant_due WHERE account_id = ? AND version = ?"
_DUE_RESERVATIONS = (
    "SELECT expire_time_us, user_id, version, reservation_id FROM reservation JOIN user USING (account_id)"
    f" WHERE state = {ReservationState.OPEN:d} AND expire_time_us <= ? ORDER BY expire_time_us LIMIT ?"
)
_DUE_GRANTS = (
    "SELECT expire_time_us, user_id FROM grant_due JOIN user USING (account_id)"
    " WHERE expire_time_us <= ? ORDER BY expire_time_us LIMIT ?"
)


def statements_for(after: Consequences, account_id_of: Callable[[str], int]) -> Iterator[Statement]:
    """What is to be executed in the entries' transaction."""
    reservations = [
        (pack_request_id(reservation_id), account_id_of(user_id), *map(int, row[1:-1]), row[-1])
        for (user_id, reservation_id), row in after.reservations.items()
    ]
    yield from insert("REPLACE", "reservation", _RESERVATION_COLUMNS, reservations)
    reversals = [(account_id_of(key[0]), key[1], total) for key, total in after.reversed_microcents.items()]
    yield from insert("REPLACE", "reversal", "account_id, version, reversed_microcents", reversals)
    grants = [(account_id_of(key[0]), key[1], expire_time_us) for key, expire_time_us in after.grants_due.items()]
    yield from insert("INSERT", "grant_due", "account_id, version, expire_time_us", grants)
    for user_id, version in after.grants_done:
        yield _GRANT_DONE, (account_id_of(user_id), version)


def read_facts(connection: sqlite3.Connection, wanted: Needs, held: Mapping[str, Held]) -> Facts:
    """What there is of what is wanted; `held` has every user with an entry."""
    originals = {}
    for user_id, version in wanted.originals:
        if known := held.get(user_id):
            only = list_entries(
                connection, known, after_version=version - 1, before_version=version + 1, newest_first=True, limit=1
            )
            for entry in only:
                row = connection.execute(_FIND_REVERSED, (known.account_id, version)).fetchone()
                originals[user_id, version] = Original(entry, row[0] if row else 0)
    reservations = {}
    for user_id, reservation_id in wanted.reservations.union(charged_for(originals.values())):
        if known := held.get(user_id):
            key = (pack_request_id(reservation_id), known.account_id)
            if row := connection.execute(_FIND_RESERVATION, key).fetchone():
                reservations[user_id, reservation_id] = _reservation_from_row(row)
    return Facts(reservations, originals)


def list_due(connection: sqlite3.Connection, now_us: int, limit: int) -> list[Command]:
    """See `Store.due`."""
    reservations = [
        (expire_time_us, user_id, version, unpack_request_id(reservation_id))
        for expire_time_us, user_id, version, reservation_id in connection.execute(_DUE_RESERVATIONS, (now_us, limit))
    ]
    return due_commands(reservations, connection.execute(_DUE_GRANTS, (now_us, limit)), limit)


def _reservation_from_row(row: tuple[Any, ...]) -> Reservation:
    reservation_id, _, version, state, amount, held, captured, floor, captures_floor, *rest = row
    return Reservation(
        unpack_request_id(reservation_id),
        version,
        ReservationState(state),
        amount,
        held,
        captured,
        floor,
        bool(captures_floor),
        *rest,
    )

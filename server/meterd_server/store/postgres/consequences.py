"""What follows from entries, in the database: written with them, and looked up for a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meterd_server.rules import Facts, Original, charged_for
from meterd_server.store.postgres.arguments import arguments
from meterd_server.store.postgres.rows import (
    entry_from_row,
    pack_request_id,
    reservation_from_row,
    reservation_values,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from meterd_server.rules import EntryKey, Needs
    from meterd_server.store.consequences import Consequences
    from meterd_server.store.postgres.connections import Connection
    from meterd_server.store.postgres.statements import Statements


async def write_consequences(connection: Connection, statements: Statements, after: Consequences) -> None:
    """Write what follows, inside the entries' transaction."""
    reservations = [(user_id, reservation_values(row)) for (user_id, _), row in after.reservations.items()]
    for statement, rows in (
        (statements.put_reservations, reservations),
        (statements.put_reversals, _by_entry(after.reversed_microcents)),
        (statements.insert_grants, _by_entry(after.grants_due)),
        (statements.grants_lapsed, [(user_id, (version,)) for user_id, version in after.grants_done]),
    ):
        if rows:
            await connection.execute(statement, *arguments(statements, rows, len(rows[0][1])))


async def read_facts(connection: Connection, statements: Statements, wanted: Needs, known: Collection[str]) -> Facts:
    """What there is of what is wanted, of users who are `known`: whose accounts are locked."""
    reservations, originals = {}, {}
    versions = [(user_id, (version,)) for user_id, version in wanted.originals if user_id in known]
    if versions:
        for user_id, reversed_microcents, *row in await connection.fetch(
            statements.originals, *arguments(statements, versions, 1)
        ):
            entry = entry_from_row(user_id, row)
            originals[user_id, entry.version] = Original(entry, reversed_microcents)
    keys = wanted.reservations.union(charged_for(originals.values()))
    ids = [(user_id, (pack_request_id(each),)) for user_id, each in keys if user_id in known]
    if ids:
        for user_id, *row in await connection.fetch(statements.reservations, *arguments(statements, ids, 1)):
            reservation = reservation_from_row(row)
            reservations[user_id, reservation.reservation_id] = reservation
    return Facts(reservations, originals)


def _by_entry(numbers: Mapping[EntryKey, int]) -> list[tuple[str, tuple[Any, ...]]]:
    return [(user_id, (version, number)) for (user_id, version), number in numbers.items()]

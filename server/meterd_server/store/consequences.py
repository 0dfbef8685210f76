"""What follows from entries besides the accounts, and is kept where it can be looked up: the same in every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from meterd_server.model import EntryKind, Expire, Lapse
from meterd_server.rules import expiry_request_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meterd_server.model import Command, Entry, Reservation
    from meterd_server.rules import EntryKey, ReservationKey

DueReservation = tuple[int, str, int, str]
"""When, whose, the version of its entry, its id."""

DueGrant = tuple[int, str]
"""When, whose."""


class Consequences(NamedTuple):
    """What is to be written in the entries' own transaction, each key once."""

    reservations: dict[ReservationKey, Reservation]
    """As they are now, in place of what they were."""
    reversed_microcents: dict[EntryKey, int]
    """How much of an entry is reversed by now, in place of what it was."""
    grants_due: dict[EntryKey, int]
    """When what is left of new grants comes due."""
    grants_done: set[EntryKey]
    """Grants that come due no more; some of them may never have been written."""


def consequences(entries: Iterable[Entry]) -> Consequences | None:
    """What follows from entries, each user's in order; None, as for most batches, if nothing does."""
    special = [(entry, entry.more) for entry in entries if entry.more is not None]
    if not special:
        return None
    after = Consequences({}, {}, {}, set())
    for entry, said in special:
        user_id = entry.user_id
        if said.reservation:
            after.reservations[user_id, said.reservation.reservation_id] = said.reservation
        if said.reversal:
            after.reversed_microcents[user_id, said.reversal.version] = said.reversal.reversed_microcents
        if said.grant and said.grant.expire_time_us is not None:
            after.grants_due[user_id, entry.version] = said.grant.expire_time_us
        if entry.kind is EntryKind.LAPSE:
            for draw in said.draws:
                after.grants_due.pop((user_id, draw.version), None)
                after.grants_done.add((user_id, draw.version))
    return after


def due_commands(reservations: Iterable[DueReservation], grants: Iterable[DueGrant], limit: int) -> list[Command]:
    """The commands that end what is due, at most `limit`, oldest first: an Expire for a reservation, one Lapse for a user."""
    due: list[tuple[int, Command]] = [
        (expire_time_us, Expire(user_id, expiry_request_id(version), reservation_id))
        for expire_time_us, user_id, version, reservation_id in reservations
    ]
    first: dict[str, int] = {}
    for expire_time_us, user_id in grants:
        first[user_id] = min(expire_time_us, first.get(user_id, expire_time_us))
    due += [(expire_time_us, Lapse(user_id)) for user_id, expire_time_us in first.items()]
    due.sort(key=lambda each: each[0])
    return [command for _, command in due[:limit]]

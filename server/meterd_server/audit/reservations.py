"""What has to hold of one user's reservations, entry by entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterd_server.audit.difference import Difference, DifferenceError
from meterd_server.model import EntryKind, ReservationState

if TYPE_CHECKING:
    from meterd_server.model import Entry, EntryMore, Reservation

_State = ReservationState

_BECOMES: dict[tuple[EntryKind, ReservationState | None], tuple[ReservationState, ...]] = {
    (EntryKind.RESERVATION, None): (_State.OPEN,),
    (EntryKind.CAPTURE, _State.OPEN): (_State.OPEN, _State.CAPTURED),
    (EntryKind.CAPTURE, _State.EXPIRED): (_State.EXPIRED, _State.SETTLED),
    (EntryKind.RELEASE, _State.OPEN): (_State.RELEASED,),
    (EntryKind.EXTENSION, _State.OPEN): (_State.OPEN,),
    (EntryKind.EXPIRY, _State.OPEN): (_State.EXPIRED,),
    (EntryKind.REVERSAL, _State.EXPIRED): (_State.EXPIRED,),
}
"""By an entry's kind and the state that it found (None: no reservation), the states that it may leave."""

KINDS = frozenset(kind for kind, _ in _BECOMES) - {EntryKind.REVERSAL}
"""The entries that open, change or end a reservation: all of them say what it is afterwards.

A reversal does, too, if it undoes what an expiry charged and a late capture may still come."""

_MAY_CHANGE = (_State.OPEN, _State.EXPIRED)


class Reservations:
    """One user's reservations as the entries so far leave them. Only those that may still change are kept here."""

    def __init__(self) -> None:
        self.unfinished: dict[str, Reservation] = {}
        """Open ones, and those whose capture may still come late."""
        self.finished: list[Reservation] = []
        """What has ended since somebody emptied this list: no entry may name it again."""
        self.made = 0
        """How many there ever were."""

    @property
    def held_microcents(self) -> int:
        """The sum of what open ones hold."""
        return sum(each.held_microcents for each in self.unfinished.values())

    def take(self, entry: Entry, said: EntryMore) -> None:
        """Take in an entry of one of `KINDS`, or a reversal that says something of a reservation. Raises `DifferenceError`."""
        after = said.reservation
        if after is None:
            raise _difference(entry, "its reservation", "one", "none")
        before = self.unfinished.get(after.reservation_id)
        may_become = _BECOMES.get((entry.kind, before.state if before else None))
        if may_become is None:
            found = f"{before.state.name.lower()}" if before else "none that may change"
            raise _difference(entry, f"what its reservation was before the {entry.kind.name}", "one that fits", found)
        if after.state not in may_become:
            states = " or ".join(state.name for state in may_become)
            raise _difference(entry, f"the state that the {entry.kind.name} leaves", states, after.state.name)
        held_before = before.held_microcents if before else 0
        captured_before = before.captured_microcents if before else 0
        opened = (after.reservation_id, after.version)
        expected_opened = (before.reservation_id, before.version) if before else (entry.request_id, entry.version)
        follows: tuple[tuple[str, object, object], ...] = (
            ("the reservation's id and version", expected_opened, opened),
            ("the change of held_microcents", after.held_microcents - held_before, said.held_microcents),
            (
                "captured_microcents of the reservation",
                # What was charged for it stays so, whatever of it was given back.
                captured_before - min(0, entry.amount_microcents),
                after.captured_microcents,
            ),
        )
        for what, expected, stored in follows:
            if expected != stored:
                raise _difference(entry, what, expected, stored)
        if after.held_microcents < 0 or (after.held_microcents and after.state is not _State.OPEN):
            raise _difference(
                entry, "held_microcents of the reservation", "0, or more while it is open", after.held_microcents
            )
        self.made += before is None
        if after.state in _MAY_CHANGE:
            self.unfinished[after.reservation_id] = after
        else:
            del self.unfinished[after.reservation_id]
            self.finished.append(after)


def _difference(entry: Entry, what: str, expected: object, stored: object) -> DifferenceError:
    return DifferenceError(Difference(entry.user_id, entry.version, what, expected, stored))

"""What a decision needs to know besides accounts: reservations, and entries that are to be reversed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeGuard

from meterd_server.model import (
    Capture,
    Check,
    EntryKind,
    Expire,
    Extend,
    Lapse,
    RecordCost,
    RecordFunding,
    Release,
    Reserve,
    Reverse,
    SetPolicy,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from meterd_server.model import Change, Command, Entry, Reservation

ReservationKey = tuple[str, str]
"""(user_id, reservation_id)."""

EntryKey = tuple[str, int]
"""(user_id, version)."""

RequestKey = tuple[str, str]
"""(user_id, request_id): what is unique for ever."""

_NEED_NOTHING = frozenset((RecordCost, RecordFunding, Check, Reserve, SetPolicy, Lapse))


class Original(NamedTuple):
    """An entry that may be reversed, and how much of it was."""

    entry: Entry
    reversed_microcents: int


class Needs(NamedTuple):
    """What a store has to look up for a batch. What it does not find, it leaves out."""

    reservations: frozenset[ReservationKey]
    originals: frozenset[EntryKey]


def charged_for(originals: Iterable[Original]) -> Iterator[ReservationKey]:
    """The reservations that have to be looked up, too, if these entries are to be reversed: whose expiries they are."""
    for entry, _ in originals:
        if entry.kind is EntryKind.EXPIRY and entry.more and entry.more.reservation:
            yield (entry.user_id, entry.more.reservation.reservation_id)


class Facts(NamedTuple):
    """What was found of a batch's needs."""

    reservations: Mapping[ReservationKey, Reservation]
    originals: Mapping[EntryKey, Original]


NO_FACTS = Facts({}, {})


def needs(commands: Iterable[Command]) -> Needs | None:
    """What has to be looked up to decide these; None, as for most batches, if nothing has."""
    if _NEED_NOTHING.issuperset(map(type, commands)):
        return None
    return Needs(
        frozenset(
            (each.user_id, each.reservation_id)
            for each in commands
            if isinstance(each, Capture | Release | Extend | Expire)
        ),
        frozenset((each.user_id, each.version) for each in commands if isinstance(each, Reverse)),
    )


def may_be_recorded(command: Command) -> TypeGuard[Change]:
    """Whether a command has a request id under which there may be an entry already."""
    return not isinstance(command, Check | Lapse) and not command.request_id_is_new


class Books:
    """Facts as the commands of a batch change them."""

    def __init__(self, facts: Facts, made: Mapping[RequestKey, Entry]) -> None:
        self._facts = facts
        self._made = made
        self._reservations: dict[ReservationKey, Reservation] = {}
        self._reversed: dict[EntryKey, int] = {}

    def reservation(self, user_id: str, reservation_id: str) -> Reservation | None:
        """The reservation as it is now."""
        key = (user_id, reservation_id)
        return self._reservations.get(key) or self._facts.reservations.get(key)

    def original(self, user_id: str, version: int) -> Original | None:
        """The entry, with how much of it is reversed by now."""
        key = (user_id, version)
        found = self._facts.originals.get(key)
        if found is None:
            entry = next((each for each in self._made.values() if each[:2] == key), None)
            if entry is None:
                return None
            found = Original(entry, 0)
        return Original(found.entry, self._reversed.get(key, found.reversed_microcents))

    def charged_for(self, original: Original | None) -> Reservation | None:
        """The reservation as it is now, if the entry is its expiry."""
        key = next(charged_for([original] if original else ()), None)
        return self.reservation(*key) if key else None

    def note(self, entry: Entry) -> None:
        """Take in what an entry of this batch says of reservations and reversals."""
        if entry.more is None:
            return
        if reservation := entry.more.reservation:
            self._reservations[entry.user_id, reservation.reservation_id] = reservation
        if reversal := entry.more.reversal:
            self._reversed[entry.user_id, reversal.version] = reversal.reversed_microcents

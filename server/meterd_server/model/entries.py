"""An entry: one append-only row of the ledger, and what it may hold."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from meterd_server.model.accounts import Policy

Labels = tuple[tuple[str, str], ...]
"""A caller's labels, sorted by key, so that equal labels compare equal."""

Quantities = tuple[tuple[str, int], ...]
"""Units by meter, sorted by meter, so that equal usage compares equal."""


class Usage(NamedTuple):
    """What was used of a service, in its own units."""

    service: str
    model: str
    quantities: Quantities


class RateCardKey(NamedTuple):
    """Names a version of a rate card for ever."""

    service: str
    model: str
    version: int


class EntryKind(IntEnum):
    """What an entry did; the numbers are stored and on the wire (meterd.v1.EntryKind)."""

    COST = 1
    FUNDING = 2
    RESERVATION = 3
    CAPTURE = 4
    RELEASE = 5
    EXTENSION = 6
    EXPIRY = 7
    """A reservation expired."""
    LAPSE = 8
    """What was left of a grant expired."""
    REVERSAL = 9
    POLICY = 10


class ReservationState(IntEnum):
    """Where a reservation stands; the numbers are stored and on the wire (meterd.v1.ReservationState)."""

    OPEN = 1
    CAPTURED = 2
    RELEASED = 3
    EXPIRED = 4
    """Its time was over; what it was for may still be captured, late."""
    SETTLED = 5
    """It expired, and what it was for was captured afterwards."""


class Reservation(NamedTuple):
    """Money set aside, as it is after the entry that says so."""

    reservation_id: str
    """The request_id of the Reserve."""
    version: int
    """The entry that opened it."""
    state: ReservationState
    amount_microcents: int
    """All that was ever set aside."""
    held_microcents: int
    """What of it still is."""
    captured_microcents: int
    """What was charged for it, by captures and by its expiry."""
    floor_microcents: int
    """What is charged at least if it expires and `captures_floor`."""
    captures_floor: bool
    expire_time_us: int
    unsettled_microcents: int = 0
    """What its expiry charged in place of a capture that may still come."""
    service: str = ""


class Draw(NamedTuple):
    """How much was taken from a grant; negative: put back."""

    version: int
    """The grant's."""
    microcents: int


class GrantTerms(NamedTuple):
    """What a funding says of its money. Without an expiry it is no grant."""

    expire_time_us: int | None = None
    priority: int = 0
    label: str = ""


class Reversal(NamedTuple):
    """Which entry was reversed, and how much of it has been in all, with this reversal."""

    version: int
    reversed_microcents: int


class EntryMore(NamedTuple):
    """What most entries do not have."""

    held_microcents: int = 0
    """Signed effect on what is held."""
    reservation: Reservation | None = None
    """As it is after this entry."""
    overrun: bool = False
    """More was captured than was held."""
    late: bool = False
    """It was captured after the expiry."""
    draws: tuple[Draw, ...] = ()
    grant: GrantTerms | None = None
    policy: Policy | None = None
    """The account's after this entry."""
    reversal: Reversal | None = None


class Entry(NamedTuple):
    """One append-only row of the ledger, identified by (user_id, version)."""

    user_id: str
    version: int
    kind: EntryKind
    amount_microcents: int
    balance_microcents: int
    request_id: str
    fingerprint: int
    service: str
    labels: Labels
    occur_time_us: int | None
    record_time_us: int
    residue_picocents: int = 0
    """The account's, after this entry."""
    usage: Usage | None = None
    rate_card: RateCardKey | None = None
    """By which the usage was charged."""
    more: EntryMore | None = None

"""What belongs to an account beside its sums: reservations, grants, policy. Plain, frozen values, amounts in microcents."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ReservationState(StrEnum):
    """Where a reservation stands; it ends once."""

    UNKNOWN = "UNKNOWN"
    """A state that this version of the client does not know: the daemon is newer."""
    OPEN = "OPEN"
    """Money is held."""
    CAPTURED = "CAPTURED"
    """Ended by a final capture."""
    RELEASED = "RELEASED"
    """Ended by a release."""
    EXPIRED = "EXPIRED"
    """Ended because its time was over. What it was for may still be captured, late."""
    SETTLED = "SETTLED"
    """It had expired, and a final capture came afterwards."""


class OnExpiry(StrEnum):
    """What the expiry of a reservation does."""

    UNKNOWN = "UNKNOWN"
    """Something that this version of the client does not know: the daemon is newer."""
    RELEASE = "RELEASE"
    """What is held is available again."""
    CAPTURE_FLOOR = "CAPTURE_FLOOR"
    """What is missing to the floor is charged, and the rest is available again."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Money set aside before a cost is known."""

    reservation_id: str
    """The request_id of the `reserve` that made it; unique per user."""
    version: int
    """The version of the entry that opened it."""
    state: ReservationState
    """Where it stands."""
    amount_microcents: int
    """All that was ever set aside for it."""
    held_microcents: int
    """What of it still is held."""
    captured_microcents: int
    """What was charged for it, by captures and by its expiry."""
    floor_microcents: int
    """What is charged at least if it expires and `on_expiry` says so."""
    on_expiry: OnExpiry
    """What its expiry does."""
    expire_time: datetime
    """When it expires, in UTC by the daemon's clock: the entry follows within a second or so."""
    service: str
    """The service it is for, and that of its captures."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Money that expires: what came in with one funding, and what is left of it."""

    version: int
    """The version of the funding's entry."""
    amount_microcents: int
    """What came in, without what was taken back of it by reversals."""
    left_microcents: int
    """What is left of it, >= 0."""
    priority: int
    """Lower is drawn from first."""
    expire_time: datetime
    """When what is left lapses, in UTC."""
    label: str
    """What the funding called it."""


@dataclass(frozen=True, slots=True)
class GrantDraw:
    """How much of an entry's amount was a grant's."""

    version: int
    """The version of the grant's funding entry."""
    drawn_microcents: int
    """What was taken; negative: put back."""


@dataclass(frozen=True, slots=True)
class AccountPolicy:
    """What an account is allowed, whatever is in it."""

    credit_limit_microcents: int = 0
    """Added to what is available: how far below zero the user may go where funds are enforced, >= 0."""
    unlimited: bool = False
    """Funds are not enforced; costs are still recorded."""
    frozen: bool = False
    """Nothing new is allowed; incurred costs are still recorded."""

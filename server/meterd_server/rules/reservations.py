"""Money before it is spent: reserve, capture, release, extend, expire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterd_server.errors import Reason
from meterd_server.model import (
    Checked,
    EntryKind,
    EntryMore,
    Rejection,
    Reservation,
    ReservationState,
)
from meterd_server.pricing import PICOCENTS_PER_MICROCENT
from meterd_server.rules.accounts import append, next_entry
from meterd_server.rules.costs import refusal
from meterd_server.rules.fingerprints import fingerprint
from meterd_server.rules.grants import draws_for

if TYPE_CHECKING:
    from meterd_server.model import Account, Capture, Entry, Expire, Extend, Outcome, Release, Reserve

_State = ReservationState

_SAME_MOMENT_US = 1_000
"""So many extensions may fall into one microsecond of the clock."""


def expiry_request_id(version: int) -> str:
    """What the expiry of the reservation of that version is recorded under. A space is in no caller's request id."""
    return f"expiry {version}"


def decide_reserve(account: Account, command: Reserve, now_us: int) -> Outcome:
    """Set the amount aside if it is available; or, if the caller agrees, what there is."""
    amount = command.amount_microcents
    if command.priced:
        amount = (account.residue_picocents + command.priced.picocents) // PICOCENTS_PER_MICROCENT
    if command.floor_microcents > amount:
        return Rejection(
            Reason.FLOOR_OVER_AMOUNT,
            f"floor_microcents is above the {amount} microcents to be reserved",
            {"amount_microcents": amount, "floor_microcents": command.floor_microcents},
        )
    refused = refusal(account, amount)
    if refused:
        if not command.allow_partial or refused.reason is Reason.ACCOUNT_FROZEN or account.available_microcents <= 0:
            return refused
        amount = account.available_microcents
    usage = command.priced.usage if command.priced else None
    reservation = Reservation(
        command.request_id,
        account.version + 1,
        _State.OPEN,
        amount,
        amount,
        0,
        min(command.floor_microcents, amount),
        command.captures_floor,
        now_us + command.ttl_us,  # not from the record time: after a clock was set back, that is in the future
        service=command.service or (usage.service if usage else ""),
    )
    entry = next_entry(
        account,
        now_us,
        kind=EntryKind.RESERVATION,
        amount_microcents=0,
        request_id=command.request_id,
        fingerprint=fingerprint(command),
        service=reservation.service,
        labels=command.labels,
        usage=usage,
        rate_card=command.priced.rate_card if command.priced else None,
        more=EntryMore(amount, reservation),
    )
    return append(account, entry)


def decide_capture(account: Account, command: Capture, found: Reservation | None, now_us: int) -> Outcome:
    """Record what it did cost. The cost is real: it may be more than was held, and come after the expiry."""
    if found is None:
        return _not_found(command.reservation_id)
    if found.state not in (_State.OPEN, _State.EXPIRED):
        return _closed(found)
    cost, residue, usage, rate_card = command.cost_microcents, account.residue_picocents, None, None
    if command.priced:
        usage, picocents, rate_card = command.priced
        cost, residue = divmod(residue + picocents, PICOCENTS_PER_MICROCENT)
    late = found.state is _State.EXPIRED
    # What the expiry charged was for this.
    settled = min(cost, found.unsettled_microcents)
    charged = cost - settled
    released = found.held_microcents if command.final else min(charged, found.held_microcents)
    ended = _State.SETTLED if late else _State.CAPTURED
    after = found._replace(
        state=ended if command.final else found.state,
        held_microcents=found.held_microcents - released,
        captured_microcents=found.captured_microcents + charged,
        unsettled_microcents=found.unsettled_microcents - settled,
    )
    entry = next_entry(
        account,
        now_us,
        kind=EntryKind.CAPTURE,
        amount_microcents=-charged,
        request_id=command.request_id,
        fingerprint=fingerprint(command),
        service=found.service or (usage.service if usage else ""),
        labels=command.labels,
        occur_time_us=command.occur_time_us,
        residue_picocents=residue,
        usage=usage,
        rate_card=rate_card,
        more=EntryMore(
            -released,
            after,
            overrun=not late and charged > found.held_microcents,
            late=late,
            draws=draws_for(account, charged),
        ),
    )
    return append(account, entry)


def decide_release(account: Account, command: Release, found: Reservation | None, now_us: int) -> Outcome:
    """End the reservation: what is still held is available again."""
    if found is None:
        return _not_found(command.reservation_id)
    if found.state is not _State.OPEN:
        return _closed(found)
    after = found._replace(state=_State.RELEASED, held_microcents=0)
    said = EntryMore(-found.held_microcents, after)
    return append(account, _entry(account, now_us, command, EntryKind.RELEASE, said))


def decide_extend(account: Account, command: Extend, found: Reservation | None, now_us: int) -> Outcome:
    """Keep the reservation for longer, and set more aside if that is available."""
    if found is None:
        return _not_found(command.reservation_id)
    if found.state is not _State.OPEN:
        return _closed(found)
    added, fill_to = command.add_microcents, command.fill_to_microcents
    if fill_to is not None:
        added = max(0, fill_to - found.held_microcents)
    if added and (refused := refusal(account, added)):
        if fill_to is None or refused.reason is Reason.ACCOUNT_FROZEN:
            return refused
        added = max(0, account.available_microcents)
    after = found._replace(
        amount_microcents=found.amount_microcents + added, held_microcents=found.held_microcents + added
    )
    if command.ttl_us is not None:
        expire_time_us = now_us + command.ttl_us
        if fill_to is not None and 0 <= found.expire_time_us - expire_time_us < _SAME_MOMENT_US:
            # By its expiry a session tells its own slice from that of who went on with it: no two are the same.
            expire_time_us = found.expire_time_us + 1
        after = after._replace(expire_time_us=expire_time_us)
    return append(account, _entry(account, now_us, command, EntryKind.EXTENSION, EntryMore(added, after)))


def decide_expire(account: Account, command: Expire, found: Reservation | None, now_us: int) -> Outcome:
    """End the reservation if its time is over, charging what is missing to the floor if that was asked for."""
    if found is None or found.state is not _State.OPEN:
        return Checked(account, 0)
    if found.expire_time_us > now_us and found.expire_time_us != command.at_once_if_expires_us:
        # Somebody else extended it, or the clock was set back.
        return Checked(account, 0)
    missing = max(0, found.floor_microcents - found.captured_microcents) if found.captures_floor else 0
    after = found._replace(
        state=_State.EXPIRED,
        held_microcents=0,
        captured_microcents=found.captured_microcents + missing,
        unsettled_microcents=missing,
    )
    said = EntryMore(-found.held_microcents, after, draws=draws_for(account, missing))
    # What has no room in the account is refused, and the reservation stays as it is: nothing is lost.
    return append(account, _entry(account, now_us, command, EntryKind.EXPIRY, said, charged=missing))


def _entry(
    account: Account,
    now_us: int,
    command: Release | Extend | Expire,
    kind: EntryKind,
    said: EntryMore,
    *,
    charged: int = 0,
) -> Entry:
    return next_entry(
        account,
        now_us,
        kind=kind,
        amount_microcents=-charged,
        request_id=command.request_id,
        fingerprint=fingerprint(command),
        service=said.reservation.service if said.reservation else "",
        more=said,
    )


def _not_found(reservation_id: str) -> Rejection:
    return Rejection(
        Reason.RESERVATION_NOT_FOUND,
        f"the user has no reservation {reservation_id!r}",
        {"reservation_id": reservation_id},
    )


def _closed(found: Reservation) -> Rejection:
    return Rejection(
        Reason.RESERVATION_CLOSED,
        f"the reservation {found.reservation_id!r} is over: {found.state.name.lower()}",
        {"reservation_id": found.reservation_id, "state": found.state.name},
    )

"""What whoever runs the daemon does to an account: its policy, and undoing an entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterd_server.errors import Reason
from meterd_server.model import Draw, EntryKind, EntryMore, Policy, Rejection, ReservationState, Reversal
from meterd_server.rules.accounts import append, next_entry
from meterd_server.rules.fingerprints import fingerprint
from meterd_server.rules.grants import put_back

if TYPE_CHECKING:
    from meterd_server.model import Account, Entry, Outcome, Reservation, Reverse, SetPolicy
    from meterd_server.rules.facts import Original

_COSTS = (EntryKind.COST, EntryKind.CAPTURE, EntryKind.EXPIRY)


def decide_policy(account: Account, command: SetPolicy, now_us: int) -> Outcome:
    """The policy with what was given in the place of what was; the same again is an entry, too."""
    before = account.policy
    policy = Policy(
        before.credit_limit_microcents if command.credit_limit_microcents is None else command.credit_limit_microcents,
        before.unlimited if command.unlimited is None else command.unlimited,
        before.frozen if command.frozen is None else command.frozen,
    )
    return append(
        account,
        next_entry(
            account,
            now_us,
            kind=EntryKind.POLICY,
            amount_microcents=0,
            request_id=command.request_id,
            fingerprint=fingerprint(command),
            more=EntryMore(policy=policy),
        ),
    )


def decide_reverse(
    account: Account, command: Reverse, found: Original | None, charged_for: Reservation | None, now_us: int
) -> Outcome:
    """Undo an entry's effect on the balance, in part or whole, never more than the entry.

    `charged_for` is the reservation as it is now, if the entry is what its expiry charged.
    """
    details = {"version": command.version}
    if found is None:
        return Rejection(Reason.ENTRY_NOT_FOUND, f"the user has no entry {command.version}", details)
    entry = found.entry
    is_cost = entry.kind in _COSTS
    if not is_cost and not (entry.kind is EntryKind.FUNDING and entry.amount_microcents > 0):
        return Rejection(
            Reason.ENTRY_NOT_REVERSIBLE,
            f"entry {command.version} is neither a cost nor money that came in: {entry.kind.name.lower()}",
            {**details, "kind": entry.kind.name},
        )
    left = abs(entry.amount_microcents) - found.reversed_microcents
    amount = left if command.amount_microcents is None else command.amount_microcents
    if amount > left or amount == 0:
        return Rejection(
            Reason.REVERSAL_OVER_ENTRY,
            f"{left} microcents of entry {command.version} are left to reverse",
            {**details, "left_microcents": left, "amount_microcents": amount},
        )
    said = EntryMore(
        reservation=_no_longer_charged(charged_for, amount),
        draws=_put_back(account, found, amount) if is_cost else _taken_back(account, entry, amount),
        reversal=Reversal(command.version, found.reversed_microcents + amount),
    )
    return append(
        account,
        next_entry(
            account,
            now_us,
            kind=EntryKind.REVERSAL,
            amount_microcents=amount if is_cost else -amount,
            request_id=command.request_id,
            fingerprint=fingerprint(command),
            labels=command.labels,
            more=said,
        ),
    )


def _put_back(account: Account, found: Original, amount: int) -> tuple[Draw, ...]:
    """What goes back to grants that still stand, as far as their funding still does; the rest goes to the base.

    When money was taken back from a grant that had been drawn on, the base gave what the grant no longer had.
    """
    entry = found.entry
    drawn = entry.more.draws if entry.more else ()
    room = {grant.version: grant.amount_microcents - grant.left_microcents for grant in account.grants}
    back = put_back(drawn, -entry.amount_microcents, found.reversed_microcents, amount)
    return tuple(Draw(version, max(microcents, -room[version])) for version, microcents in back if room.get(version))


def _no_longer_charged(charged_for: Reservation | None, amount: int) -> Reservation | None:
    """The reservation whose expiry's charge is undone, if a late capture may come: what was given back is not settled by it."""
    if not charged_for or charged_for.state is not ReservationState.EXPIRED or not charged_for.unsettled_microcents:
        return None
    return charged_for._replace(unsettled_microcents=max(0, charged_for.unsettled_microcents - amount))


def _taken_back(account: Account, entry: Entry, amount: int) -> tuple[Draw, ...]:
    """Money that came in as a grant is taken from what is left of it; the rest from the base."""
    for grant in account.grants:
        if grant.version == entry.version and grant.left_microcents:
            return (Draw(grant.version, min(amount, grant.left_microcents)),)
    return ()

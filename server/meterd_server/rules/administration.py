"""What whoever runs the daemon does to an account: its policy, and undoing an entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterd_server.errors import Reason
from meterd_server.model import Draw, EntryKind, EntryMore, Policy, Rejection, Reversal
from meterd_server.rules.accounts import append, next_entry
from meterd_server.rules.fingerprints import fingerprint
from meterd_server.rules.grants import put_back

if TYPE_CHECKING:
    from meterd_server.model import Account, Entry, Outcome, Reverse, SetPolicy
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


def decide_reverse(account: Account, command: Reverse, found: Original | None, now_us: int) -> Outcome:
    """Undo an entry's effect on the balance, in part or whole, never more than the entry."""
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
    """What goes back to grants that still stand; the part of those that lapsed goes to the base."""
    entry = found.entry
    drawn = entry.more.draws if entry.more else ()
    standing = {grant.version for grant in account.more.grants} if account.more else set()
    back = put_back(drawn, -entry.amount_microcents, found.reversed_microcents, amount)
    return tuple(draw for draw in back if draw.version in standing)


def _taken_back(account: Account, entry: Entry, amount: int) -> tuple[Draw, ...]:
    """Money that came in as a grant is taken from what is left of it; the rest from the base."""
    for grant in account.more.grants if account.more else ():
        if grant.version == entry.version and grant.left_microcents:
            return (Draw(grant.version, min(amount, grant.left_microcents)),)
    return ()

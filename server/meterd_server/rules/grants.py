"""Money that expires: what is drawn from first, what lapses, and what is put back.

The base is the money without expiry: what the balance has beyond the grants. It is drawn from last, and only it goes below zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterd_server.model import Draw, EntryKind, EntryMore
from meterd_server.rules.accounts import apply, next_entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterd_server.model import Account, Entry


def draws_for(account: Account, cost_microcents: int) -> tuple[Draw, ...]:
    """What a cost takes from grants, in the order in which they are drawn from; the rest is the base's."""
    if account.more is None:
        return ()
    draws = []
    for grant in account.more.grants:
        if cost_microcents <= 0:
            break
        taken = min(cost_microcents, grant.left_microcents)
        if taken:
            draws.append(Draw(grant.version, taken))
            cost_microcents -= taken
    return tuple(draws)


def lapse(account: Account, now_us: int) -> tuple[Account, list[Entry]]:
    """The account without the grants whose time is over, and an entry for each of them, empty ones as well."""
    entries: list[Entry] = []
    if account.more is None:
        return account, entries
    due = [grant for grant in account.more.grants if grant.expire_time_us <= now_us]
    for grant in sorted(due, key=lambda each: (each.expire_time_us, each.version)):
        left = grant.left_microcents
        entry = next_entry(
            account,
            now_us,
            kind=EntryKind.LAPSE,
            amount_microcents=-left,
            request_id=lapse_request_id(grant.version),
            fingerprint=0,
            more=EntryMore(draws=(Draw(grant.version, left),)),
        )
        entries.append(entry)
        account = apply(account, entry)
    return account, entries


def lapse_request_id(version: int) -> str:
    """What the lapse of the grant of that version is recorded under. A space is in no caller's request id."""
    return f"lapse {version}"


def put_back(
    drawn: Sequence[Draw], cost_microcents: int, reversed_microcents: int, amount_microcents: int
) -> list[Draw]:
    """What of `amount_microcents` goes back to each grant when that much more of a cost is reversed, signed as a draw.

    What was drawn last is put back first: the base's part, then the grants' from the last to the first, each where the reversals
    before this one stopped.
    """
    begin, end = reversed_microcents, reversed_microcents + amount_microcents
    at = cost_microcents - sum(draw.microcents for draw in drawn)
    back = []
    for draw in reversed(drawn):
        part = min(end, at + draw.microcents) - max(begin, at)
        if part > 0:
            back.append(Draw(draw.version, -part))
        at += draw.microcents
    return back

"""How an entry changes an account, and how an entry is put after the last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterd_server.errors import Reason
from meterd_server.model import (
    ACCOUNT_MICROCENTS_MAX,
    NOTHING_MORE,
    SET_ASIDE_MICROCENTS_MAX,
    Account,
    AccountMore,
    Applied,
    Entry,
    EntryKind,
    Grant,
    Rejection,
)

if TYPE_CHECKING:
    from meterd_server.model import EntryMore, Labels, RateCardKey, Usage

_OUT_OF_RANGE = Rejection(
    Reason.AMOUNT_OUT_OF_RANGE, f"the account would leave the range of {ACCOUNT_MICROCENTS_MAX} microcents"
)
_HELD_OUT_OF_RANGE = Rejection(
    Reason.AMOUNT_OUT_OF_RANGE, f"more than {SET_ASIDE_MICROCENTS_MAX} microcents would be held"
)


def apply(account: Account, entry: Entry) -> Account:
    """The account after its next entry: how an account is rebuilt from its entries, and how `append` makes it."""
    user_id, _, funded, spent, _, _, more = account
    kind, amount = entry.kind, entry.amount_microcents
    lapsed = 0
    if kind is EntryKind.COST or kind is EntryKind.CAPTURE or kind is EntryKind.EXPIRY:
        spent -= amount
    elif kind is EntryKind.LAPSE:
        lapsed = -amount
    elif kind is EntryKind.REVERSAL and amount > 0:
        spent -= amount
    else:
        # What was funded, taken back by a reversal, or nothing.
        funded += amount
    if entry.more is not None:
        more = _more_after(more or NOTHING_MORE, entry, entry.more, lapsed)
    return Account(user_id, entry.version, funded, spent, entry.record_time_us, entry.residue_picocents, more)


def _more_after(more: AccountMore, entry: Entry, said: EntryMore, lapsed: int) -> AccountMore | None:
    grants = more.grants
    if said.draws:
        drawn = dict(said.draws)
        grants = tuple(
            grant._replace(left_microcents=grant.left_microcents - drawn.get(grant.version, 0))
            for grant in grants
            # What lapsed is no grant any more.
            if entry.kind is not EntryKind.LAPSE or grant.version not in drawn
        )
    if said.reversal and entry.amount_microcents < 0:
        # What was taken back of its funding, a grant is no more: nothing can be put back there.
        grants = tuple(
            grant._replace(amount_microcents=grant.amount_microcents + entry.amount_microcents)
            if grant.version == said.reversal.version
            else grant
            for grant in grants
        )
    if said.grant and (expire_time_us := said.grant.expire_time_us) is not None:
        _, priority, label = said.grant
        amount = entry.amount_microcents
        grant = Grant(entry.version, amount, amount, priority, expire_time_us, label)
        grants = tuple(sorted((*grants, grant), key=lambda each: each.drawn_in_order))
    after = AccountMore(
        more.held_microcents + said.held_microcents,
        more.lapsed_microcents + lapsed,
        more.policy if said.policy is None else said.policy,
        grants,
    )
    return None if after == NOTHING_MORE else after


def append(account: Account, entry: Entry) -> Applied | Rejection:
    """The account with its next entry, unless a total would leave its range."""
    after = apply(account, entry)
    more = after.more
    if (
        not 0 <= after.funded_microcents <= ACCOUNT_MICROCENTS_MAX
        or not 0 <= after.spent_microcents <= ACCOUNT_MICROCENTS_MAX
        or not -ACCOUNT_MICROCENTS_MAX <= entry.balance_microcents <= ACCOUNT_MICROCENTS_MAX
    ):
        return _OUT_OF_RANGE
    if more is not None:
        if more.held_microcents > SET_ASIDE_MICROCENTS_MAX:
            return _HELD_OUT_OF_RANGE
        # A lapse cannot be refused: there has to be room for it from the beginning.
        may_lapse = sum(grant.left_microcents for grant in more.grants)
        if (
            entry.balance_microcents - may_lapse < -ACCOUNT_MICROCENTS_MAX
            or more.lapsed_microcents + may_lapse > ACCOUNT_MICROCENTS_MAX
        ):
            return _OUT_OF_RANGE
    reservation = entry.more.reservation if entry.more else None
    if reservation and max(reservation.amount_microcents, reservation.captured_microcents) > ACCOUNT_MICROCENTS_MAX:
        return _OUT_OF_RANGE
    return Applied(entry, after, replayed=False)


def next_entry(
    account: Account,
    now_us: int,
    *,
    kind: EntryKind,
    amount_microcents: int,
    request_id: str,
    fingerprint: int,
    service: str = "",
    labels: Labels = (),
    occur_time_us: int | None = None,
    residue_picocents: int | None = None,
    usage: Usage | None = None,
    rate_card: RateCardKey | None = None,
    more: EntryMore | None = None,
) -> Entry:
    """The entry that comes after the account's last. None of residue: as it was."""
    return Entry(
        account.user_id,
        account.version + 1,
        kind,
        amount_microcents,
        account.balance_microcents + amount_microcents,
        request_id,
        fingerprint,
        service,
        labels,
        occur_time_us,
        next_record_time_us(account, now_us),
        account.residue_picocents if residue_picocents is None else residue_picocents,
        usage,
        rate_card,
        more,
    )


def next_record_time_us(account: Account, now_us: int) -> int:
    """When the account's next entry is recorded: a clock that was set back must not reorder a ledger."""
    last = account.record_time_us
    return now_us if now_us > last else last + 1

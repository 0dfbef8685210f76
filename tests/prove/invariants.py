"""What must hold of every ledger whatever happened to it, computed from entries without the rules' code.

`check_user` holds one user's entries against each other and against the stored account; `check_store` does so for everybody in a
store, whatever the engine. They raise `AssertionError` that names the first difference. What was acknowledged is for the proof to
know: `check_acknowledged`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterd_server.model import Account, EntryKind, Expire, Lapse, ReservationState
from meterd_server.rules import apply, expiry_request_id
from meterd_server.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from meterd_server.model import Command, Entry, Reservation
    from meterd_server.store import MovableStore

NEVER = 2**63 - 1
"""A version that none reaches."""

_SPENT = (EntryKind.COST, EntryKind.CAPTURE, EntryKind.EXPIRY)
_KEEP_BALANCE = (EntryKind.RESERVATION, EntryKind.RELEASE, EntryKind.EXTENSION, EntryKind.POLICY)
_ENDED = (ReservationState.CAPTURED, ReservationState.RELEASED, ReservationState.SETTLED)


async def check_store(store: MovableStore) -> dict[str, list[Entry]]:
    """Check every user of a store; return their entries, oldest first."""
    found: dict[str, list[Entry]] = {}
    after = None
    while page := await store.users(after, 1_000):
        for account in page:
            user_id = account.user_id
            found[user_id] = await entries_of(store, user_id)
            check_user(found[user_id], account)
            assert account == await store.account(user_id), f"{user_id}: two answers about one account"
        after = page[-1].user_id
    due = await store.due(NEVER, 1_000_000)
    expected = {command for entries in found.values() for command in _due(entries)}
    assert len(due) == len(set(due)), "something is due twice"
    assert expected == set(due), f"due beside what the entries say: {expected ^ set(due)}"
    return found


async def check_file(path: Path) -> None:
    """`check_store` for a SQLite file that nobody uses."""
    store = SqliteStore(path)
    await store.open()
    try:
        await check_store(store)
    finally:
        await store.close()


def _due(entries: Sequence[Entry]) -> set[Command]:
    """What ends when its time is over: every open reservation, and what a user has of grants."""
    due: set[Command] = set()
    user_id = entries[0].user_id
    for reservation in reservations_of(entries).values():
        if reservation.state is ReservationState.OPEN:
            due.add(Expire(user_id, expiry_request_id(reservation.version), reservation.reservation_id))
    if _grants_left(entries, user_id):
        due.add(Lapse(user_id))
    return due


async def entries_of(store: MovableStore, user_id: str, after_version: int = 0) -> list[Entry]:
    """A user's entries after a version, oldest first."""
    return await store.entries(
        user_id, after_version=after_version, before_version=NEVER, newest_first=False, limit=1_000_000
    )


def check_user(entries: Sequence[Entry], account: Account) -> None:
    """Hold a user's entries against each other, and the account against them."""
    who = account.user_id
    folded = Account(who)
    request_ids = set()
    balance = last_time_us = 0
    for version, entry in enumerate(entries, 1):
        where = f"{who}, entry {version}"
        assert (who, version) == (entry.user_id, entry.version), f"{where}: versions have a gap: {entry}"
        assert entry.record_time_us > last_time_us, f"{where}: recorded before the entry before it"
        assert entry.request_id not in request_ids, f"{where}: request id {entry.request_id!r} is there twice"
        balance += entry.amount_microcents
        assert balance == entry.balance_microcents, f"{where}: balance {entry.balance_microcents} should be {balance}"
        assert entry.amount_microcents == 0 or entry.kind not in _KEEP_BALANCE, (
            f"{where}: {entry.kind.name} moved money"
        )
        request_ids.add(entry.request_id)
        last_time_us = entry.record_time_us
        folded = apply(folded, entry)
    assert folded == account, f"{who}: the account is {account}, its entries come to {folded}"
    _check_totals(entries, account)
    _check_held(entries, account)
    _check_grants(entries, account)
    _check_reversals(entries, who)


def _check_totals(entries: Sequence[Entry], account: Account) -> None:
    """Funded, spent and lapsed are the sums over the kinds, and the balance is what they leave."""
    sums = dict.fromkeys(EntryKind, 0)
    reversed_costs = reversed_fundings = 0
    for entry in entries:
        sums[entry.kind] += entry.amount_microcents
        if entry.kind is EntryKind.REVERSAL:
            reversed_costs += max(0, entry.amount_microcents)
            reversed_fundings += min(0, entry.amount_microcents)
    funded = sums[EntryKind.FUNDING] + reversed_fundings
    spent = -sum(sums[kind] for kind in _SPENT) - reversed_costs
    lapsed = -sums[EntryKind.LAPSE]
    stored = (account.funded_microcents, account.spent_microcents)
    assert (funded, spent) == stored, f"{account.user_id}: funded and spent are {stored}, entries say {(funded, spent)}"
    assert lapsed == (account.more.lapsed_microcents if account.more else 0), (
        f"{account.user_id}: lapsed is not {lapsed}"
    )
    assert funded - spent - lapsed == account.balance_microcents, f"{account.user_id}: the totals miss the balance"
    if entries:
        residue = entries[-1].residue_picocents
        assert residue == account.residue_picocents, f"{account.user_id}: the residue is not the last entry's"


def reservations_of(entries: Iterable[Entry]) -> dict[str, Reservation]:
    """Every reservation as the last entry about it says it is."""
    said = [entry.more.reservation for entry in entries if entry.more and entry.more.reservation]
    return {reservation.reservation_id: reservation for reservation in said}


def _check_held(entries: Sequence[Entry], account: Account) -> None:
    """Held is the sum over open reservations, and what is over stays over."""
    ended: set[str] = set()
    for entry in entries:
        if entry.more and (after := entry.more.reservation):
            where = f"{account.user_id}, entry {entry.version}: reservation {after.reservation_id!r}"
            assert after.reservation_id not in ended, f"{where} was over"
            assert after.held_microcents >= 0, f"{where} holds less than nothing"
            assert after.held_microcents == 0 or after.state is ReservationState.OPEN, f"{where} is over and holds"
            if after.state in _ENDED:
                ended.add(after.reservation_id)
    held = sum(each.held_microcents for each in reservations_of(entries).values())
    stored = account.more.held_microcents if account.more else 0
    assert held == stored, f"{account.user_id}: {stored} are held, open reservations hold {held}"


def _check_grants(entries: Sequence[Entry], account: Account) -> None:
    """What is left of each grant is what came in less what was drawn; one that lapsed is gone."""
    left = _grants_left(entries, account.user_id)
    stored = {grant.version: grant.left_microcents for grant in account.more.grants} if account.more else {}
    assert left == stored, f"{account.user_id}: grants have {stored} left, entries say {left}"


def _grants_left(entries: Sequence[Entry], who: str) -> dict[int, int]:
    left: dict[int, int] = {}
    for entry in entries:
        if entry.more is None:
            continue
        if entry.more.grant and entry.more.grant.expire_time_us is not None:
            left[entry.version] = entry.amount_microcents
        for draw in entry.more.draws:
            if draw.version in left:
                left[draw.version] -= draw.microcents
                where = f"{who}, entry {entry.version}: grant {draw.version}"
                assert left[draw.version] >= 0, f"{where} has less than nothing left"
                if entry.kind is EntryKind.LAPSE:
                    assert 0 == left.pop(draw.version), f"{where} lapsed and something is left"
    return left


def _check_reversals(entries: Sequence[Entry], who: str) -> None:
    """Nothing is reversed beyond what it was, and each reversal counts on from the one before."""
    totals: dict[int, int] = {}
    for entry in entries:
        if entry.more and (reversal := entry.more.reversal):
            where = f"{who}, entry {entry.version}: the reversal of {reversal.version}"
            total = totals.get(reversal.version, 0) + abs(entry.amount_microcents)
            assert total == reversal.reversed_microcents, f"{where} counts {reversal.reversed_microcents}, not {total}"
            assert total <= abs(entries[reversal.version - 1].amount_microcents), f"{where} goes beyond it"
            totals[reversal.version] = total


def check_acknowledged(found: dict[str, list[Entry]], acknowledged: Iterable[Entry]) -> None:
    """Every acknowledged entry is there, equal in every field."""
    for entry in acknowledged:
        there = found.get(entry.user_id, [])
        assert entry.version <= len(there), f"acknowledged and lost: {entry}"
        assert there[entry.version - 1] == entry, f"acknowledged as {entry}, now {there[entry.version - 1]}"

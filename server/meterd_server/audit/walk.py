"""A whole ledger through the checks, a page at a time: memory does not grow with the ledger."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from meterd_server.audit import checks
from meterd_server.audit.checks import AccountAudit
from meterd_server.audit.difference import Difference, DifferenceError
from meterd_server.audit.kept import KeptAudit
from meterd_server.store.reading import UnreadableError, page_of, pages

if TYPE_CHECKING:
    from collections.abc import Callable

    from meterd_server.model import Account
    from meterd_server.store.reading import Readable, Snapshot

    Advance = Callable[[int], None]

_USERS_AT_ONCE = 8
"""Whose first pages of entries are read at the same time: a network is mostly waiting."""


class Summary(NamedTuple):
    """How much was found to add up."""

    users: int
    entries: int
    reservations: int
    reversed: int
    """Entries that were reversed, in part or whole."""
    grants: int
    """Those that have not lapsed."""


async def audit_ledger(source: Readable, advance: Advance = lambda _: None, *, is_whole: bool = True) -> Summary:
    """Check every user. `advance` is called with the number of entries that are done since the last call.

    What is recorded meanwhile is not looked at: an account is compared with its entries up to the version that it was read at.
    For `is_whole` see `AccountAudit.compare`. Raises `DifferenceError` at the first difference, in the order of the source's users.
    """
    return await _audit_users(source, None, advance, is_whole=is_whole)


async def audit_snapshot(snapshot: Snapshot, advance: Advance = lambda _: None) -> Summary:
    """Check every user, all else that is kept, that there is nothing besides, and that the engine itself finds nothing wrong.

    Raises `DifferenceError` as `audit_ledger` does.
    """
    summary = await _audit_users(snapshot, KeptAudit(snapshot), advance)
    rows = await snapshot.rows()
    for what, expected, stored in zip(_WHOSE, summary[1:], rows, strict=True):
        if expected != stored:
            raise DifferenceError(Difference("", 0, what, expected, stored))
    if damage := await snapshot.damage():
        raise DifferenceError(Difference("", 0, "what the database says of itself", "nothing wrong", damage))
    return summary


_WHOSE = (
    "entries in the database: the sum of all versions",
    "reservations in the database: as many as were made",
    "entries with a reversal in the database: as many as were reversed",
    "grants in the database that are to lapse: as many as stand",
)
"""What is said when there are more or fewer rows than follow from the entries, in the order of `Summary` and `Rows`."""


async def _audit_users(source: Readable, kept: KeptAudit | None, advance: Advance, *, is_whole: bool = True) -> Summary:
    summary = Summary(0, 0, 0, 0, 0)
    async for accounts in pages(source, _USERS_AT_ONCE):
        audits = [audit_user(source, account, kept, advance, is_whole=is_whole) for account in accounts]
        for audit in await asyncio.gather(*audits, return_exceptions=True):
            if isinstance(audit, BaseException):
                raise audit
            summary = _added(summary, audit)
    return summary


async def audit_user(
    source: Readable, account: Account, kept: KeptAudit | None, advance: Advance, *, is_whole: bool
) -> AccountAudit:
    """Check one user's entries up to the account's version, the account, and what is kept. Raises `DifferenceError`."""
    user_id = account.user_id
    audit = AccountAudit(user_id)
    while (at := audit.account.version) < account.version:
        try:
            entries = await page_of(source, user_id, at, account.version + 1)
        except UnreadableError as error:
            unread = Difference(user_id, at + 1, "the entries from that one on", "readable", str(error))
            raise DifferenceError(unread) from error
        if not entries:
            raise DifferenceError(Difference(user_id, at + 1, "the entry of that version", "one", "none"))
        for entry in entries:
            try:
                audit.take(entry)
            except (TypeError, AttributeError) as error:  # JSON of another shape than it has to be
                unlike = Difference(user_id, entry.version, "the entry", "one that can be understood", str(error))
                raise DifferenceError(unlike) from error
        if kept:
            await kept.compare_finished(audit)
        audit.reservations.finished.clear()
        advance(len(entries))
        await asyncio.sleep(0)
    audit.compare(account, is_whole=is_whole)
    if kept:
        await kept.compare_rest(audit)
    if suspects := audit.repeated():
        await _find_repeated(source, account, suspects)
    return audit


async def _find_repeated(source: Readable, account: Account, suspects: set[int]) -> None:
    """Name the first entry whose request id an earlier one has. Two ids may have one hash, so there need be none."""
    seen: set[str] = set()
    at = 0
    while at < account.version:
        entries = await page_of(source, account.user_id, at, account.version + 1)
        for entry in entries:
            if checks.hash_of(entry.request_id) in suspects:
                if entry.request_id in seen:
                    what = "a request id that no earlier entry has"
                    raise DifferenceError(
                        Difference(account.user_id, entry.version, what, "a new one", entry.request_id)
                    )
                seen.add(entry.request_id)
        at = entries[-1].version


def _added(summary: Summary, audit: AccountAudit) -> Summary:
    more = audit.account.more
    return Summary(
        summary.users + 1,
        summary.entries + audit.account.version,
        summary.reservations + audit.reservations.made,
        summary.reversed + len(audit.reversed),
        summary.grants + (len(more.grants) if more else 0),
    )

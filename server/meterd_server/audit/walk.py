"""A whole ledger through the checks, a page at a time: memory does not grow with the ledger."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from meterd_server.audit import checks
from meterd_server.audit.checks import AccountAudit
from meterd_server.audit.difference import Difference, DifferenceError
from meterd_server.store.reading import page_of, pages

if TYPE_CHECKING:
    from collections.abc import Callable

    from meterd_server.model import Account
    from meterd_server.store.reading import Readable

_USERS_AT_ONCE = 8
"""Whose first pages of entries are read at the same time: a network is mostly waiting."""


class Summary(NamedTuple):
    """How much was found to add up."""

    users: int
    entries: int
    reservations: int
    reversed: int
    """Entries that were reversed, in part or whole."""


async def audit_ledger(source: Readable, advance: Callable[[int], None] = lambda _: None) -> Summary:
    """Check every user. `advance` is called with the number of entries that are done since the last call.

    What is recorded meanwhile is not looked at: an account is compared with its entries up to the version that it was read at.
    Raises `DifferenceError` at the first difference, in the order of the source's users.
    """
    summary = Summary(0, 0, 0, 0)
    async for accounts in pages(source, _USERS_AT_ONCE):
        audits = [audit_user(source, account, advance) for account in accounts]
        for audit in await asyncio.gather(*audits, return_exceptions=True):
            if isinstance(audit, BaseException):
                raise audit
            summary = _added(summary, audit)
    return summary


async def audit_user(
    source: Readable, account: Account, advance: Callable[[int], None] = lambda _: None
) -> AccountAudit:
    """Check one user's entries up to the account's version, and the account. Raises `DifferenceError`."""
    user_id = account.user_id
    audit = AccountAudit(user_id)
    while (at := audit.account.version) < account.version:
        entries = await page_of(source, user_id, at, account.version + 1)
        if not entries:
            raise DifferenceError(Difference(user_id, at + 1, "the entry of that version", "one", "none"))
        for entry in entries:
            audit.take(entry)
        advance(len(entries))
        await asyncio.sleep(0)
    audit.compare(account)
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
    return Summary(
        summary.users + 1,
        summary.entries + audit.account.version,
        summary.reservations + audit.reservations.made,
        summary.reversed + len(audit.reversed),
    )

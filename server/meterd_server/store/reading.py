"""Walking through all that a store holds, in pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from meterd_server.model import Account, Entry

USERS_A_PAGE = 64
ENTRIES_A_PAGE = 1000

NEVER = 2**63 - 1
"""A version that none reaches."""


class Readable(Protocol):
    """What can be walked through: every `MovableStore`, and a daemon over the network."""

    async def users(self, after: str | None, limit: int) -> list[Account]:
        """See `MovableStore.users`."""

    async def entries(
        self, user_id: str, *, after_version: int, before_version: int, newest_first: bool, limit: int
    ) -> list[Entry]:
        """See `Store.entries`."""


async def pages(source: Readable, limit: int = USERS_A_PAGE) -> AsyncIterator[list[Account]]:
    """Every account, a page at a time."""
    after = None
    while page := await source.users(after, limit):
        yield page
        after = page[-1].user_id


async def page_of(
    source: Readable, user_id: str, after_version: int, before_version: int = NEVER, limit: int = ENTRIES_A_PAGE
) -> list[Entry]:
    """A user's entries with after_version < version < before_version, oldest first, up to `limit`."""
    return await source.entries(
        user_id, after_version=after_version, before_version=before_version, newest_first=False, limit=limit
    )

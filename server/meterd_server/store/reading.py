"""Walking through all that a store holds, in pages."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from meterd_server.errors import MeterdError
from meterd_server.store import MovableStore, Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator, Mapping

    from meterd_server.model import Account, Entry, Reservation

_StoreT = TypeVar("_StoreT", bound="Store")

USERS_A_PAGE = 64
ENTRIES_A_PAGE = 1000

NEVER = 2**63 - 1
"""A version that none reaches."""


class UnreadableError(MeterdError):
    """What is stored cannot be understood: it was damaged. The text says what was the matter with it."""


@contextmanager
def understood(*errors: type[Exception]) -> Iterator[None]:
    """Whatever a damaged row makes of the reading of it is an `UnreadableError`, and so are `errors`."""
    kinds: tuple[type[Exception], ...] = (ValueError, LookupError, TypeError, AttributeError, *errors)
    try:
        yield
    except kinds as error:
        raise UnreadableError(" ".join(f"{type(error).__name__}: {error}".split())) from error


class Readable(Protocol):
    """What can be walked through: every `MovableStore`, and a daemon over the network."""

    async def users(self, after: str | None, limit: int) -> list[Account]:
        """See `Store.users`."""

    async def entries(
        self, user_id: str, *, after_version: int, before_version: int, newest_first: bool, limit: int
    ) -> list[Entry]:
        """See `Store.entries`."""


@asynccontextmanager
async def opened(store: _StoreT) -> AsyncIterator[_StoreT]:
    """A store that is open inside and closed afterwards."""
    try:
        await store.open()
        yield store
    finally:
        await store.close()


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


class Kept(NamedTuple):
    """What a store keeps of one user besides entries and the account; all of it follows from the entries."""

    reservations: Mapping[str, Reservation]
    """Of those that were asked for."""
    reversed_microcents: Mapping[int, int]
    """By the version of an entry, how much of it is reversed."""
    grants_due: Mapping[int, int]
    """By the version of a funding that has not lapsed, when it does."""


class Rows(NamedTuple):
    """How many rows there are of everything, whoever's."""

    entries: int
    reservations: int
    reversals: int
    grants_due: int


class Snapshot(MovableStore, Protocol):
    """A store as it was at one moment, whatever is committed meanwhile. Nothing can be written to it."""

    async def kept(self, user_id: str, reservation_ids: Collection[str]) -> Kept:
        """What is kept of a user with an entry."""

    async def rows(self) -> Rows:
        """How many rows there are in all."""

    async def damage(self) -> str:
        """What the engine itself finds wrong with how it keeps things, in a line; empty if nothing."""

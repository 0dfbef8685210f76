"""The store protocol: what makes a batch durable, and what every engine promises.

An engine loads accounts and request ids, asks `rules.decide_batch` what comes of them, and writes that in one transaction. It
decides nothing itself. `tests/store` holds the behaviour that each engine must show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from meterd_server.model import Account, Command, Entry, Outcome
    from meterd_server.pricing import RateCard


class Store(Protocol):
    """A place that keeps entries and accounts.

    `commit` is called by one task of a lane at a time; the reads at any time. Every method but `peek` may raise
    `StoreUnavailable`. After a `commit` did, all of them do until `reopen` succeeds, and `peek` answers None: the store then
    `needs_reopening`. A read that failed says nothing of the next.
    """

    @property
    def shared(self) -> bool:
        """Whether other daemons may change what is stored meanwhile."""

    @property
    def needs_reopening(self) -> bool:
        """Whether nothing works until `reopen`: a write failed, or something that the engine does beside the commits."""

    @property
    def lanes(self) -> int:
        """How many lanes there are: batches of different lanes may be committed at the same time."""

    def lane_of(self, user_id: str) -> int:
        """The lane of a user, always the same, below `lanes`. A batch holds users of one lane only."""

    async def open(self) -> None:
        """Make ready, creating or migrating the schema. Raises `StartupError` when the place cannot be used."""

    async def reopen(self) -> None:
        """Start over after a failure, from what is durable. Raises `StoreUnavailable` when it still cannot be used."""

    async def close(self) -> None:
        """Release everything. Safe to call twice, and after a failure."""

    async def commit(self, commands: Sequence[Command], now_us: int) -> Sequence[Outcome]:
        """Decide the commands in order and make what they change durable, in one transaction.

        Returns an outcome for each, in order, after the commit. Raises `StoreUnavailable` when it is not known whether the
        transaction was written: either all of it was or none.
        """

    def commit_at_once(self, commands: Sequence[Command], now_us: int) -> Sequence[Outcome] | None:
        """`commit` without letting the event loop go on, for an engine that is done in the time that this would take.

        None, and nothing done, when the engine would hold the loop up for too long: then `commit` is to be used; and so it
        is where others would wait who want nothing committed.
        """

    def peek(self, user_id: str) -> Account | None:
        """The account with every committed change, if that is known without I/O; else None."""

    async def account(self, user_id: str) -> Account:
        """The account with every committed change; version 0 for an unknown user."""

    async def entries(
        self, user_id: str, *, after_version: int, before_version: int, newest_first: bool, limit: int
    ) -> list[Entry]:
        """Up to `limit` entries with after_version < version < before_version, in the order asked for."""

    async def users(self, after: str | None, limit: int) -> list[Account]:
        """Up to `limit` accounts with at least one entry, in an order of the engine's own that never changes.

        Those that come after the user `after`; None begins with the first.
        """

    async def due(self, now_us: int, limit: int) -> list[Command]:
        """Commands that end what is due at `now_us`, at most `limit`, oldest first: an Expire for a reservation, one Lapse a user.

        What is committed is not due any more. One that the rules do not carry out stays due.
        """

    async def lease(self, holder: str, seconds: float) -> bool:
        """Whether `holder`, of all daemons on this store, is the one to end what is due from now on for so long.

        It is as long as it asks again in time. This spares work, and that is all: several may do the same, once.
        """

    async def rate_cards(self) -> list[RateCard]:
        """Every rate card that is kept, in no particular order."""

    async def rate_card_count(self) -> int:
        """How many rate cards are kept; there are never fewer than before."""

    async def add_rate_cards(self, cards: Sequence[RateCard]) -> bool:
        """Keep cards, all or none, before this returns; False when somebody else has kept one of the same key meanwhile."""


class MovableStore(Store, Protocol):
    """What `meterd db move` asks of an engine beyond serving: take in entries as they are."""

    async def import_entries(self, entries: Sequence[Entry], accounts: Mapping[str, Account]) -> None:
        """Write entries of another store as they are, in one transaction (PostgreSQL distributed: one a bucket).

        Each user's entries go on where this store's end, in the order of their versions; `accounts` holds, for every user among
        them, the account after the last. Raises `StoreUnavailable` if it is not known whether they were written.
        """

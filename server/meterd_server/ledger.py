"""From a caller's commands to their durable outcomes: which lane they go to, and what happens when the store fails."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from meterd_server.errors import Overloaded, StoreUnavailable
from meterd_server.lane import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from meterd_server.lane import Waiter
    from meterd_server.model import Account, Command, Entry, Outcome
    from meterd_server.store import Store

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_REOPEN_BACKOFF_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)


class AnyLedger(Protocol):
    """What the wire needs of a ledger. `Ledger` is one; `workers.remote.RemoteLedger` is one that another process keeps."""

    def submit(self, command: Command) -> asyncio.Future[Outcome]:
        """See `Ledger.submit`."""

    def submit_all(self, commands: Sequence[Command]) -> asyncio.Future[Sequence[Outcome]]:
        """See `Ledger.submit_all`."""

    def is_full(self) -> bool:
        """See `Ledger.is_full`."""

    async def account(self, user_id: str) -> Account:
        """See `Ledger.account`."""

    async def entries(
        self, user_id: str, *, after_version: int, before_version: int, newest_first: bool, limit: int
    ) -> list[Entry]:
        """See `Ledger.entries`."""

    async def users(self, after: str | None, limit: int) -> list[Account]:
        """See `Ledger.users`."""

    async def stop(self) -> None:
        """See `Ledger.stop`."""


class Ledger:
    """Submit commands, look at an account, list entries.

    A user's commands are carried out in the order they came, by the lane that the store says the user is in. `clock_us` is the
    only clock money sees; for `clock` see `Lane`. `on_health` is told when the store fails (False) and when it is back (True).
    """

    def __init__(
        self,
        store: Store,
        *,
        clock_us: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
        commit_window_seconds: float = 0.003,
        queued_max: int = 10_000,
        on_health: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._make_lane = partial(
            Lane, store, clock_us=clock_us, clock=clock, window_seconds=commit_window_seconds, on_failure=self._fail
        )
        self._queued_max = queued_max
        self._on_health = on_health
        self._lanes: dict[int, Lane] = {}
        self._recovery: asyncio.Task[None] | None = None
        self._stopping = False

    def submit(self, command: Command) -> asyncio.Future[Outcome]:
        """Queue a command; the future's result is its outcome, set after the commit.

        Cancelling the future abandons the answer: a command not yet begun is dropped, one under way is carried through. Raises
        `Overloaded` if the queue is full; the future raises `StoreUnavailable` if the outcome is unknown.
        """
        return self._lane_for(command).put((command,), alone=True)

    def submit_all(self, commands: Sequence[Command]) -> asyncio.Future[Sequence[Outcome]]:
        """Queue at least one command; the future's result is their outcomes, in order. Else as `submit`.

        Commands of one lane stay together: nobody else's come between. If `StoreUnavailable` is raised, some may be recorded.
        """
        if self._store.lanes == 1:
            return self._lane_for(commands[0]).put(commands, alone=False)
        parts: dict[Lane, list[int]] = {}
        for place, command in enumerate(commands):
            parts.setdefault(self._lane_for(command), []).append(place)
        return asyncio.ensure_future(_put_parts(commands, parts))

    def is_full(self) -> bool:
        """Whether `submit` would raise `Overloaded` whatever it were given: what is asked is then not worth reading."""
        lanes = self._lanes.values()
        return len(lanes) == self._store.lanes and all(lane.queued_operations >= self._queued_max for lane in lanes)

    async def account(self, user_id: str) -> Account:
        """The account with every change acknowledged before this call; without I/O if it is in memory."""
        if lane := self._lanes.get(self._store.lane_of(user_id)):
            lane.note_reader()
        known = self._store.peek(user_id)
        return await self._read(self._store.account(user_id)) if known is None else known

    async def entries(
        self, user_id: str, *, after_version: int, before_version: int, newest_first: bool, limit: int
    ) -> list[Entry]:
        """Up to `limit` entries with after_version < version < before_version, in the order asked for."""
        return await self._read(
            self._store.entries(
                user_id,
                after_version=after_version,
                before_version=before_version,
                newest_first=newest_first,
                limit=limit,
            )
        )

    async def users(self, after: str | None, limit: int) -> list[Account]:
        """Up to `limit` accounts with at least one entry, in the store's own order, those after the user `after`."""
        return await self._read(self._store.users(after, limit))

    def look_after(self, error: StoreUnavailable) -> None:
        """Start the store anew if it says that it has failed: `error` came of something else than a commit, which tells by itself.

        A store that goes on is left alone, whatever became of one read.
        """
        if self._store.needs_reopening and self._recovery is None and not self._stopping:
            self._fail((), error)

    async def stop(self) -> None:
        """Take nothing more and wait until everything queued is answered."""
        self._stopping = True
        for lane in self._lanes.values():
            await lane.stop()
        if self._recovery:
            self._recovery.cancel()
            await asyncio.wait([self._recovery])

    def _lane_for(self, command: Command) -> Lane:
        """The lane of the command's user, if it may take something. Raises `StoreUnavailable` or `Overloaded`."""
        if self._stopping or self._recovery:
            raise StoreUnavailable("stopping" if self._stopping else "the store is being reopened")
        number = self._store.lane_of(command.user_id)
        lane = self._lanes.get(number)
        if lane is None:
            lane = self._lanes[number] = self._make_lane()
        if lane.queued_operations >= self._queued_max:
            raise Overloaded
        return lane

    async def _read(self, reading: Coroutine[Any, Any, _T]) -> _T:
        """What is read. A store may fail beside the commits, and a daemon that is only read from would never learn of it."""
        try:
            return await reading
        except StoreUnavailable as error:
            self.look_after(error)
            raise

    def _fail(self, batch: Sequence[Waiter], error: BaseException) -> None:
        """Tell everyone who waits that the outcome is unknown, and start over from what is durable."""
        log.error("the store failed; reopening it", exc_info=error)
        for waiter in (*batch, *(waiter for lane in self._lanes.values() for waiter in lane.drain())):
            if not waiter.answer.done():
                waiter.answer.set_exception(StoreUnavailable("the store failed"))
        if self._recovery is None:
            self._recovery = asyncio.get_running_loop().create_task(self._recover(), name="recovery")
            self._on_health(False)

    async def _recover(self) -> None:
        attempt = 0
        while True:
            await asyncio.sleep(_REOPEN_BACKOFF_SECONDS[min(attempt, len(_REOPEN_BACKOFF_SECONDS) - 1)])
            try:
                await self._store.reopen()
            except Exception as error:  # whatever it is, the daemon does not give up
                attempt += 1
                log.error("the store is still unusable: %s", error)  # noqa: TRY400 -- the same trace each second says nothing
            else:
                break
        self._recovery = None
        log.info("the store is back")
        self._on_health(True)


async def _put_parts(commands: Sequence[Command], parts: Mapping[Lane, Sequence[int]]) -> list[Outcome]:
    """Give each lane its part in one piece, and put the outcomes in order again."""
    answers = await asyncio.gather(
        *[lane.put([commands[place] for place in places], alone=False) for lane, places in parts.items()],
        return_exceptions=True,  # all are waited for, so that none is left behind when one fails
    )
    by_place: dict[int, Outcome] = {}
    for places, answer in zip(parts.values(), answers, strict=True):
        if isinstance(answer, BaseException):
            raise answer
        by_place.update(zip(places, answer, strict=True))
    return [by_place[place] for place in range(len(commands))]

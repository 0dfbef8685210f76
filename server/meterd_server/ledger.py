"""From a caller's command to its durable outcome: lanes, group commit, and what happens when the store fails."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from meterd_server.errors import Overloaded, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from meterd_server.model import Account, Command, Entry, Outcome
    from meterd_server.store import Store

log = logging.getLogger(__name__)

_GATHER_STEP_SECONDS = 0.001
"""How long nothing may arrive before a busy lane stops waiting; the finest that the event loop's timers can tell."""

BUSY_SECONDS = 0.05
"""How long after a batch that had company a lane expects more company; later than that, a caller is alone again."""

BATCH_OPERATIONS_MAX = 1000
"""The most that one transaction takes; what is beyond waits for the next."""

_REOPEN_BACKOFF_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)


class _Waiter(NamedTuple):
    command: Command
    answer: asyncio.Future[Outcome]


class Ledger:
    """What the wire talks to: submit a command, look at an account, list entries.

    Commands of a lane are committed a batch at a time, in the order they came; what arrives while one batch is under way is the
    next. `clock_us` is the only clock money sees. `on_health` is told when the store fails (False) and when it is back (True).
    """

    def __init__(
        self,
        store: Store,
        *,
        clock_us: Callable[[], int],
        commit_window_seconds: float = 0.008,
        queued_max: int = 10_000,
        on_health: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._clock_us = clock_us
        self._window_seconds = commit_window_seconds
        self._queued_max = queued_max
        self._on_health = on_health
        self._queue: deque[_Waiter] = deque()
        self._lane: asyncio.Task[None] | None = None
        self._recovery: asyncio.Task[None] | None = None
        self._busy_until_seconds = 0.0
        self._stopping = False

    def submit(self, command: Command) -> asyncio.Future[Outcome]:
        """Queue a command; the future's result is its outcome, set after the commit.

        Cancelling the future abandons the answer: a command not yet begun is dropped, one under way is carried through. Raises
        `Overloaded` if the queue is full; the future raises `StoreUnavailable` if the outcome is unknown.
        """
        if self._stopping or self._recovery:
            raise StoreUnavailable("stopping" if self._stopping else "the store is being reopened")
        if len(self._queue) >= self._queued_max:
            raise Overloaded
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Outcome] = loop.create_future()
        self._queue.append(_Waiter(command, answer))
        if self._lane is None:
            self._lane = loop.create_task(self._run_lane(), name="lane")
        return answer

    async def account(self, user_id: str) -> Account:
        """The account with every change acknowledged before this call; without I/O if it is in memory."""
        return self._store.peek(user_id) or await self._store.account(user_id)

    async def entries(
        self, user_id: str, *, after_version: int, before_version: int, newest_first: bool, limit: int
    ) -> list[Entry]:
        """Up to `limit` entries with after_version < version < before_version, in the order asked for."""
        return await self._store.entries(
            user_id, after_version=after_version, before_version=before_version, newest_first=newest_first, limit=limit
        )

    async def stop(self) -> None:
        """Take nothing more and wait until everything queued is answered."""
        self._stopping = True
        if self._lane:
            await self._lane
        if self._recovery:
            self._recovery.cancel()
            await asyncio.wait([self._recovery])

    async def _run_lane(self) -> None:
        try:
            while self._queue:
                if asyncio.get_running_loop().time() < self._busy_until_seconds:
                    await self._gather()
                await self._commit_next()
        finally:
            self._lane = None

    async def _gather(self) -> None:
        """Wait while company keeps coming, up to the window: more calls then share a commit, and their replies leave together.

        Replies that leave together let the next calls arrive together, which is cheaper for gRPC than one by one.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._window_seconds
        queued = 0
        while queued < len(self._queue) < BATCH_OPERATIONS_MAX and not self._stopping and loop.time() < ends:
            queued = len(self._queue)
            await asyncio.sleep(min(_GATHER_STEP_SECONDS, self._window_seconds))

    async def _commit_next(self) -> None:
        batch = self._take()
        # One caller alone is never made to wait: only a batch that had company expects more of it.
        self._busy_until_seconds = asyncio.get_running_loop().time() + BUSY_SECONDS if len(batch) > 1 else 0.0
        if not batch:
            return
        try:
            outcomes = await self._store.commit([waiter.command for waiter in batch], self._clock_us())
        except (Exception, asyncio.CancelledError) as error:
            # A cancelled commit must not leave its callers waiting, whoever cancelled it.
            self._fail(batch, error)
            return
        for waiter, outcome in zip(batch, outcomes, strict=True):
            if not waiter.answer.done():
                waiter.answer.set_result(outcome)

    def _take(self) -> list[_Waiter]:
        """The next batch, without the commands whose callers are gone."""
        batch: list[_Waiter] = []
        while self._queue and len(batch) < BATCH_OPERATIONS_MAX:
            waiter = self._queue.popleft()
            if not waiter.answer.done():
                batch.append(waiter)
        return batch

    def _fail(self, batch: list[_Waiter], error: BaseException) -> None:
        """Tell everyone who waits that the outcome is unknown, and start over from what is durable."""
        log.error("the store failed; reopening it", exc_info=error)
        for waiter in (*batch, *self._queue):
            if not waiter.answer.done():
                waiter.answer.set_exception(StoreUnavailable("the store failed"))
        self._queue.clear()
        self._busy_until_seconds = 0.0
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

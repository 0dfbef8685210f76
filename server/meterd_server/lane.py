"""A lane: the users whose changes one queue puts in order, committed a batch at a time.

What arrives while one batch is under way is the next. A caller alone is never made to wait; a lane whose batches have company waits
a little for more of it, because replies that leave together let the next calls arrive together, which is cheaper for gRPC than one
by one, and because every commit has a fixed cost.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from meterd_server.company import COMPANY_CALLERS_MIN, GATHER_STEP_SECONDS, Company, Readers
from meterd_server.model import together
from meterd_server.model.flat import made

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from meterd_server.model import Command, Outcome
    from meterd_server.store import Store

BATCH_OPERATIONS_MAX = 1000
"""What one transaction takes before the next caller has to wait for the next one; one caller's commands are never divided."""

_LOOKS_AROUND = 3
"""How often the event loop is let go round after a commit: until it has sent what was to be sent, and read what came meanwhile."""


class Waiter(NamedTuple):
    """One caller's commands, and where their outcomes go: as a list, or as they are for one command `alone`."""

    commands: Sequence[Command]
    answer: asyncio.Future[Any]
    alone: bool

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Answer, unless the caller is gone."""
        if not self.answer.done():
            self.answer.set_result(outcomes[0] if self.alone else outcomes)


def tell_all(waiters: Sequence[Waiter], outcomes: Sequence[Outcome]) -> None:
    """Answer those whose commands were committed together."""
    if len(waiters) == 1:
        waiters[0].tell(outcomes)
        return
    first = 0
    for waiter in waiters:
        end = first + len(waiter.commands)
        waiter.tell(outcomes[first:end])
        first = end


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)


class Lane:
    """Commits what it is given, in order. `clock_us` is the time money sees; `on_failure` is told when the store failed.

    `clock`, in seconds, tells who was held up by a commit: finer than the event loop's own.

    Cancelling an answer abandons it: commands not yet begun are dropped, those under way are carried through.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock_us: Callable[[], int],
        clock: Callable[[], float],
        window_seconds: float,
        on_failure: Callable[[Sequence[Waiter], BaseException], None],
    ) -> None:
        self._store = store
        self._clock_us = clock_us
        self._window_seconds = window_seconds
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Waiter] = deque()
        self._task: asyncio.Task[None] | None = None
        self._looks_left = 0
        self._callers_awaited: float = math.inf
        self._enough: asyncio.Future[None] | None = None
        """Waited for while company is gathered: it is there."""
        self._company = Company()
        self._readers = Readers(clock)
        self._stopping = False
        self.queued_operations = 0
        """Commands that wait, those of the batch under way not counted."""

    def put(self, commands: Sequence[Command], *, alone: bool) -> asyncio.Future[Any]:
        """Commit the commands; the future's result is their outcomes in order, or the outcome of one `alone`."""
        waiter: Waiter = made(Waiter, (commands, self._loop.create_future(), alone))
        if self._task is None and not self._looks_left:
            if self._loop.time() >= self._company.until_seconds and self._answer_at_once(waiter):
                # No task: to make one would be part of what the caller waits for.
                self._looks_left = _LOOKS_AROUND
                self._loop.call_soon(self._look_around)
                return waiter.answer
            self._task = self._loop.create_task(self._run(), name="lane")
        self._queue.append(waiter)
        self.queued_operations += len(commands)
        if self._enough is not None and len(self._queue) >= self._callers_awaited:
            _wake(self._enough)
        return waiter.answer

    def note_reader(self) -> None:
        """Be told that somebody reads an account of this lane: readers are not held up by commits for long."""
        self._readers.note()

    def drain(self) -> list[Waiter]:
        """Give up everything that waits."""
        waiters = list(self._queue)
        self._queue.clear()
        self.queued_operations = 0
        self._company.until_seconds = 0.0
        return waiters

    async def stop(self) -> None:
        """Wait for no more company, and until everything queued is answered."""
        self._stopping = True
        while self._task or self._looks_left:
            await (self._task or asyncio.sleep(0))

    async def _run(self) -> None:
        try:
            while self._queue:
                if self._loop.time() < self._company.until_seconds:
                    await self._gather()
                await self._commit_next()
                if self._queue or not self._readers.are_expected:
                    # Answers leave before another commit holds the event loop up.
                    for _ in range(_LOOKS_AROUND):
                        await asyncio.sleep(0)
        finally:
            self._task = None

    def _look_around(self) -> None:
        """After a commit that held the event loop up: who came meanwhile is company, and goes on as a batch."""
        self._looks_left -= 1
        if self._looks_left:
            self._loop.call_soon(self._look_around)
            return
        self._company.learn_from(1, others_wait=bool(self._queue))
        if self._queue:
            self._task = self._loop.create_task(self._run(), name="lane")

    async def _gather(self) -> None:
        """Wait while company keeps coming, until as much is there as there was lately, up to the window."""
        self._callers_awaited = self._company.callers_awaited()
        ends = self._loop.time() + self._window_seconds
        queued = 0
        while queued < len(self._queue) and self._loop.time() < ends and not self._stopping:
            if self.queued_operations >= BATCH_OPERATIONS_MAX or len(self._queue) >= self._callers_awaited:
                return
            queued = len(self._queue)
            self._enough = self._loop.create_future()
            step = self._loop.call_later(min(GATHER_STEP_SECONDS, self._window_seconds), _wake, self._enough)
            try:
                await self._enough
            finally:
                step.cancel()
                self._enough = None

    async def _commit_next(self) -> None:
        batch = self._take()
        if batch:
            commands = together([waiter.commands for waiter in batch])
            now_us = self._clock_us()
            try:
                outcomes = self._commit_at_once(commands, now_us)
                if outcomes is None:
                    outcomes = await self._commit_beside(commands, now_us)
            except (Exception, asyncio.CancelledError) as error:
                # A cancelled commit must not leave its callers waiting, whoever cancelled it.
                self._on_failure(batch, error)
                return
            tell_all(batch, outcomes)
        self._company.learn_from(len(batch), others_wait=bool(self._queue))

    def _commit_at_once(self, commands: Sequence[Command], now_us: int) -> Sequence[Outcome] | None:
        """Commit without leaving the event loop, the least that a call can take, if the store can and no reader would wait.

        Readers wait for many commands all the same: beside them the event loop is so busy that all would take longer.
        """
        if self._readers.are_expected and len(commands) < COMPANY_CALLERS_MIN:
            return None
        outcomes = self._store.commit_at_once(commands, now_us)
        if outcomes is not None:
            self._readers.were_held_up()
        return outcomes

    async def _commit_beside(self, commands: Sequence[Command], now_us: int) -> Sequence[Outcome]:
        """Commit while the event loop goes on."""
        self._readers.are_beside(True)
        try:
            return await self._store.commit(commands, now_us)
        finally:
            self._readers.are_beside(False)

    def _answer_at_once(self, waiter: Waiter) -> bool:
        """Commit one caller's commands without leaving the event loop, and answer; False, and nothing done, if that cannot be."""
        try:
            outcomes = self._commit_at_once(waiter.commands, self._clock_us())
        except Exception as error:  # a store that fails has failed, whatever it raises
            self._on_failure([waiter], error)
            return True
        if outcomes is not None:
            waiter.tell(outcomes)
        return outcomes is not None

    def _take(self) -> list[Waiter]:
        """The next batch, without the commands whose callers are gone."""
        batch: list[Waiter] = []
        operations = 0
        while self._queue and operations < BATCH_OPERATIONS_MAX:
            waiter = self._queue.popleft()
            self.queued_operations -= len(waiter.commands)
            if not waiter.answer.done():
                batch.append(waiter)
                operations += len(waiter.commands)
        return batch

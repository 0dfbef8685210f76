"""How the asyncio client's calls get their answers: alone, or in a batch with what other tasks ask for."""

import asyncio
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc.aio
from google.protobuf.message import Message

from meterd import _calls, _gathering
from meterd._aio_pipeline import Pipeline
from meterd._calls import Call, Stubs
from meterd._gathering import Asking, Gathering, Outcome, Signal
from meterd._retry import Attempts
from meterd._status import error_from


class _Task(Asking):
    """A task that waits for its operation's outcome."""

    __slots__ = ("future",)

    future: asyncio.Future[Outcome | None]
    """Set by who makes the task wait."""

    def tell(self, outcome: Outcome) -> None:
        if not self.future.done():
            self.future.set_result(outcome)

    def lead(self, batch: list[Any]) -> None:
        """Let the task send a batch that it is alone in."""
        self.leads = batch
        if not self.future.done():
            self.future.set_result(None)


class AsyncExchange:
    """Sends the calls of one event loop over one channel; those of several tasks together, unless told not to.

    `check_open` raises once the client is closed.
    """

    def __init__(self, stubs: Stubs, check_open: Callable[[], None], *, coalesce: bool) -> None:
        self._stubs = stubs
        self._check_open = check_open
        self._loop = asyncio.get_running_loop()
        self._gathering: Gathering[_Task] = Gathering()
        self._gathering.batches = coalesce
        self._pipeline = Pipeline(stubs.stream)
        self._carriers: set[asyncio.Task[None]] = set()
        self._flush_is_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_deadline = math.inf

    async def send(self, call: Call[Any], attempts: Attempts) -> Message | bytes:
        """Make one attempt of a call and return the answer; raise an `Error`, or RuntimeError if closed meanwhile."""
        if call.operation is None or not self._gathering.batches:
            return await self._send_alone(call, attempts)
        task = _Task(call, call.operation, attempts.deadline)
        task.future = self._loop.create_future()
        self._gathering.add(task)
        self._flush_soon()
        if task.deadline < self._timer_deadline:
            self._expire_at(task.deadline)
        try:
            outcome = await task.future
        except asyncio.CancelledError:
            self._leave(task)
            raise
        if task.leads is not None:
            try:
                return await self._send_alone(call, attempts)
            finally:
                self._leave(task)
        if outcome is Signal.ALONE:
            return await self._send_alone(call, attempts)
        return _gathering.answer_from(task, outcome)

    def meter_rpc(self) -> Callable[..., Any]:
        """Return what opens the stream of a metered session."""
        return _calls.METER(self._stubs)

    async def close(self) -> None:
        """Let nobody wait any more. `check_open` has to raise by now."""
        self._gathering.close()
        if self._timer is not None:
            self._timer.cancel()
        for carrier in self._carriers:
            carrier.cancel()
        if self._carriers:
            await asyncio.wait(self._carriers)
        await self._pipeline.close()

    async def _send_alone(self, call: Call[Any], attempts: Attempts) -> Message:
        try:
            response: Message = await call.rpc(self._stubs)(call.message(), timeout=attempts.remaining_seconds())
        except grpc.RpcError as rpc_error:
            raise error_from(rpc_error, call.request_id) from rpc_error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and not task.cancelling():
                self._check_open()  # closing the channel cancels its calls, but nobody cancelled this task
            raise
        return response

    def _flush_soon(self) -> None:
        # Not at once: tasks that were answered together are about to ask together.
        if not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Send what may be sent."""
        self._flush_is_due = False
        while batch := self._gathering.take():
            if len(batch) == 1:
                batch[0].lead(batch)
            else:
                # A task of its own, so that no caller can cancel it.
                carrier = self._loop.create_task(self._carry(batch), name="meterd batch")
                self._carriers.add(carrier)
                carrier.add_done_callback(partial(self._carried, batch))

    async def _carry(self, batch: list[_Task]) -> None:
        """Send a batch and tell everyone in it what became of it."""
        request = _gathering.request_from(batch)
        try:
            async with asyncio.timeout(_gathering.remaining_seconds(batch)):
                response = await self._pipeline.exchange(request)
        except grpc.RpcError as rpc_error:
            self._gathering.refused(batch, rpc_error)
        except TimeoutError:
            for task in batch:
                task.tell(_gathering.timed_out(task))
        else:
            _gathering.answered(batch, response)

    def _carried(self, batch: list[_Task], carrier: asyncio.Task[None]) -> None:
        """Go on after a batch, however it ended: a task that is cancelled early does not even begin."""
        self._carriers.discard(carrier)
        self._gathering.finish(batch)
        self._flush_soon()
        if carrier.cancelled():
            _gathering.tell_all(batch, Signal.CLOSED)
        elif carrier.exception() is not None:
            _gathering.interrupted(batch)

    def _leave(self, task: _Task) -> None:
        self._gathering.leave(task)
        self._flush_soon()

    def _expire_at(self, deadline: float) -> None:
        """See to it that whoever has waited long enough is told so: one timer, at the earliest deadline there may be."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer_deadline = deadline
        self._timer = self._loop.call_later(max(0.0, deadline - time.monotonic()), self._expire)

    def _expire(self) -> None:
        self._timer, self._timer_deadline = None, math.inf
        now = time.monotonic()
        waiting = [task for task in self._gathering.unanswered() if not task.future.done()]
        for task in waiting:
            if task.deadline <= now:
                self._gathering.leave(task)
                task.tell(_gathering.timed_out(task))
        deadlines = [task.deadline for task in waiting if task.deadline > now]
        if deadlines:
            self._expire_at(min(deadlines))

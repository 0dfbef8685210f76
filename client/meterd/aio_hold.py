"""A reservation in the hands of the asyncio client."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Self

from meterd._calls import Call
from meterd._hold_state import HoldState
from meterd._timers import Later
from meterd.errors import Error
from meterd.types import Recorded


class AsyncHold(HoldState):
    """Money set aside by `AsyncClient.reserve`, until it is captured, released, or expires.

    As an async context manager it extends itself while the block runs, by a task of its own, at every third of its ttl. A block
    that ends without a final capture, by an exception or not, releases what is still held; unless a capture was tried and
    failed: the work did cost something then, so the reservation stays until it expires, and `capture` may be called again.

    Without `async with` it is captured or released by hand, and expires if nobody does.
    """

    def __init__(
        self,
        run: Callable[[Call[Recorded], float | None], Awaitable[Recorded]],
        later: Later,
        user_id: str,
        made: Recorded,
    ) -> None:
        super().__init__(user_id, made)
        self._run = run
        self._later = later
        self._extending: asyncio.Task[None] | None = None

    async def capture(
        self,
        cost_microcents: int,
        *,
        final: bool = True,
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        occur_time: datetime | None = None,
        timeout_seconds: float | None = None,
    ) -> Recorded:
        """Charge what the work did cost, and release the rest; with `final=False` keep holding the rest, for further captures.

        The final capture is charged once, however often this is called. More than was held is charged, too: `entry.overrun` says
        so; `entry.late`, that the reservation had expired. All else is as in `AsyncClient.capture`.
        """
        call = self._capture_call(cost_microcents, final, labels, request_id, occur_time)
        return self._captured(await self._run(call, timeout_seconds))

    async def capture_usage(
        self,
        service: str | None = None,
        *,
        model: str | None = None,
        quantities: Mapping[str, int] | None = None,
        final: bool = True,
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        occur_time: datetime | None = None,
        timeout_seconds: float | None = None,
        **meters: int,
    ) -> Recorded:
        """Charge what was used, as `capture`; meters are as in `record_usage`.

        Service and model are those that the money was reserved for, unless others are named.
        """
        used = self._usage(service, model, quantities, meters)
        call = self._capture_call(used, final, labels, request_id, occur_time)
        return self._captured(await self._run(call, timeout_seconds))

    async def release(self, *, request_id: str | None = None, timeout_seconds: float | None = None) -> Recorded:
        """Make available again what is still held. Raises ReservationClosedError when the reservation is over."""
        return self._changed(await self._run(self._release_call(request_id), timeout_seconds))

    async def extend(
        self,
        *,
        ttl_seconds: float | None = None,
        add_microcents: int = 0,
        request_id: str | None = None,
        timeout_seconds: float | None = None,
    ) -> Recorded:
        """Keep the reservation for longer, hold more, or both; as `AsyncClient.extend`. A block goes on with the new ttl."""
        call = self._extend_call(ttl_seconds, add_microcents, request_id)
        recorded = self._changed(await self._run(call, timeout_seconds))
        if ttl_seconds is not None:
            self._ttl_seconds, self._extension_error = ttl_seconds, None
            self._extend_in(ttl_seconds / 3)
        return recorded

    async def __aenter__(self) -> Self:
        self._extend_in(self._enter())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        is_to_be_released = self._leave()
        if self._extending is not None:
            self._extending.cancel()
        if is_to_be_released:
            try:
                await self.release()
            except Exception as failure:
                self._not_released(failure, error)

    def _extend_in(self, seconds: float) -> None:
        with self._lock:
            if self._may_extend():
                self._stop_timer()
                self._timer = self._later(seconds, self._extend_soon)

    def _extend_soon(self) -> None:
        self._extending = asyncio.get_running_loop().create_task(self._extend_by_itself(), name="meterd extension")

    async def _extend_by_itself(self) -> None:
        ttl_seconds = self._ttl_seconds or 0.0
        try:
            await self.extend(ttl_seconds=ttl_seconds)
        except (Error, RuntimeError) as error:  # RuntimeError: the client was closed
            if self._extension_failed(error):
                self._extend_in(ttl_seconds / 3)

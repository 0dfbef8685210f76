"""A reservation in the hands of the blocking client."""

from collections.abc import Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Self

from meterd._calls import Call
from meterd._hold_state import HoldState
from meterd._timers import Later
from meterd.errors import Error
from meterd.types import Recorded


class Hold(HoldState):
    """Money set aside by `Client.reserve`, until it is captured, released, or expires.

    As a context manager it extends itself while the block runs, by a thread of the client's, at every third of its ttl. A block
    that ends without a final capture, by an exception or not, releases what is still held; unless a capture was tried and
    failed: the work did cost something then, so the reservation stays until it expires, and `capture` may be called again.

    Without `with` it is captured or released by hand, and expires if nobody does.
    """

    def __init__(
        self, run: Callable[[Call[Recorded], float | None], Recorded], later: Later, user_id: str, made: Recorded
    ) -> None:
        super().__init__(user_id, made)
        self._run = run
        self._later = later

    def capture(
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
        so; `entry.late`, that the reservation had expired. All else is as in `Client.capture`.
        """
        call = self._capture_call(cost_microcents, final, labels, request_id, occur_time)
        return self._captured(self._run(call, timeout_seconds))

    def capture_usage(
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
        return self._captured(self._run(call, timeout_seconds))

    def release(self, *, request_id: str | None = None, timeout_seconds: float | None = None) -> Recorded:
        """Make available again what is still held. Raises ReservationClosedError when the reservation is over."""
        return self._changed(self._run(self._release_call(request_id), timeout_seconds))

    def extend(
        self,
        *,
        ttl_seconds: float | None = None,
        add_microcents: int = 0,
        request_id: str | None = None,
        timeout_seconds: float | None = None,
    ) -> Recorded:
        """Keep the reservation for longer, hold more, or both; as `Client.extend`. A block goes on with the new ttl."""
        call = self._extend_call(ttl_seconds, add_microcents, request_id)
        recorded = self._changed(self._run(call, timeout_seconds))
        if ttl_seconds is not None:
            self._ttl_seconds, self._extension_error = ttl_seconds, None
            self._extend_in(ttl_seconds / 3)
        return recorded

    def __enter__(self) -> Self:
        self._extend_in(self._enter())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._leave():
            try:
                self.release()
            except Exception as failure:
                self._not_released(failure, error)

    def _extend_in(self, seconds: float) -> None:
        with self._lock:
            if self._may_extend():
                self._stop_timer()
                self._timer = self._later(seconds, self._extend_by_itself)

    def _extend_by_itself(self) -> None:
        ttl_seconds = self._ttl_seconds or 0.0
        try:
            self.extend(ttl_seconds=ttl_seconds)
        except (Error, RuntimeError) as error:  # RuntimeError: the client was closed
            if self._extension_failed(error):
                self._extend_in(ttl_seconds / 3)

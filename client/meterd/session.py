"""A metered session of the blocking client."""

import threading
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import NamedTuple, Self

from meterd._conversation import Conversation
from meterd._retry import Attempts
from meterd._session_state import SessionState
from meterd.errors import Error
from meterd.v1 import account_pb2, reservation_pb2


class SessionHost(NamedTuple):
    """What a session needs of its client."""

    start: Callable[[float | None], Attempts]
    """Begins the attempts of a report."""
    sleep: Callable[[float], None]
    """Pauses between two of them."""
    converse: Callable[[], Conversation]
    """Opens a stream."""


class MeterSession(SessionState):
    """A cost that grows while the work runs, a slice of money at a time; opened by `Client.meter`.

    Each report is charged as it comes and returns what is granted for the next one. When the daemon says to stop, `stopped` is the
    reason. A piece of work that was under way may still be reported, as `final`; a report that goes on is recorded, too, and raises
    MeteringStoppedError. `for granted in session:` goes on until `stopped`, if each turn reports.

    The end of a `with` block closes the session, and what is held is available again. When the connection breaks, the next report
    goes on with the session if it is still open; otherwise it raises ReservationClosedError, and `capture`, with the session's id
    and the error's request_id, records it late, once. A session that is not closed, or whose report failed, ends by its
    expiry.
    """

    def __init__(
        self, host: SessionHost, open_message: reservation_pb2.MeterOpen, timeout_seconds: float | None
    ) -> None:
        super().__init__(open_message)
        self._host = host
        self._timeout_seconds = timeout_seconds
        self._conversation: Conversation | None = None
        self._turn = threading.Lock()

    def opened(self) -> Self:
        """Open the session; the client did that already."""
        with self._turn:
            self._ask(None, self.session_id, None)
        return self

    def report(
        self,
        cost_microcents: int,
        *,
        final: bool = False,
        request_id: str | None = None,
        timeout_seconds: float | None = None,
    ) -> int:
        """Charge what was used since the last report, exactly once per `request_id`; return what may be used until the next.

        With `final` it is the last one, and closes the session. Raises MeteringStoppedError when the session had been told to stop
        before, still is, and the report is not final: it is recorded all the same. Raises RuntimeError when the session is over.
        """
        return self._report(cost_microcents, final, request_id, timeout_seconds)

    def report_usage(
        self,
        service: str | None = None,
        *,
        model: str = "",
        quantities: Mapping[str, int] | None = None,
        final: bool = False,
        request_id: str | None = None,
        timeout_seconds: float | None = None,
        **meters: int,
    ) -> int:
        """Charge what was used since the last report, as `report`; meters are as in `record_usage`.

        The service is the session's, unless another is named.
        """
        used = self._usage(service, model, quantities, meters)
        return self._report(used, final, request_id, timeout_seconds)

    def close(self, *, timeout_seconds: float | None = None) -> None:
        """End the session: what is held is available again. A second close does nothing."""
        with self._turn:
            if not self._is_over:
                self._ask(self._close_message(), self.session_id, timeout_seconds)
                self._is_over = True
                self._end()

    def __iter__(self) -> Iterator[int]:
        """Yield what is granted until the work has to stop."""
        while not (self.stopped or self._is_over):
            yield self.granted_microcents

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._conversation is None:
            return  # it is closed, or broke: the daemon settles what was reported
        try:
            self.close()
        except Exception as failure:
            self._not_closed(failure, error)

    def _report(
        self, cost: int | account_pb2.Usage, final: bool, request_id: str | None, timeout_seconds: float | None
    ) -> int:
        message = self._report_message(cost, request_id)
        was_stopped = bool(self.stopped)
        with self._turn:
            self._ask(message, message.report.request_id, timeout_seconds)
        granted_microcents = self._reported(was_stopped, final, message.report.request_id)
        if final:
            self.close(timeout_seconds=timeout_seconds)
        return granted_microcents

    def _ask(
        self, message: reservation_pb2.MeterRequest | None, request_id: str, timeout_seconds: float | None
    ) -> None:
        """Send a message, on a new stream if need be, and take its answer; None only sees to it that there is a stream."""
        attempts = self._host.start(self._timeout_seconds if timeout_seconds is None else timeout_seconds)
        while True:
            try:
                if self._conversation is None:
                    self._conversation = self._host.converse()
                    self._turns(reservation_pb2.MeterRequest(open=self._open_message), attempts, request_id)
                if message is not None:
                    self._turns(message, attempts, request_id)
                return
            except Error as error:
                pause_seconds = attempts.pause_seconds_after(error)
                if pause_seconds is None:
                    raise
            self._host.sleep(pause_seconds)

    def _turns(self, message: reservation_pb2.MeterRequest, attempts: Attempts, request_id: str) -> None:
        if self._conversation is not None:
            try:
                self._answered(self._conversation.ask(message, attempts.remaining_seconds(), request_id))
            except BaseException:
                self._end()  # what became of the message is not known
                raise

    def _end(self) -> None:
        conversation, self._conversation = self._conversation, None
        if conversation is not None:
            conversation.end()

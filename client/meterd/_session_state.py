"""What a metered session knows and decides, whichever client opened it. Does no I/O."""

import logging
from collections.abc import Mapping

from meterd import _arguments, _convert
from meterd._pricing_calls import usage
from meterd.account_types import Reservation
from meterd.errors import MeteringStoppedError
from meterd.types import Balance
from meterd.v1 import account_pb2, reservation_pb2

_logger = logging.getLogger("meterd")
_CLOSE = reservation_pb2.MeterRequest(close=reservation_pb2.MeterClose())


def opening(
    user_id: str,
    slice_microcents: int,
    *,
    ttl_seconds: float | None,
    floor_microcents: int,
    service: str,
    labels: Mapping[str, str] | None,
    request_id: str | None,
) -> reservation_pb2.MeterOpen:
    """Return what opens a session, and opens it again after its stream broke."""
    message = reservation_pb2.MeterOpen(
        user_id=_arguments.text("user_id", user_id),
        request_id=_arguments.request_id(request_id),
        slice_microcents=_arguments.integer("slice_microcents", slice_microcents),
        service=_arguments.text("service", service),
        labels=None if labels is None else _arguments.labels(labels),
    )
    if ttl_seconds is not None:
        message.ttl.CopyFrom(_arguments.duration("ttl_seconds", ttl_seconds))
    if floor := _arguments.integer("floor_microcents", floor_microcents):
        message.floor_microcents = floor
        message.on_expiry = account_pb2.ON_EXPIRY_CAPTURE_FLOOR
    return message


class SessionState:
    """A metered session as the one who does the work sees it."""

    def __init__(self, open_message: reservation_pb2.MeterOpen) -> None:
        self._open_message = open_message
        self._answer: reservation_pb2.MeterGranted | reservation_pb2.MeterStop | reservation_pb2.MeterClosed
        self._answer = reservation_pb2.MeterGranted()
        self._stopped = ""
        self._is_over = False

    @property
    def user_id(self) -> str:
        """Who is charged."""
        return self._open_message.user_id

    @property
    def session_id(self) -> str:
        """The id of the session's reservation, and the request_id that opens it again."""
        return self._open_message.request_id

    @property
    def granted_microcents(self) -> int:
        """How much may be used until the next report."""
        answer = self._answer
        return 0 if isinstance(answer, reservation_pb2.MeterClosed) else answer.granted_microcents

    @property
    def stopped(self) -> str:
        """Why nothing more may be used, such as "INSUFFICIENT_FUNDS"; empty as long as the work may go on."""
        return self._stopped

    @property
    def reservation(self) -> Reservation:
        """The session's reservation as the daemon last said it is; its `captured_microcents` is what was charged so far."""
        return _convert.reservation_from(self._answer.reservation)

    @property
    def balance(self) -> Balance:
        """The account as the daemon last said it is."""
        return _convert.balance_from(self._answer.balance)

    def __repr__(self) -> str:
        about = self.stopped or f"{self.granted_microcents} granted"
        return f"<{type(self).__name__} {self.session_id!r} of {self.user_id!r}: {about}>"

    def _usage(
        self, service: str | None, model: str, quantities: Mapping[str, int] | None, meters: Mapping[str, int]
    ) -> account_pb2.Usage:
        """Return the message of a usage, of the session's service unless another is named."""
        return usage(self._open_message.service if service is None else service, model, quantities, meters)

    def _report_message(self, cost: int | account_pb2.Usage, request_id: str | None) -> reservation_pb2.MeterRequest:
        if self._is_over:
            raise RuntimeError("this session is over; open a new one")
        message = reservation_pb2.MeterRequest()
        message.report.request_id = _arguments.request_id(request_id)
        if isinstance(cost, account_pb2.Usage):
            message.report.usage.CopyFrom(cost)
        else:
            message.report.cost_microcents = _arguments.integer("cost_microcents", cost)
        return message

    def _close_message(self) -> reservation_pb2.MeterRequest:
        return _CLOSE

    def _answered(self, response: reservation_pb2.MeterResponse) -> None:
        kind = response.WhichOneof("message")
        if kind is None:
            return  # a newer daemon's word
        self._answer = getattr(response, kind)
        if kind == "closed":
            self._is_over = True
        else:
            self._stopped = response.stop.reason  # "" when granted: there may be money again

    def _reported(self, was_stopped: bool, final: bool, request_id: str) -> int:
        """Return what is granted; raise when the work went on although it was told to stop."""
        if was_stopped and self._stopped and not final:
            message = "the session was told to stop, and went on; what it reported is recorded"
            raise MeteringStoppedError(message, reason=self._stopped, request_id=request_id)
        return self.granted_microcents

    def _not_closed(self, failure: Exception, cause: BaseException | None) -> None:
        """Say that the end of the block could not close the session: to the exception that ended it, or by raising."""
        if cause is None:
            raise failure
        note = f"meterd: the session {self.session_id} was not closed and ends by its expiry: {failure}"
        cause.add_note(note)
        _logger.warning("%s", note)

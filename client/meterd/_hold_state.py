"""What a hold knows and decides, whichever client made it. Does no I/O."""

import logging
import threading
from collections.abc import Mapping
from datetime import datetime

from meterd import _reservation_calls
from meterd._calls import Call
from meterd._pricing_calls import usage
from meterd._request_id import new_request_id
from meterd._timers import Cancellable
from meterd.account_types import Reservation, ReservationState
from meterd.errors import Error, ReservationClosedError, ReservationNotFoundError
from meterd.types import Balance, Recorded
from meterd.v1 import account_pb2

_logger = logging.getLogger("meterd")


class HoldState:
    """A reservation as its holder sees it."""

    def __init__(self, user_id: str, made: Recorded) -> None:
        self._user_id = user_id
        self._made = made
        self._latest = made
        self._lock = threading.Lock()
        self._capture_id = new_request_id()  # the final capture's, however often it is tried: it is charged once
        self._capture_failed = False
        self._is_inside = False
        self._ttl_seconds: float | None = None
        self._timer: Cancellable | None = None
        self._extension_error: Exception | None = None

    @property
    def user_id(self) -> str:
        """Whose money is held."""
        return self._user_id

    @property
    def reservation(self) -> Reservation:
        """The reservation as the daemon last said it is."""
        return self._latest.reservation

    @property
    def reservation_id(self) -> str:
        """The reservation's id, which is the request_id that it was made under."""
        return self._made.reservation.reservation_id

    @property
    def recorded(self) -> Recorded:
        """The answer to the `reserve` that made it, entry included."""
        return self._made

    @property
    def balance(self) -> Balance:
        """The account as the daemon last said it is."""
        return self._latest.balance

    @property
    def replayed(self) -> bool:
        """True when the reservation had been made before under the same request_id; it may be over by now."""
        return self._made.replayed

    @property
    def extension_error(self) -> Exception | None:
        """Why the last attempt of the block to keep the reservation for longer failed; None when it did not."""
        return self._extension_error

    def __repr__(self) -> str:
        about = self.reservation
        return f"<{type(self).__name__} {about.reservation_id!r} of {self._user_id!r}: {about.state}, {about.held_microcents} held>"

    def _capture_call(
        self,
        cost: int | account_pb2.Usage,
        final: bool,
        labels: Mapping[str, str] | None,
        request_id: str | None,
        occur_time: datetime | None,
    ) -> Call[Recorded]:
        # From here on the work did cost something: unless it turns out to be recorded, the money is not given back.
        self._capture_failed = True
        return _reservation_calls.capture(
            self._user_id,
            self.reservation_id,
            cost,
            final=final,
            labels=labels,
            request_id=self._capture_id if final and request_id is None else request_id,
            occur_time=occur_time,
        )

    def _usage(
        self, service: str | None, model: str | None, quantities: Mapping[str, int] | None, meters: Mapping[str, int]
    ) -> account_pb2.Usage:
        """Return the message of a usage; service and model are those of the reservation unless others are named."""
        self._capture_failed = True
        made = self._made.entry
        if service is None:
            service = made.service
        if model is None:
            model = made.usage.model if made.usage else ""
        return usage(service, model, quantities, meters)

    def _release_call(self, request_id: str | None) -> Call[Recorded]:
        return _reservation_calls.release(self._user_id, self.reservation_id, request_id=request_id)

    def _extend_call(self, ttl_seconds: float | None, add_microcents: int, request_id: str | None) -> Call[Recorded]:
        return _reservation_calls.extend(
            self._user_id,
            self.reservation_id,
            ttl_seconds=ttl_seconds,
            add_microcents=add_microcents,
            request_id=request_id,
        )

    def _captured(self, recorded: Recorded) -> Recorded:
        self._capture_failed = False
        return self._changed(recorded)

    def _changed(self, recorded: Recorded) -> Recorded:
        with self._lock:  # an extension may be answered while the capture is
            if recorded.entry.version >= self._latest.entry.version:
                self._latest = recorded
            if recorded.reservation.state is not ReservationState.OPEN:
                self._stop_timer()
        return recorded

    def _enter(self) -> float:
        """Begin to keep the reservation; return in how many seconds to extend it."""
        made = self._made
        self._is_inside = True
        if self._ttl_seconds is None:
            self._ttl_seconds = (made.reservation.expire_time - made.entry.record_time).total_seconds()
        # How much is left of one that was made before is not known.
        return 0.0 if made.replayed else self._ttl_seconds / 3

    def _leave(self) -> bool:
        """Stop keeping the reservation; return whether it is to be released."""
        with self._lock:
            self._is_inside = False
            self._stop_timer()
            return self._latest.reservation.state is ReservationState.OPEN and not self._capture_failed

    def _may_extend(self) -> bool:
        """Whether the block goes on and its reservation does."""
        return self._is_inside and self._latest.reservation.state is ReservationState.OPEN

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _extension_failed(self, error: Exception) -> bool:
        """Note why; return whether to try again. The work goes on: whether it took too long, its capture will say."""
        if not self._may_extend():
            return False  # it was on its way when the block ended
        self._extension_error = error
        _logger.warning("the reservation %s of %s was not extended: %s", self.reservation_id, self._user_id, error)
        return isinstance(error, Error) and not isinstance(error, ReservationClosedError | ReservationNotFoundError)

    def _not_released(self, failure: Exception, cause: BaseException | None) -> None:
        """Say that the end of the block could not release: to the exception that ended it, or by raising."""
        if isinstance(failure, ReservationClosedError):
            return  # it ended meanwhile, by its expiry or elsewhere
        if cause is None:
            raise failure
        note = f"meterd: the reservation {self.reservation_id} was not released and ends by its expiry: {failure}"
        cause.add_note(note)
        _logger.warning("%s", note)

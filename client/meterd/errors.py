"""What can go wrong, told apart by class, never by message text.

    meterd.Error
    ├── InvalidArgumentError     a field is missing, malformed or out of range: fix the call
    │   ├── TtlOutOfRangeError   a ttl is not within 1 s to 24 h
    │   ├── FloorOverAmountError the floor is above what is to be reserved
    │   └── GrantExpiredError    the money would have expired already
    ├── InsufficientFundsError   not covered, nothing changed: ask for a top-up
    ├── RequestIdReusedError     this request_id was used for a different request: fix the call
    ├── FundingConflictError     the funded total is not the old one: re-read, decide again
    ├── AmountOutOfRangeError    too large an amount: fix the call
    ├── UnknownRateError         no rate card says what the usage costs: add one, then call again
    ├── RateCardConflictError    a rate card would change what earlier usage costs: give it a later date
    ├── AccountFrozenError       nothing new is allowed: ask whoever froze the account
    ├── ReservationNotFoundError the user has no such reservation: fix the call
    ├── ReservationClosedError   the reservation is over: record the cost by itself
    ├── TooManyGrantsError       the user has as many grants as one may have
    ├── EntryNotFoundError       the user has no such entry: fix the call
    ├── EntryNotReversibleError  neither a cost nor money that came in: fix the call
    ├── ReversalOverEntryError   more than is left of the entry: fix the call
    ├── OverloadedError          not started: back off
    ├── UnavailableError         not reachable, or its store failed: outcome unknown
    ├── DeadlineExceededError    no answer in time: outcome unknown
    ├── InternalError            a fault of the daemon: outcome unknown, report it
    ├── MeteringStoppedError     a metered session was told to stop, and went on
    └── UnknownError             anything else, such as a reason that only a newer daemon knows

When the outcome is unknown, call again with `request_id=error.request_id`: it is applied once, however often it
arrives. An argument of a type that cannot be sent, such as a float amount, raises Python's own TypeError or
ValueError instead.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import grpc

from meterd.account_types import ReservationState


class Error(Exception):
    """Anything that the daemon or the connection to it answers instead of a result."""

    code: grpc.StatusCode = grpc.StatusCode.UNKNOWN
    integer_metadata: ClassVar[tuple[str, ...]] = ()
    """The metadata keys that this class reads as integers."""

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode | None = None,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        field_violations: tuple[tuple[str, str], ...] = (),
        request_id: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = type(self).code if code is None else code
        """The gRPC status code."""
        self.reason = reason
        """The daemon's reason, such as "INSUFFICIENT_FUNDS"; empty when the daemon itself did not answer."""
        self.message = message
        """For people to read; do not tell errors apart by it."""
        self.metadata = dict(metadata or {})
        """What comes with the reason, as text; its integers are decimal."""
        self.field_violations = field_violations
        """A (field, description) pair for each bad field."""
        self.request_id = request_id
        """The idempotency key that was sent; None for a call that changes nothing."""
        self.retry_after_seconds = retry_after_seconds
        """How long the daemon asked to wait; None when it did not say."""

    def __str__(self) -> str:
        return f"{self.reason or self.code.name}: {self.message}"

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own way forgets keyword-only arguments, and the error could not leave a worker process.
        return _restore, (type(self), self.message, self.__dict__.copy())


def _restore(kind: type[Error], message: str, state: dict[str, Any]) -> Error:
    error = kind(message)
    error.__dict__.update(state)
    return error


class InvalidArgumentError(Error):
    """A field is missing, malformed or out of its range; `field_violations` names each one. Fix the call."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class TtlOutOfRangeError(InvalidArgumentError):
    """A ttl is not within 1 s to 24 h. Fix the call."""


class FloorOverAmountError(InvalidArgumentError):
    """The floor is above what is to be reserved. Fix the call."""


class GrantExpiredError(InvalidArgumentError):
    """The money would have expired already. Fix the call."""


class InsufficientFundsError(Error):
    """A reservation, or a cost with `reject_overdraft`, was not covered; nothing was changed. Do not retry before a top-up."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    integer_metadata = ("available_microcents", "required_microcents", "shortfall_microcents")

    @property
    def available_microcents(self) -> int:
        """What the user could have spent, in microcents; may be negative."""
        return int(self.metadata["available_microcents"])

    @property
    def required_microcents(self) -> int:
        """What the call would have cost, in microcents."""
        return int(self.metadata["required_microcents"])

    @property
    def shortfall_microcents(self) -> int:
        """The least top-up that would cover it, in microcents: required - available."""
        return int(self.metadata["shortfall_microcents"])


class RequestIdReusedError(Error):
    """The request_id was used before by this user, for a different request. Fix the call."""

    code = grpc.StatusCode.ALREADY_EXISTS


class FundingConflictError(Error):
    """The user's funded total is not the `old_amount_microcents` of the update. Re-read it and decide again."""

    code = grpc.StatusCode.ABORTED
    integer_metadata = ("funded_microcents",)

    @property
    def funded_microcents(self) -> int:
        """The user's funded total as it is, in microcents."""
        return int(self.metadata["funded_microcents"])


class AmountOutOfRangeError(Error):
    """An amount is above 10^15 microcents, or the account would leave +-9*10^18. Fix the call."""

    code = grpc.StatusCode.OUT_OF_RANGE


class UnknownRateError(Error):
    """No rate card says what the usage costs; nothing was charged. Add the rate, then call again with the time of the use."""

    code = grpc.StatusCode.NOT_FOUND

    @property
    def service(self) -> str:
        """The service that was used."""
        return self.metadata.get("service", "")

    @property
    def model(self) -> str:
        """The model of it; may be empty."""
        return self.metadata.get("model", "")

    @property
    def meter(self) -> str:
        """The first meter without a price; empty when there is no card for the service and model at all."""
        return self.metadata.get("meter", "")


class RateCardConflictError(Error):
    """A rate card would change what earlier usage costs; none was taken. Give it a later date than its last version."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class AccountFrozenError(Error):
    """The account is frozen: nothing new is allowed, and nothing was changed. Incurred costs are still recorded."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class ReservationNotFoundError(Error):
    """The user has no reservation of that id, which may be another user's. Fix the call."""

    code = grpc.StatusCode.NOT_FOUND


class ReservationClosedError(Error):
    """The reservation is over, nothing was changed. What was used after all is recorded with `record_cost`."""

    code = grpc.StatusCode.FAILED_PRECONDITION

    @property
    def state(self) -> ReservationState:
        """How it ended."""
        return ReservationState.__members__.get(self.metadata.get("state", ""), ReservationState.UNKNOWN)


class TooManyGrantsError(Error):
    """The user has as many grants as one user may have; nothing was changed."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class EntryNotFoundError(Error):
    """The user has no entry of that version. Fix the call."""

    code = grpc.StatusCode.NOT_FOUND


class EntryNotReversibleError(Error):
    """The entry is neither a cost nor money that came in; a reversal is not reversed. Fix the call."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class ReversalOverEntryError(Error):
    """More would be reversed than is left of the entry; nothing was changed."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    integer_metadata = ("left_microcents",)

    @property
    def left_microcents(self) -> int:
        """What of the entry may still be reversed, in microcents."""
        return int(self.metadata["left_microcents"])


class OverloadedError(Error):
    """The daemon has as much queued as it will hold, and the call was not started. Wait `retry_after_seconds`."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class UnavailableError(Error):
    """The daemon was not reachable, is stopping, or its store failed. The outcome is unknown: retry it."""

    code = grpc.StatusCode.UNAVAILABLE


class DeadlineExceededError(Error):
    """No answer came within the timeout. The outcome is unknown: retry with `request_id`."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class InternalError(Error):
    """A fault of the daemon; what it was is in the daemon's log. The outcome is unknown. Please report it."""

    code = grpc.StatusCode.INTERNAL


class MeteringStoppedError(Error):
    """A metered session was told to stop and went on. What it reported is recorded; `reason` is the daemon's for stopping."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class UnknownError(Error):
    """Anything else; `code` and `reason` say what the daemon answered."""

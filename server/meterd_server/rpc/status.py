"""The one table from what went wrong to what the caller sees."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped, unused-ignore]

from meterd_server.errors import Overloaded, Reason, StoreUnavailable
from meterd_server.model import Applied, Checked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from google.protobuf.message import Message

    from meterd_server.model import Outcome, Rejection

DOMAIN = "meterd"
DETAILS_KEY = "grpc-status-details-bin"
"""The trailing metadata that holds a google.rpc.Status; gRPC's richer error model."""

CODES: Mapping[Reason, grpc.StatusCode] = {
    Reason.INVALID_ARGUMENT: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.INSUFFICIENT_FUNDS: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.REQUEST_ID_REUSED: grpc.StatusCode.ALREADY_EXISTS,
    Reason.FUNDING_CONFLICT: grpc.StatusCode.ABORTED,
    Reason.AMOUNT_OUT_OF_RANGE: grpc.StatusCode.OUT_OF_RANGE,
    Reason.OVERLOADED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.STORE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.INTERNAL: grpc.StatusCode.INTERNAL,
    Reason.UNKNOWN_RATE: grpc.StatusCode.NOT_FOUND,
    Reason.RATE_CARD_CONFLICT: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.RESERVATION_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.RESERVATION_CLOSED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.TTL_OUT_OF_RANGE: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.FLOOR_OVER_AMOUNT: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.ACCOUNT_FROZEN: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.GRANT_EXPIRED: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.TOO_MANY_GRANTS: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.ENTRY_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.ENTRY_NOT_REVERSIBLE: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.REVERSAL_OVER_ENTRY: grpc.StatusCode.FAILED_PRECONDITION,
}

_FIELDS = {Reason.FLOOR_OVER_AMOUNT: "floor_microcents", Reason.GRANT_EXPIRED: "expire_time"}
"""Which field it is that only the rules can find bad."""


class Violation(NamedTuple):
    """A field of the request that cannot stand, and why."""

    field: str
    description: str


class RequestError(Exception):
    """The request was refused before it reached the ledger; `status` says why."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.status = status


def make_status(
    reason: Reason, message: str, metadata: Mapping[str, object] | None = None, *details: Message
) -> status_pb2.Status:
    """A google.rpc.Status with ErrorInfo first and then `details`; metadata values become strings."""
    info = error_details_pb2.ErrorInfo(
        reason=reason, domain=DOMAIN, metadata={key: str(value) for key, value in (metadata or {}).items()}
    )
    status = status_pb2.Status(code=CODES[reason].value[0], message=message)
    for detail in (info, *details):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def invalid_argument(
    violations: Sequence[Violation],
    reason: Reason = Reason.INVALID_ARGUMENT,
    metadata: Mapping[str, object] | None = None,
) -> status_pb2.Status:
    """The status of a request with bad fields: the message says it to people, BadRequest to programs."""
    message = "; ".join(f"{violation.field}: {violation.description}" for violation in violations)
    return make_status(reason, message, metadata, _bad_request(violations))


def from_rejection(rejection: Rejection) -> status_pb2.Status:
    """The status of what the rules turned down; where one field is to blame, named as any bad field."""
    reason, message, details = rejection
    field = _FIELDS.get(reason)
    return make_status(reason, message, details, *([_bad_request([Violation(field, message)])] if field else ()))


def applied(outcome: Outcome) -> Applied:
    """What a change came to. Raises `RequestError` if the rules turned it down."""
    if isinstance(outcome, Applied):
        return outcome
    if isinstance(outcome, Checked):
        raise TypeError("a change was answered as a Check is")
    raise RequestError(from_rejection(outcome))


def _bad_request(violations: Sequence[Violation]) -> error_details_pb2.BadRequest:
    named = error_details_pb2.BadRequest()
    for field, description in violations:
        named.field_violations.add(field=field, description=description)
    return named


def from_exception(error: BaseException) -> status_pb2.Status:
    """The status of anything raised on the way. The text of what is not ours stays here: it may name paths or hold data."""
    match error:
        case RequestError(status=status):
            return status
        case Overloaded(retry_seconds=seconds):
            return _overloaded(seconds)
        case StoreUnavailable():
            return make_status(
                Reason.STORE_UNAVAILABLE,
                "the outcome is unknown; retry with the same request_id, it is applied at most once",
            )
        case _:
            return make_status(Reason.INTERNAL, "internal error; the server's log has the cause")


@lru_cache(256)
def _overloaded(retry_seconds: float) -> status_pb2.Status:
    """Made once for each delay: it is said by the thousand, and when there is least time for it."""
    delay = duration_pb2.Duration()
    delay.FromNanoseconds(round(retry_seconds * 1e9))
    return make_status(
        Reason.OVERLOADED,
        "too much is queued; back off and retry with the same request_id",
        None,
        error_details_pb2.RetryInfo(retry_delay=delay),
    )

"""The one table from a gRPC status to an exception. Nothing that a server sends can make it fail."""

from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped, unused-ignore]

from meterd import errors

DOMAIN = "meterd"
_DETAILS_KEY = "grpc-status-details-bin"
_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}

BY_REASON: dict[str, type[errors.Error]] = {
    "INVALID_ARGUMENT": errors.InvalidArgumentError,
    "INSUFFICIENT_FUNDS": errors.InsufficientFundsError,
    "REQUEST_ID_REUSED": errors.RequestIdReusedError,
    "FUNDING_CONFLICT": errors.FundingConflictError,
    "AMOUNT_OUT_OF_RANGE": errors.AmountOutOfRangeError,
    "OVERLOADED": errors.OverloadedError,
    "STORE_UNAVAILABLE": errors.UnavailableError,
    "INTERNAL": errors.InternalError,
    "UNKNOWN_RATE": errors.UnknownRateError,
    "RATE_CARD_CONFLICT": errors.RateCardConflictError,
    "RESERVATION_NOT_FOUND": errors.ReservationNotFoundError,
    "RESERVATION_CLOSED": errors.ReservationClosedError,
    "TTL_OUT_OF_RANGE": errors.TtlOutOfRangeError,
    "FLOOR_OVER_AMOUNT": errors.FloorOverAmountError,
    "ACCOUNT_FROZEN": errors.AccountFrozenError,
    "GRANT_EXPIRED": errors.GrantExpiredError,
    "TOO_MANY_GRANTS": errors.TooManyGrantsError,
    "ENTRY_NOT_FOUND": errors.EntryNotFoundError,
    "ENTRY_NOT_REVERSIBLE": errors.EntryNotReversibleError,
    "REVERSAL_OVER_ENTRY": errors.ReversalOverEntryError,
}

# Only codes with one meaning: FAILED_PRECONDITION, say, may come with reasons that are not about funds.
BY_CODE: dict[grpc.StatusCode, type[errors.Error]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidArgumentError,
    grpc.StatusCode.UNAVAILABLE: errors.UnavailableError,
    # What gRPC says of a call that reaches a server in the moment it stops; a cancellation of the caller's own is no RpcError.
    grpc.StatusCode.CANCELLED: errors.UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceededError,
    grpc.StatusCode.INTERNAL: errors.InternalError,
}

DetailT = TypeVar("DetailT", bound=Message)


def error_from(rpc_error: grpc.RpcError, request_id: str | None) -> errors.Error:
    """Return the exception for what a blocking or an asyncio call raised, caused by it."""
    # The call's own code and words rule, whatever its details say.
    error = _error(_status(rpc_error), rpc_error.code(), rpc_error.details() or "", request_id)
    error.__cause__ = rpc_error
    return error


def error_from_status(status: status_pb2.Status, request_id: str | None) -> errors.Error:
    """Return the exception for what one operation of a Batch was answered."""
    return _error(status, _CODES.get(status.code, grpc.StatusCode.UNKNOWN), status.message, request_id)


def reason(rpc_error: grpc.RpcError) -> str:
    """Return the daemon's reason for a failed call; empty when it was not the daemon who failed it."""
    text: str = _info(_status(rpc_error)).reason
    return text


def _error(status: status_pb2.Status, code: grpc.StatusCode, message: str, request_id: str | None) -> errors.Error:
    info = _info(status)
    metadata = dict(info.metadata)
    bad_request = _detail(status, error_details_pb2.BadRequest) or error_details_pb2.BadRequest()
    return _class_for(info.reason, code, metadata)(
        message,
        code=code,
        reason=info.reason,
        metadata=metadata,
        field_violations=tuple((each.field, each.description) for each in bad_request.field_violations),
        request_id=request_id,
        retry_after_seconds=_retry_after_seconds(status),
    )


def _info(status: status_pb2.Status) -> error_details_pb2.ErrorInfo:
    info = _detail(status, error_details_pb2.ErrorInfo)
    return info if info is not None and info.domain == DOMAIN else error_details_pb2.ErrorInfo()


def _class_for(reason: str, code: grpc.StatusCode, metadata: dict[str, str]) -> type[errors.Error]:
    kind = BY_REASON.get(reason)
    # An error without its numbers must not be handed out as one that has them.
    if kind is not None and all(_is_integer(metadata.get(key)) for key in kind.integer_metadata):
        return kind
    return BY_CODE.get(code, errors.UnknownError)


def _is_integer(text: str | None) -> bool:
    try:
        int(text or "")
    except ValueError:
        return False
    return True


def _status(rpc_error: grpc.RpcError) -> status_pb2.Status:
    # grpc_status.rpc_status.from_call raises when the details disagree with the call; here the call's own code rules.
    trailing: Any = rpc_error.trailing_metadata()  # None, a tuple or grpc.aio's Metadata
    for key, value in trailing or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break
    return status_pb2.Status()


def _detail(status: status_pb2.Status, kind: type[DetailT]) -> DetailT | None:
    for packed in status.details:
        detail = kind()
        try:
            if packed.Unpack(detail):
                return detail
        except DecodeError:
            continue
    return None


def _retry_after_seconds(status: status_pb2.Status) -> float | None:
    info = _detail(status, error_details_pb2.RetryInfo)
    if info is None or not info.HasField("retry_delay"):
        return None
    seconds: float = info.retry_delay.seconds + info.retry_delay.nanos / 1e9
    return max(0.0, seconds)

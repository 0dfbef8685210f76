"""What can go wrong, by name.

A *rejection* is data: `model.Rejection` carries one of the reasons below. What is not the caller's to decide on is raised as one
of the exceptions. `rpc.status` turns both into a gRPC status, in one table.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a request was not carried out: the `reason` of google.rpc.ErrorInfo, meterd.v1.ErrorReason without its prefix."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    FUNDING_CONFLICT = "FUNDING_CONFLICT"
    AMOUNT_OUT_OF_RANGE = "AMOUNT_OUT_OF_RANGE"
    OVERLOADED = "OVERLOADED"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    INTERNAL = "INTERNAL"
    UNKNOWN_RATE = "UNKNOWN_RATE"
    RATE_CARD_CONFLICT = "RATE_CARD_CONFLICT"
    RESERVATION_NOT_FOUND = "RESERVATION_NOT_FOUND"
    RESERVATION_CLOSED = "RESERVATION_CLOSED"
    TTL_OUT_OF_RANGE = "TTL_OUT_OF_RANGE"
    FLOOR_OVER_AMOUNT = "FLOOR_OVER_AMOUNT"
    ACCOUNT_FROZEN = "ACCOUNT_FROZEN"
    GRANT_EXPIRED = "GRANT_EXPIRED"
    TOO_MANY_GRANTS = "TOO_MANY_GRANTS"
    ENTRY_NOT_FOUND = "ENTRY_NOT_FOUND"
    ENTRY_NOT_REVERSIBLE = "ENTRY_NOT_REVERSIBLE"
    REVERSAL_OVER_ENTRY = "REVERSAL_OVER_ENTRY"


class MeterdError(Exception):
    """The root of what this package raises on purpose."""


class StoreUnavailable(MeterdError):  # noqa: N818 -- named as the reason that callers see
    """The store failed: whether the batch was written is unknown. Its text is for the log, never for a caller."""


class Overloaded(MeterdError):  # noqa: N818 -- named as the reason that callers see
    """The queue is full: the command was not started. It is to be tried again after `retry_seconds`."""

    def __init__(self, retry_seconds: float = 0.2) -> None:
        super().__init__()
        self.retry_seconds = retry_seconds


class StartupError(MeterdError):
    """The daemon cannot start; the text is one line that says why and what to do."""

"""meterd: a prepaid balance for every user, metered over gRPC, exact to the microcent.

```python
with meterd.Client() as client:
    if client.check("alice"):
        client.record_usage("alice", "mistral", model="mistral-large-latest", input_tokens=1200, output_tokens=300)
        client.record_cost("alice", 5_000, service="chat")  # or the cost itself, when you know it
```

Every amount is an `int` of microcents: 10^-6 US cent, so $1 = 100_000_000. `AsyncClient` has the same methods to await.
Every error that the daemon or the connection raises is a `meterd.Error`.
"""

from meterd import usage
from meterd._request_id import new_request_id
from meterd._retry import RetryPolicy
from meterd._version import __version__
from meterd.account_types import AccountPolicy, Grant, GrantDraw, OnExpiry, Reservation, ReservationState
from meterd.aio import AsyncClient
from meterd.aio_hold import AsyncHold
from meterd.aio_session import AsyncMeterSession
from meterd.client import Client
from meterd.errors import (
    AccountFrozenError,
    AmountOutOfRangeError,
    DeadlineExceededError,
    EntryNotFoundError,
    EntryNotReversibleError,
    Error,
    FloorOverAmountError,
    FundingConflictError,
    GrantExpiredError,
    InsufficientFundsError,
    InternalError,
    InvalidArgumentError,
    MeteringStoppedError,
    OverloadedError,
    RateCardConflictError,
    RequestIdReusedError,
    ReservationClosedError,
    ReservationNotFoundError,
    ReversalOverEntryError,
    TooManyGrantsError,
    TtlOutOfRangeError,
    UnavailableError,
    UnknownError,
    UnknownRateError,
)
from meterd.hold import Hold
from meterd.pricing_types import Quote, RateCard, RateCardsPut, RateTier
from meterd.session import MeterSession
from meterd.types import (
    Account,
    Balance,
    CheckResult,
    Entry,
    EntryKind,
    EntryPage,
    RateCardKey,
    Recorded,
    Usage,
)

__all__ = [
    "Account",
    "AccountFrozenError",
    "AccountPolicy",
    "AmountOutOfRangeError",
    "AsyncClient",
    "AsyncHold",
    "AsyncMeterSession",
    "Balance",
    "CheckResult",
    "Client",
    "DeadlineExceededError",
    "Entry",
    "EntryKind",
    "EntryNotFoundError",
    "EntryNotReversibleError",
    "EntryPage",
    "Error",
    "FloorOverAmountError",
    "FundingConflictError",
    "Grant",
    "GrantDraw",
    "GrantExpiredError",
    "Hold",
    "InsufficientFundsError",
    "InternalError",
    "InvalidArgumentError",
    "MeterSession",
    "MeteringStoppedError",
    "OnExpiry",
    "OverloadedError",
    "Quote",
    "RateCard",
    "RateCardConflictError",
    "RateCardKey",
    "RateCardsPut",
    "RateTier",
    "Recorded",
    "RequestIdReusedError",
    "Reservation",
    "ReservationClosedError",
    "ReservationNotFoundError",
    "ReservationState",
    "RetryPolicy",
    "ReversalOverEntryError",
    "TooManyGrantsError",
    "TtlOutOfRangeError",
    "UnavailableError",
    "UnknownError",
    "UnknownRateError",
    "Usage",
    "__version__",
    "new_request_id",
    "usage",
]

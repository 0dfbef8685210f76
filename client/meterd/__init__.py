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
from meterd.aio import AsyncClient
from meterd.client import Client
from meterd.errors import (
    AmountOutOfRangeError,
    DeadlineExceededError,
    Error,
    FundingConflictError,
    InsufficientFundsError,
    InternalError,
    InvalidArgumentError,
    OverloadedError,
    RateCardConflictError,
    RequestIdReusedError,
    UnavailableError,
    UnknownError,
    UnknownRateError,
)
from meterd.types import (
    Balance,
    CheckResult,
    Entry,
    EntryKind,
    EntryPage,
    Quote,
    RateCard,
    RateCardKey,
    RateCardsPut,
    RateTier,
    Recorded,
    Usage,
)

__all__ = [
    "AmountOutOfRangeError",
    "AsyncClient",
    "Balance",
    "CheckResult",
    "Client",
    "DeadlineExceededError",
    "Entry",
    "EntryKind",
    "EntryPage",
    "Error",
    "FundingConflictError",
    "InsufficientFundsError",
    "InternalError",
    "InvalidArgumentError",
    "OverloadedError",
    "Quote",
    "RateCard",
    "RateCardConflictError",
    "RateCardKey",
    "RateCardsPut",
    "RateTier",
    "Recorded",
    "RequestIdReusedError",
    "RetryPolicy",
    "UnavailableError",
    "UnknownError",
    "UnknownRateError",
    "Usage",
    "__version__",
    "new_request_id",
    "usage",
]

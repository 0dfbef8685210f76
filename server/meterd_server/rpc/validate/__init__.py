"""Request messages to ledger commands: every rule about a single field, each violation naming its field."""

from meterd_server.rpc.validate.costs import check, record_cost, record_funding
from meterd_server.rpc.validate.fields import timestamp_us, user_id
from meterd_server.rpc.validate.usage import Sources, priced, unknown_rate, usage

__all__ = [
    "Sources",
    "check",
    "priced",
    "record_cost",
    "record_funding",
    "timestamp_us",
    "unknown_rate",
    "usage",
    "user_id",
]

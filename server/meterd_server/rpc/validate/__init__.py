"""Request messages to ledger commands: every rule about a single field, each violation naming its field."""

from meterd_server.rpc.validate.administration import reverse, set_policy
from meterd_server.rpc.validate.costs import check, record_cost
from meterd_server.rpc.validate.fields import refuse, timestamp_us, user_id
from meterd_server.rpc.validate.funding import record_funding
from meterd_server.rpc.validate.reservations import capture, extend, meter_open, meter_report, release, reserve
from meterd_server.rpc.validate.usage import Sources, priced, unknown_rate, usage

__all__ = [
    "Sources",
    "capture",
    "check",
    "extend",
    "meter_open",
    "meter_report",
    "priced",
    "record_cost",
    "record_funding",
    "refuse",
    "release",
    "reserve",
    "reverse",
    "set_policy",
    "timestamp_us",
    "unknown_rate",
    "usage",
    "user_id",
]

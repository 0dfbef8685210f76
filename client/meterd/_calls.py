"""The API without I/O: each method's request, where to send it, and how to read the answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from meterd import _arguments, _convert
from meterd.types import Balance, CheckResult, EntryPage, Recorded
from meterd.v1 import ledger_pb2, metering_pb2
from meterd.v1.ledger_pb2_grpc import LedgerServiceStub
from meterd.v1.metering_pb2_grpc import MeteringServiceStub
from meterd.v1.pricing_pb2_grpc import PricingServiceStub

ResultT = TypeVar("ResultT")


class Stubs:
    """The generated stubs on one channel, blocking or asyncio."""

    def __init__(self, channel: grpc.Channel | grpc.aio.Channel) -> None:
        self.metering = MeteringServiceStub(channel)
        self.ledger = LedgerServiceStub(channel)
        self.pricing = PricingServiceStub(channel)


@dataclass(frozen=True, slots=True)
class Call(Generic[ResultT]):
    """One call, ready to be sent as often as needed: every attempt sends the same request."""

    rpc: Callable[[Stubs], Callable[..., Any]]
    """Picks the stub's method; what it returns is to be awaited when the channel is an asyncio one."""
    request: Message
    parse: Callable[[Any], ResultT]
    request_id: str | None = None
    """The idempotency key in `request`; None for a call that changes nothing."""


def check(user_id: str, minimum_microcents: int | None) -> Call[CheckResult]:
    """Ask whether the user may afford the minimum; None leaves it to the daemon."""
    minimum = None if minimum_microcents is None else _arguments.integer("minimum_microcents", minimum_microcents)
    request = metering_pb2.CheckRequest(user_id=_arguments.text("user_id", user_id), minimum_microcents=minimum)
    return Call(lambda stubs: stubs.metering.Check, request, _convert.check_result_from)


def record_cost(
    user_id: str,
    cost_microcents: int,
    *,
    service: str,
    labels: Mapping[str, str] | None,
    request_id: str | None,
    reject_overdraft: bool,
    occur_time: datetime | None,
) -> Call[Recorded]:
    """Record a cost, under a new request_id when none is given."""
    reject, allow = metering_pb2.OVERDRAFT_POLICY_REJECT, metering_pb2.OVERDRAFT_POLICY_UNSPECIFIED
    request = metering_pb2.RecordCostRequest(
        user_id=_arguments.text("user_id", user_id),
        request_id=_arguments.request_id(request_id),
        cost_microcents=_arguments.integer("cost_microcents", cost_microcents),
        service=_arguments.text("service", service),
        labels=_arguments.labels(labels),
        overdraft_policy=reject if reject_overdraft else allow,
        occur_time=_arguments.timestamp("occur_time", occur_time),
    )
    return Call(lambda stubs: stubs.metering.RecordCost, request, _convert.recorded_from, request.request_id)


def record_funding(
    user_id: str, amount_microcents: int, *, request_id: str | None, labels: Mapping[str, str] | None
) -> Call[Recorded]:
    """Record money that came in, under a new request_id when none is given."""
    request = metering_pb2.RecordFundingRequest(
        user_id=_arguments.text("user_id", user_id),
        request_id=_arguments.request_id(request_id),
        amount_microcents=_arguments.integer("amount_microcents", amount_microcents),
        labels=_arguments.labels(labels),
    )
    return Call(lambda stubs: stubs.metering.RecordFunding, request, _convert.recorded_from, request.request_id)


def update_funding(
    user_id: str,
    *,
    old_amount_microcents: int,
    new_amount_microcents: int,
    request_id: str | None,
    labels: Mapping[str, str] | None,
) -> Call[Recorded]:
    """Record that the funded total went from one amount to another, under a new request_id when none is given."""
    update = metering_pb2.FundingUpdate(
        old_amount_microcents=_arguments.integer("old_amount_microcents", old_amount_microcents),
        new_amount_microcents=_arguments.integer("new_amount_microcents", new_amount_microcents),
    )
    request = metering_pb2.RecordFundingRequest(
        user_id=_arguments.text("user_id", user_id),
        request_id=_arguments.request_id(request_id),
        update=update,
        labels=_arguments.labels(labels),
    )
    return Call(lambda stubs: stubs.metering.RecordFunding, request, _convert.recorded_from, request.request_id)


def get_balance(user_id: str) -> Call[Balance]:
    """Ask for the account as it is now."""
    request = ledger_pb2.GetBalanceRequest(user_id=_arguments.text("user_id", user_id))
    return Call(lambda stubs: stubs.ledger.GetBalance, request, _convert.balance_from_answer)


def list_entries(user_id: str, *, page_size: int, page_token: str, oldest_first: bool) -> Call[EntryPage]:
    """Ask for one page of entries; an empty token asks for the first."""
    request = ledger_pb2.ListEntriesRequest(
        user_id=_arguments.text("user_id", user_id),
        page_size=_arguments.integer("page_size", page_size, bits=32),
        page_token=_arguments.text("page_token", page_token),
        order_by="version asc" if oldest_first else "version desc",
    )
    return Call(lambda stubs: stubs.ledger.ListEntries, request, _convert.entry_page_from)

"""The API without I/O: each method's request, where to send it, and how to read the answer."""

from collections.abc import Callable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

import grpc
from google.protobuf.message import Message

from meterd import _arguments, _convert
from meterd._parts import Operations, batch_rpc, stream_rpc
from meterd._plain_cost import plain_cost
from meterd.types import Account, Balance, CheckResult, EntryPage, Recorded
from meterd.v1 import ledger_pb2, metering_pb2
from meterd.v1.admin_pb2_grpc import AdminServiceStub
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
        self.admin = AdminServiceStub(channel)
        self.batch = batch_rpc(channel, Operations.SerializeToString)
        self.stream = stream_rpc(channel)


class Call(NamedTuple, Generic[ResultT]):
    """One call, ready to be sent as often as needed: every attempt sends the same request."""

    rpc: Callable[[Stubs], Callable[..., Any]]
    """Picks the stub's method; what it returns is to be awaited when the channel is an asyncio one."""
    request: Message | None
    """None where it is in `operation` only: see `message`."""
    parse: Callable[[Any], ResultT]
    request_id: str | None = None
    """The idempotency key in `request`; None for a call that changes nothing."""
    operation: metering_pb2.Operation | bytes | None = None
    """What a Batch takes, with `request` inside, or as it is written; None for a call that always goes by itself."""
    kind: str = ""
    """The operation's field, and that of its result."""

    def message(self) -> Message:
        """Return the request, to be sent by itself."""
        if self.request is not None:
            return self.request
        request: Message = getattr(metering_pb2.Operation.FromString(self.operation), self.kind)  # type: ignore[arg-type]
        return request


class BalancePage(NamedTuple):
    """One page of all users' accounts."""

    balances: tuple[Balance, ...]
    next_page_token: str


PageT = TypeVar("PageT", BalancePage, EntryPage)

BATCH: Callable[[Stubs], Callable[..., Any]] = attrgetter("batch")
"""What takes many operations in one request: `Operations`, for `Results`."""
METER: Callable[[Stubs], Callable[..., Any]] = attrgetter("metering.Meter")
"""What opens a metered session."""
CHECK: Callable[[Stubs], Callable[..., Any]] = attrgetter("metering.Check")
RECORD_COST: Callable[[Stubs], Callable[..., Any]] = attrgetter("metering.RecordCost")
_RECORD_FUNDING: Callable[[Stubs], Callable[..., Any]] = attrgetter("metering.RecordFunding")


def check(user_id: str, minimum_microcents: int | None) -> Call[CheckResult]:
    """Ask whether the user may afford the minimum; None leaves it to the daemon."""
    operation = metering_pb2.Operation()
    request = operation.check
    request.user_id = _arguments.text("user_id", user_id)
    if minimum_microcents is not None:
        request.minimum_microcents = _arguments.integer("minimum_microcents", minimum_microcents)
    return Call(CHECK, request, _convert.check_result_from, None, operation, "check")


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
    _arguments.text("user_id", user_id)
    key = _arguments.request_id(request_id)
    cost_microcents = _arguments.integer("cost_microcents", cost_microcents)
    _arguments.text("service", service)
    if labels is None and not reject_overdraft and occur_time is None:
        written = plain_cost(user_id, key, cost_microcents, service)
        if written is not None:
            return Call(RECORD_COST, None, _convert.recorded_from, key, written, "record_cost")
    operation = metering_pb2.Operation()
    request = operation.record_cost
    request.user_id = user_id
    request.request_id = key
    request.cost_microcents = cost_microcents
    request.service = service
    return recording(operation, key, labels=labels, reject_overdraft=reject_overdraft, occur_time=occur_time)


def recording(
    operation: metering_pb2.Operation,
    request_id: str,
    *,
    labels: Mapping[str, str] | None,
    reject_overdraft: bool,
    occur_time: datetime | None,
) -> Call[Recorded]:
    """Complete a RecordCost that says who, under which `request_id`, and what."""
    request = operation.record_cost
    if labels is not None:
        request.labels.update(_arguments.labels(labels))
    if reject_overdraft:
        request.overdraft_policy = metering_pb2.OVERDRAFT_POLICY_REJECT
    if occur_time is not None:
        request.occur_time.CopyFrom(_arguments.timestamp("occur_time", occur_time))
    return Call(RECORD_COST, request, _convert.recorded_from, request_id, operation, "record_cost")


def record_funding(
    user_id: str,
    amount_microcents: int,
    *,
    expire_time: datetime | None,
    priority: int,
    label: str,
    request_id: str | None,
    labels: Mapping[str, str] | None,
) -> Call[Recorded]:
    """Record money that came in, under a new request_id when none is given."""
    operation = metering_pb2.Operation()
    request = operation.record_funding
    request.amount_microcents = _arguments.integer("amount_microcents", amount_microcents)
    if expire_time is not None:
        request.expire_time.CopyFrom(_arguments.timestamp("expire_time", expire_time))
    request.priority = _arguments.integer("priority", priority, bits=32)
    request.label = _arguments.text("label", label)
    return _funding(operation, user_id, request_id, labels)


def update_funding(
    user_id: str,
    *,
    old_amount_microcents: int,
    new_amount_microcents: int,
    request_id: str | None,
    labels: Mapping[str, str] | None,
) -> Call[Recorded]:
    """Record that the funded total went from one amount to another, under a new request_id when none is given."""
    operation = metering_pb2.Operation()
    update = operation.record_funding.update
    update.old_amount_microcents = _arguments.integer("old_amount_microcents", old_amount_microcents)
    update.new_amount_microcents = _arguments.integer("new_amount_microcents", new_amount_microcents)
    return _funding(operation, user_id, request_id, labels)


def _funding(
    operation: metering_pb2.Operation, user_id: str, request_id: str | None, labels: Mapping[str, str] | None
) -> Call[Recorded]:
    request = operation.record_funding
    request.user_id = _arguments.text("user_id", user_id)
    request.request_id = key = _arguments.request_id(request_id)
    if labels is not None:
        request.labels.update(_arguments.labels(labels))
    return Call(_RECORD_FUNDING, request, _convert.recorded_from, key, operation, "record_funding")


def get_balance(user_id: str) -> Call[Balance]:
    """Ask for the account as it is now."""
    request = ledger_pb2.GetBalanceRequest(user_id=_arguments.text("user_id", user_id))
    return Call(lambda stubs: stubs.ledger.GetBalance, request, _convert.balance_from_answer)


def get_account(user_id: str) -> Call[Account]:
    """Ask for the account as it is now, with its grants."""
    request = ledger_pb2.GetBalanceRequest(user_id=_arguments.text("user_id", user_id))
    return Call(lambda stubs: stubs.ledger.GetBalance, request, _convert.account_from)


def list_balances(*, page_size: int, page_token: str) -> Call[BalancePage]:
    """Ask for one page of all users' accounts; an empty token asks for the first."""
    request = ledger_pb2.ListBalancesRequest(
        page_size=_arguments.integer("page_size", page_size, bits=32),
        page_token=_arguments.text("page_token", page_token),
    )
    return Call(lambda stubs: stubs.ledger.ListBalances, request, _balance_page_from)


def _balance_page_from(response: ledger_pb2.ListBalancesResponse) -> BalancePage:
    return BalancePage(tuple(map(_convert.balance_from, response.balances)), response.next_page_token)


def list_entries(user_id: str, *, page_size: int, page_token: str, oldest_first: bool) -> Call[EntryPage]:
    """Ask for one page of entries; an empty token asks for the first."""
    request = ledger_pb2.ListEntriesRequest(
        user_id=_arguments.text("user_id", user_id),
        page_size=_arguments.integer("page_size", page_size, bits=32),
        page_token=_arguments.text("page_token", page_token),
        order_by="version asc" if oldest_first else "version desc",
    )
    return Call(lambda stubs: stubs.ledger.ListEntries, request, _convert.entry_page_from)

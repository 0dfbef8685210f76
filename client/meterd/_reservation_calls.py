"""The API of reservations and of the accounts' administration without I/O: each method's request, and how to read the answer."""

from collections.abc import Callable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any

from meterd import _arguments, _convert
from meterd._calls import Call, Stubs
from meterd.types import Recorded
from meterd.v1 import account_pb2, admin_pb2, metering_pb2, reservation_pb2

_RESERVE: Callable[[Stubs], Callable[..., Any]] = attrgetter("metering.Reserve")
_CAPTURE: Callable[[Stubs], Callable[..., Any]] = attrgetter("metering.Capture")
_RELEASE: Callable[[Stubs], Callable[..., Any]] = attrgetter("metering.Release")
_EXTEND: Callable[[Stubs], Callable[..., Any]] = attrgetter("metering.Extend")


def reserve(
    user_id: str,
    reserved: int | account_pb2.Usage,
    *,
    ttl_seconds: float | None,
    floor_microcents: int,
    allow_partial: bool,
    service: str,
    labels: Mapping[str, str] | None,
    request_id: str | None,
) -> Call[Recorded]:
    """Set an amount aside, or what a usage costs; a floor is what the expiry charges at least."""
    operation = metering_pb2.Operation()
    request = operation.reserve
    request.user_id = _arguments.text("user_id", user_id)
    request.request_id = _arguments.request_id(request_id)
    if isinstance(reserved, account_pb2.Usage):
        request.usage.CopyFrom(reserved)
    else:
        request.amount_microcents = _arguments.integer("amount_microcents", reserved)
    if ttl_seconds is not None:
        request.ttl.CopyFrom(_arguments.duration("ttl_seconds", ttl_seconds))
    if floor := _arguments.integer("floor_microcents", floor_microcents):
        request.floor_microcents = floor
        request.on_expiry = account_pb2.ON_EXPIRY_CAPTURE_FLOOR
    request.allow_partial = bool(allow_partial)
    request.service = _arguments.text("service", service)
    if labels is not None:
        request.labels.update(_arguments.labels(labels))
    return _call(_RESERVE, request, operation, "reserve")


def capture(
    user_id: str,
    reservation_id: str,
    cost: int | account_pb2.Usage,
    *,
    final: bool,
    labels: Mapping[str, str] | None,
    request_id: str | None,
    occur_time: datetime | None,
) -> Call[Recorded]:
    """Charge what the reserved work did cost, or used."""
    operation = metering_pb2.Operation()
    request = operation.capture
    _fill_reserved(request, user_id, reservation_id, request_id)
    if isinstance(cost, account_pb2.Usage):
        request.usage.CopyFrom(cost)
    else:
        request.cost_microcents = _arguments.integer("cost_microcents", cost)
    if not final:
        request.final = False
    if labels is not None:
        request.labels.update(_arguments.labels(labels))
    if occur_time is not None:
        request.occur_time.CopyFrom(_arguments.timestamp("occur_time", occur_time))
    return _call(_CAPTURE, request, operation, "capture")


def release(user_id: str, reservation_id: str, *, request_id: str | None) -> Call[Recorded]:
    """End a reservation that is not needed any more."""
    operation = metering_pb2.Operation()
    _fill_reserved(operation.release, user_id, reservation_id, request_id)
    return _call(_RELEASE, operation.release, operation, "release")


def extend(
    user_id: str, reservation_id: str, *, ttl_seconds: float | None, add_microcents: int, request_id: str | None
) -> Call[Recorded]:
    """Keep a reservation for longer, or hold more."""
    operation = metering_pb2.Operation()
    request = operation.extend
    _fill_reserved(request, user_id, reservation_id, request_id)
    if ttl_seconds is not None:
        request.ttl.CopyFrom(_arguments.duration("ttl_seconds", ttl_seconds))
    request.add_microcents = _arguments.integer("add_microcents", add_microcents)
    return _call(_EXTEND, request, operation, "extend")


def set_account_policy(
    user_id: str,
    *,
    credit_limit_microcents: int | None,
    unlimited: bool | None,
    frozen: bool | None,
    request_id: str | None,
) -> Call[Recorded]:
    """Change what an account is allowed; None leaves a part as it is."""
    request = admin_pb2.SetAccountPolicyRequest(
        user_id=_arguments.text("user_id", user_id), request_id=_arguments.request_id(request_id)
    )
    if credit_limit_microcents is not None:
        request.credit_limit_microcents = _arguments.integer("credit_limit_microcents", credit_limit_microcents)
    if unlimited is not None:
        request.unlimited = _arguments.boolean("unlimited", unlimited)
    if frozen is not None:
        request.frozen = _arguments.boolean("frozen", frozen)
    return Call(lambda stubs: stubs.admin.SetAccountPolicy, request, _convert.recorded_from, request.request_id)


def reverse_entry(
    user_id: str,
    version: int,
    *,
    amount_microcents: int | None,
    labels: Mapping[str, str] | None,
    request_id: str | None,
) -> Call[Recorded]:
    """Undo an entry, or a part of it; None is all that is left of it."""
    request = admin_pb2.ReverseEntryRequest(
        user_id=_arguments.text("user_id", user_id),
        request_id=_arguments.request_id(request_id),
        version=_arguments.integer("version", version),
    )
    if amount_microcents is not None:
        request.amount_microcents = _arguments.integer("amount_microcents", amount_microcents)
    if labels is not None:
        request.labels.update(_arguments.labels(labels))
    return Call(lambda stubs: stubs.admin.ReverseEntry, request, _convert.recorded_from, request.request_id)


_AboutReservation = reservation_pb2.CaptureRequest | reservation_pb2.ReleaseRequest | reservation_pb2.ExtendRequest


def _fill_reserved(request: _AboutReservation, user_id: str, reservation_id: str, request_id: str | None) -> None:
    request.user_id = _arguments.text("user_id", user_id)
    request.reservation_id = _arguments.text("reservation_id", reservation_id)
    request.request_id = _arguments.request_id(request_id)


def _call(
    rpc: Callable[[Stubs], Callable[..., Any]],
    request: reservation_pb2.ReserveRequest | _AboutReservation,
    operation: metering_pb2.Operation,
    kind: str,
) -> Call[Recorded]:
    return Call(rpc, request, _convert.recorded_from, request.request_id, operation, kind)

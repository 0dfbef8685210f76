"""Money before it is spent: reservations, and the sessions that are made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterd.v1 import account_pb2
from meterd_server.errors import Reason
from meterd_server.model import Capture, Extend, Release, Reserve
from meterd_server.rpc.status import RequestError, Violation, invalid_argument
from meterd_server.rpc.validate.fields import (
    SERVICE_BYTES_MAX,
    TTL_DEFAULT_US,
    amount_problem,
    duration_us,
    labels_problem,
    refuse_over_limit,
    refuse_problems,
    refuse_problems_and_ttl,
    request_id_problem,
    reservation_id_problem,
    sorted_labels,
    text_problem,
    timestamp_problem,
    timestamp_us,
    user_id_problem,
)
from meterd_server.rpc.validate.usage import Sources, with_price

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration

    from meterd.v1 import reservation_pb2


def reserve(request: reservation_pb2.ReserveRequest, sources: Sources) -> Reserve:
    """The command that a Reserve asks for. Raises `RequestError` naming every bad field."""
    request_id, amount = request.request_id, request.amount_microcents
    refuse_problems_and_ttl(
        (
            *_opening_problems(request),
            ("amount_microcents", amount_problem(amount, is_missing=not request.WhichOneof("reserved"))),
        ),
        _ttl(request),
    )
    refuse_over_limit("amount_microcents", amount)
    return Reserve(
        request.user_id,
        request_id or sources.make_request_id(),
        amount,
        duration_us(request.ttl) if request.HasField("ttl") else TTL_DEFAULT_US,
        request.on_expiry == account_pb2.ON_EXPIRY_CAPTURE_FLOOR,
        request.floor_microcents,
        request.allow_partial,
        request.service,
        sorted_labels(request.labels),
        not request_id,
        with_price(request.usage, None, sources.prices) if request.HasField("usage") else None,
    )


def capture(request: reservation_pb2.CaptureRequest, sources: Sources) -> Capture:
    """The command that a Capture asks for. Raises `RequestError` naming every bad field."""
    request_id, cost = request.request_id, request.cost_microcents
    occur_time_us = timestamp_us(request.occur_time) if request.HasField("occur_time") else None
    refuse_problems(
        (
            *_closing_problems(request),
            ("cost_microcents", amount_problem(cost, is_missing=not request.WhichOneof("cost"))),
            ("labels", labels_problem(request.labels)),
            ("occur_time", timestamp_problem(request.occur_time)),
        )
    )
    refuse_over_limit("cost_microcents", cost)
    return Capture(
        request.user_id,
        request_id or sources.make_request_id(),
        request.reservation_id,
        cost,
        request.final or not request.HasField("final"),
        sorted_labels(request.labels),
        occur_time_us,
        not request_id,
        with_price(request.usage, occur_time_us, sources.prices) if request.HasField("usage") else None,
    )


def release(request: reservation_pb2.ReleaseRequest, sources: Sources) -> Release:
    """The command that a Release asks for. Raises `RequestError` naming every bad field."""
    request_id = request.request_id
    refuse_problems(_closing_problems(request))
    return Release(
        request.user_id,
        request_id or sources.make_request_id(),
        request.reservation_id,
        request_id_is_new=not request_id,
    )


def extend(request: reservation_pb2.ExtendRequest, sources: Sources) -> Extend:
    """The command that an Extend asks for. Raises `RequestError` naming every bad field."""
    request_id, added = request.request_id, request.add_microcents
    is_missing = not added and not request.HasField("ttl")
    refuse_problems_and_ttl(
        (
            *_closing_problems(request),
            ("add_microcents", amount_problem(added, is_missing=is_missing, otherwise="ttl")),
        ),
        _ttl(request),
    )
    refuse_over_limit("add_microcents", added)
    return Extend(
        request.user_id,
        request_id or sources.make_request_id(),
        request.reservation_id,
        duration_us(request.ttl) if request.HasField("ttl") else None,
        added,
        request_id_is_new=not request_id,
    )


def meter_open(request: reservation_pb2.MeterOpen, sources: Sources) -> Reserve:
    """The reservation of a session's first slice. Raises `RequestError` naming every bad field."""
    request_id, slice_microcents = request.request_id, request.slice_microcents
    problem = "is not positive" if slice_microcents <= 0 else ""
    refuse_problems_and_ttl(
        (*_opening_problems(request, "open."), ("open.slice_microcents", problem)), _ttl(request), "open.ttl"
    )
    refuse_over_limit("open.slice_microcents", slice_microcents)
    floor = request.floor_microcents
    if floor > slice_microcents:
        problem = f"is above the {slice_microcents} microcents of a slice"
        details = {"amount_microcents": slice_microcents, "floor_microcents": floor}
        violation = Violation("open.floor_microcents", problem)
        raise RequestError(invalid_argument([violation], Reason.FLOOR_OVER_AMOUNT, details))
    return Reserve(
        request.user_id,
        request_id or sources.make_request_id(),
        slice_microcents,
        duration_us(request.ttl) if request.HasField("ttl") else TTL_DEFAULT_US,
        request.on_expiry == account_pb2.ON_EXPIRY_CAPTURE_FLOOR,
        floor,
        allow_partial=True,
        service=request.service,
        labels=sorted_labels(request.labels),
        request_id_is_new=not request_id,
    )


def meter_report(request: reservation_pb2.MeterReport, opened: Reserve, sources: Sources) -> Capture:
    """The capture of what a session used. Raises `RequestError` naming every bad field."""
    request_id, cost = request.request_id, request.cost_microcents
    refuse_problems(
        (
            ("report.request_id", request_id_problem(request_id)),
            ("report.cost_microcents", amount_problem(cost, is_missing=not request.WhichOneof("cost"))),
        )
    )
    refuse_over_limit("report.cost_microcents", cost)
    return Capture(
        opened.user_id,
        request_id or sources.make_request_id(),
        opened.request_id,
        cost,
        final=False,
        labels=opened.labels,
        request_id_is_new=not request_id,
        priced=with_price(request.usage, None, sources.prices) if request.HasField("usage") else None,
    )


def _opening_problems(
    request: reservation_pb2.ReserveRequest | reservation_pb2.MeterOpen, place: str = ""
) -> tuple[tuple[str, str], ...]:
    return (
        (f"{place}user_id", user_id_problem(request.user_id)),
        (f"{place}request_id", request_id_problem(request.request_id)),
        (f"{place}on_expiry", "" if 0 <= request.on_expiry <= 2 else "is not a known OnExpiry"),
        (f"{place}floor_microcents", amount_problem(request.floor_microcents, is_missing=False)),
        (f"{place}service", text_problem(request.service, SERVICE_BYTES_MAX)),
        (f"{place}labels", labels_problem(request.labels)),
    )


def _closing_problems(
    request: reservation_pb2.CaptureRequest | reservation_pb2.ReleaseRequest | reservation_pb2.ExtendRequest,
) -> tuple[tuple[str, str], ...]:
    return (
        ("user_id", user_id_problem(request.user_id)),
        ("request_id", request_id_problem(request.request_id)),
        ("reservation_id", reservation_id_problem(request.reservation_id)),
    )


def _ttl(
    request: reservation_pb2.ReserveRequest | reservation_pb2.ExtendRequest | reservation_pb2.MeterOpen,
) -> Duration | None:
    return request.ttl if request.HasField("ttl") else None

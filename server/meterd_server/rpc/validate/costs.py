"""Checks and costs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from meterd.v1 import metering_pb2
from meterd_server.model import OPERATION_MICROCENTS_MAX, Check, RecordCost
from meterd_server.model.flat import made
from meterd_server.rpc.validate.fields import (
    REQUEST_ID_BYTES_MAX,
    SERVICE_BYTES_MAX,
    USER_ID_BYTES_MAX,
    amount_problem,
    labels_problem,
    refuse,
    refuse_over_limit,
    refuse_problems,
    request_id_problem,
    sorted_labels,
    text_problem,
    timestamp_problem,
    timestamp_us,
    user_id,
    user_id_problem,
)
from meterd_server.rpc.validate.usage import Sources, priced, usage, with_price

if TYPE_CHECKING:
    from collections.abc import Iterable

CHECK_MINIMUM_DEFAULT_MICROCENTS = 100

# A character has four bytes at most: what is this short is short enough whatever it holds.
_short_user_id = re.compile(f"[^\x00-\x1f\x7f-\x9f]{{1,{USER_ID_BYTES_MAX // 4}}}").fullmatch
_short_service = re.compile(f"[^\x00-\x1f\x7f-\x9f]{{0,{SERVICE_BYTES_MAX // 4}}}").fullmatch
_plain_request_id = re.compile(f"[!-~]{{0,{REQUEST_ID_BYTES_MAX}}}").fullmatch

_REJECT = metering_pb2.OVERDRAFT_POLICY_REJECT


def check(request: metering_pb2.CheckRequest, sources: Sources) -> Check:
    """The command that a Check asks for. Raises `RequestError` for anything wrong with the request."""
    user_id(request.user_id)
    if request.HasField("usage"):
        if request.HasField("minimum_microcents"):
            raise refuse("usage", "cannot be given together with minimum_microcents")
        asked, _ = priced(usage(request.usage, "usage"), None, sources.prices, "usage")
        return Check(request.user_id, 0, asked.picocents)
    if not request.HasField("minimum_microcents"):
        return Check(request.user_id, CHECK_MINIMUM_DEFAULT_MICROCENTS)
    minimum = request.minimum_microcents
    if minimum < 0:
        raise refuse("minimum_microcents", "is negative")
    refuse_over_limit("minimum_microcents", minimum)
    return Check(request.user_id, minimum)


def record_cost(request: metering_pb2.RecordCostRequest, sources: Sources) -> RecordCost:
    """The command that a RecordCost asks for. Raises `RequestError` naming every bad field."""
    # Each field is read once: to read one takes as long as to make a tuple of them all.
    of_user, request_id, service, labels = request.user_id, request.request_id, request.service, request.labels
    cost, policy = request.cost_microcents, request.overdraft_policy
    has_usage = not cost and request.HasField("usage")
    has_occur_time = request.HasField("occur_time")
    if (
        has_occur_time
        or labels
        # Most requests are without any doubt right, told in a third of the time that telling all takes.
        or not (0 < cost <= OPERATION_MICROCENTS_MAX or has_usage)
        or _short_user_id(of_user) is None
        or _short_service(service) is None
        or _plain_request_id(request_id) is None
        or not 0 <= policy <= 2
    ):
        refuse_problems(_cost_problems(request))
        refuse_over_limit("cost_microcents", cost)
    occur_time_us = timestamp_us(request.occur_time) if has_occur_time else None
    charged = with_price(request.usage, occur_time_us, sources.prices) if has_usage else None
    command: RecordCost = made(
        RecordCost,
        (
            of_user,
            request_id or sources.make_request_id(),
            cost,
            service or (charged.usage.service if charged else ""),
            sorted_labels(labels) if labels else (),
            policy == _REJECT,
            occur_time_us,
            not request_id,
            charged,
        ),
    )
    return command


def _cost_problems(request: metering_pb2.RecordCostRequest) -> Iterable[tuple[str, str]]:
    return (
        ("user_id", user_id_problem(request.user_id)),
        ("request_id", request_id_problem(request.request_id)),
        ("cost_microcents", amount_problem(request.cost_microcents, is_missing=not request.WhichOneof("cost"))),
        ("service", text_problem(request.service, SERVICE_BYTES_MAX)),
        ("labels", labels_problem(request.labels) if request.labels else ""),
        ("overdraft_policy", "" if 0 <= request.overdraft_policy <= 2 else "is not a known OverdraftPolicy"),
        ("occur_time", timestamp_problem(request.occur_time)),
    )

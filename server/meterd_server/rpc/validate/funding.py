"""Money that comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterd_server.model import ACCOUNT_MICROCENTS_MAX, GrantTerms, RecordFunding
from meterd_server.rpc.validate.fields import (
    labels_problem,
    refuse_over_limit,
    refuse_problems,
    request_id_problem,
    sorted_labels,
    text_problem,
    timestamp_problem,
    timestamp_us,
    user_id_problem,
)

if TYPE_CHECKING:
    from meterd.v1 import metering_pb2
    from meterd_server.rpc.validate.usage import Sources

GRANT_LABEL_BYTES_MAX = 64
PRIORITY_MAX = 1000


def record_funding(request: metering_pb2.RecordFundingRequest, sources: Sources) -> RecordFunding:
    """The command that a RecordFunding asks for. Raises `RequestError` naming every bad field."""
    request_id = request.request_id
    funding = request.WhichOneof("funding")
    old, new = request.update.old_amount_microcents, request.update.new_amount_microcents
    amount = new - old if funding == "update" else request.amount_microcents
    problems = (
        ("user_id", user_id_problem(request.user_id)),
        ("request_id", request_id_problem(request_id)),
        ("funding", "" if funding else "give one of amount_microcents and update"),
        ("amount_microcents", "is not positive" if funding == "amount_microcents" and amount <= 0 else ""),
        ("update.old_amount_microcents", "is negative" if old < 0 else ""),
        ("update.new_amount_microcents", "is negative" if new < 0 else ""),
        ("labels", labels_problem(request.labels) if request.labels else ""),
        ("expire_time", _expire_time_problem(request)),
        ("priority", _priority_problem(request)),
        ("label", text_problem(request.label, GRANT_LABEL_BYTES_MAX)),
    )
    refuse_problems(problems)
    refuse_over_limit("amount_microcents" if funding == "amount_microcents" else "update", abs(amount))
    refuse_over_limit("update", max(old, new), ACCOUNT_MICROCENTS_MAX)
    return RecordFunding(
        request.user_id,
        request_id or sources.make_request_id(),
        amount,
        old if funding == "update" else None,
        sorted_labels(request.labels),
        not request_id,
        _grant_terms(request),
    )


def _expire_time_problem(request: metering_pb2.RecordFundingRequest) -> str:
    if not request.HasField("expire_time"):
        return ""
    if problem := timestamp_problem(request.expire_time):
        return problem
    return "cannot be given together with update" if request.HasField("update") else ""


def _priority_problem(request: metering_pb2.RecordFundingRequest) -> str:
    if not -PRIORITY_MAX <= request.priority <= PRIORITY_MAX:
        return f"is not -{PRIORITY_MAX} to {PRIORITY_MAX}"
    return "needs an expire_time" if request.priority and not request.HasField("expire_time") else ""


def _grant_terms(request: metering_pb2.RecordFundingRequest) -> GrantTerms | None:
    expire_time_us = timestamp_us(request.expire_time) if request.HasField("expire_time") else None
    terms = GrantTerms(expire_time_us, request.priority, request.label)
    return None if terms == GrantTerms() else terms

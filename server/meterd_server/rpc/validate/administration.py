"""What whoever runs the platform asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterd_server.model import SET_ASIDE_MICROCENTS_MAX, Reverse, SetPolicy
from meterd_server.rpc.validate.fields import (
    labels_problem,
    refuse_over_limit,
    refuse_problems,
    request_id_problem,
    sorted_labels,
    user_id_problem,
)

if TYPE_CHECKING:
    from meterd.v1 import admin_pb2
    from meterd_server.rpc.validate.usage import Sources


def set_policy(request: admin_pb2.SetAccountPolicyRequest, sources: Sources) -> SetPolicy:
    """The command that a SetAccountPolicy asks for. Raises `RequestError` naming every bad field."""
    request_id = request.request_id
    credit_limit = request.credit_limit_microcents if request.HasField("credit_limit_microcents") else None
    unlimited = request.unlimited if request.HasField("unlimited") else None
    frozen = request.frozen if request.HasField("frozen") else None
    problem = "is negative" if credit_limit is not None and credit_limit < 0 else ""
    if credit_limit is unlimited is frozen is None:
        problem = "is missing, and so are unlimited and frozen"
    refuse_problems(
        (
            ("user_id", user_id_problem(request.user_id)),
            ("request_id", request_id_problem(request_id)),
            ("credit_limit_microcents", problem),
        )
    )
    refuse_over_limit("credit_limit_microcents", credit_limit or 0, SET_ASIDE_MICROCENTS_MAX)
    return SetPolicy(
        request.user_id, request_id or sources.make_request_id(), credit_limit, unlimited, frozen, not request_id
    )


def reverse(request: admin_pb2.ReverseEntryRequest, sources: Sources) -> Reverse:
    """The command that a ReverseEntry asks for. Raises `RequestError` naming every bad field."""
    request_id = request.request_id
    amount = request.amount_microcents if request.HasField("amount_microcents") else None
    refuse_problems(
        (
            ("user_id", user_id_problem(request.user_id)),
            ("request_id", request_id_problem(request_id)),
            ("version", "is not positive" if request.version <= 0 else ""),
            ("amount_microcents", "is not positive" if amount is not None and amount <= 0 else ""),
            ("labels", labels_problem(request.labels)),
        )
    )
    refuse_over_limit("amount_microcents", amount or 0)
    return Reverse(
        request.user_id,
        request_id or sources.make_request_id(),
        request.version,
        amount,
        sorted_labels(request.labels),
        not request_id,
    )

"""Operations in short, and what a test wants to know of their results."""

import itertools

from google.rpc import error_details_pb2

from meterd.v1 import metering_pb2, reservation_pb2

_ids = itertools.count(1)


def cost(user_id="ada", cost_microcents=10, **fields):
    """Return the operation of a cost, under an id of its own unless one is given."""
    fields = {"request_id": f"operation-{next(_ids)}"} | fields
    return metering_pb2.Operation(
        record_cost=metering_pb2.RecordCostRequest(user_id=user_id, cost_microcents=cost_microcents, **fields)
    )


def strict_cost(user_id="ada", cost_microcents=10):
    """Return the operation of a cost that is refused when it is more than what is available."""
    return cost(user_id, cost_microcents, overdraft_policy=metering_pb2.OVERDRAFT_POLICY_REJECT)


def fund(user_id="ada", amount_microcents=1_000, **fields):
    """Return the operation of funding, under an id of its own unless one is given."""
    fields = {"request_id": f"operation-{next(_ids)}", "amount_microcents": amount_microcents} | fields
    return metering_pb2.Operation(record_funding=metering_pb2.RecordFundingRequest(user_id=user_id, **fields))


def check(user_id="ada", minimum_microcents=None):
    """Return the operation of a Check."""
    return metering_pb2.Operation(
        check=metering_pb2.CheckRequest(user_id=user_id, minimum_microcents=minimum_microcents)
    )


def reserve(user_id="ada", amount_microcents=100, **fields):
    """Return the operation of a reservation, under an id of its own unless one is given."""
    fields = {"request_id": f"operation-{next(_ids)}", "amount_microcents": amount_microcents} | fields
    return metering_pb2.Operation(reserve=reservation_pb2.ReserveRequest(user_id=user_id, **fields))


def capture(reservation_id, cost_microcents=10, *, user_id="ada", **fields):
    """Return the operation of a capture, under an id of its own unless one is given."""
    fields = {"request_id": f"operation-{next(_ids)}", "cost_microcents": cost_microcents} | fields
    return metering_pb2.Operation(
        capture=reservation_pb2.CaptureRequest(user_id=user_id, reservation_id=reservation_id, **fields)
    )


def release(reservation_id, *, user_id="ada"):
    """Return the operation of a release, under an id of its own."""
    return metering_pb2.Operation(
        release=reservation_pb2.ReleaseRequest(
            user_id=user_id, reservation_id=reservation_id, request_id=f"operation-{next(_ids)}"
        )
    )


def extend(reservation_id, *, user_id="ada", **fields):
    """Return the operation of an extension, under an id of its own."""
    fields = {"request_id": f"operation-{next(_ids)}"} | fields
    return metering_pb2.Operation(
        extend=reservation_pb2.ExtendRequest(user_id=user_id, reservation_id=reservation_id, **fields)
    )


def brief(result):
    """Return what came of an operation: a balance, whether a Check allows, or the reason of a status."""
    match result.WhichOneof("result"):
        case "check":
            return result.check.allowed
        case "status":
            return reason_of(result.status)
        case kind:
            return getattr(result, kind).balance.balance_microcents


def reason_of(status):
    """Return the reason that a google.rpc.Status carries."""
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info.reason

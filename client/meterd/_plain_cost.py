"""A RecordCost of the common form, written as bytes without a message: in a third of the time."""

from functools import lru_cache

from meterd._varints import varint
from meterd.v1 import metering_pb2

_VARINT, _LENGTH_DELIMITED = 0, 2
_REMEMBERED = 4_096


def _tag(message: type, name: str, wire_type: int) -> str:
    number: int = message.DESCRIPTOR.fields_by_name[name].number  # type: ignore[attr-defined]
    return varint(number << 3 | wire_type)


_OPERATION = _tag(metering_pb2.Operation, "record_cost", _LENGTH_DELIMITED)
_USER_ID = _tag(metering_pb2.RecordCostRequest, "user_id", _LENGTH_DELIMITED)
_REQUEST_ID = _tag(metering_pb2.RecordCostRequest, "request_id", _LENGTH_DELIMITED)
_COST = _tag(metering_pb2.RecordCostRequest, "cost_microcents", _VARINT)
_SERVICE = _tag(metering_pb2.RecordCostRequest, "service", _LENGTH_DELIMITED)


@lru_cache(_REMEMBERED)
def _service(service: str) -> str:
    return f"{_SERVICE}{varint(len(service))}{service}" if service else ""


def plain_cost(user_id: str, request_id: str, cost_microcents: int, service: str) -> bytes | None:
    """Return the Operation with nothing but these; None if it takes a message: for texts beyond ASCII, and what is no cost."""
    if cost_microcents < 0 or not (user_id and user_id.isascii() and request_id.isascii() and service.isascii()):
        return None
    request = (
        f"{_USER_ID}{varint(len(user_id))}{user_id}{_REQUEST_ID}{varint(len(request_id))}{request_id}"
        f"{_COST}{varint(cost_microcents)}{_service(service)}"
    )
    return f"{_OPERATION}{varint(len(request))}{request}".encode("latin-1")

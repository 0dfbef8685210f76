"""Arguments that Python would round or misread on the way: refused here by name. Every other rule is the daemon's."""

import operator
from collections.abc import Mapping
from datetime import datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from meterd._convert import timestamp_from
from meterd._request_id import new_request_id

_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1
_DURATION_SECONDS_MAX = 315_576_000_000  # what google.protobuf.Duration holds


def text(name: str, value: str) -> str:
    """Return `value`; raise TypeError when it is not a str."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    return value


def integer(name: str, value: int, *, bits: int = 64) -> int:
    """Return `value` as an int; raise TypeError for a float, Decimal or bool, ValueError beyond `bits` bits."""
    if type(value) is int and _INT64_MIN <= value <= _INT64_MAX and bits == 64:
        return value
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    number = operator.index(value)
    if not -(1 << bits - 1) <= number < 1 << bits - 1:
        raise ValueError(f"{name} does not fit {bits} bits: {number}")
    return number


def boolean(name: str, value: bool) -> bool:
    """Return `value`; raise TypeError when it is not a bool: what is meant by "no" or 0 is not guessed."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be a bool, not {type(value).__name__}")
    return value


def timestamp(name: str, value: datetime) -> Timestamp:
    """Return `value` as a Timestamp; raise TypeError when it is not a datetime, ValueError when it has no time zone."""
    if not isinstance(value, datetime):
        raise TypeError(f"{name} must be a datetime, not {type(value).__name__}")
    if value.utcoffset() is None:
        raise ValueError(f"{name} needs a time zone, such as datetime.now(UTC)")
    return timestamp_from(value)


def duration(name: str, seconds: float) -> Duration:
    """Return `seconds` as a Duration, to the microsecond; raise TypeError when they are no number, ValueError when not finite."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {type(seconds).__name__}")
    if not abs(seconds) <= _DURATION_SECONDS_MAX:
        raise ValueError(f"{name} must be a number of seconds up to 10,000 years, not {seconds}")
    message = Duration()
    message.FromMicroseconds(round(seconds * 1_000_000))
    return message


def labels(value: Mapping[str, str]) -> dict[str, str]:
    """Return a copy of `value`; raise TypeError when a key or value is not a str."""
    if not isinstance(value, Mapping):
        raise TypeError(f"labels must be a mapping, not {type(value).__name__}")
    return {text("labels key", key): text(f"labels[{key!r}]", each) for key, each in value.items()}


def request_id(value: str | None) -> str:
    """Return `value`, or a new id for None; raise ValueError when it is empty."""
    if value is None:
        return new_request_id()
    if not text("request_id", value):
        # The daemon would make an id for each attempt, and a retry would be charged twice.
        raise ValueError("request_id must not be empty; pass None to have one made")
    return value

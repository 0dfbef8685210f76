"""Rules about a single field that many messages have: what is wrong with it, in words, or "".

Sizes are counted in bytes of UTF-8. A control character is any of Unicode's category Cc.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from meterd_server.errors import Reason
from meterd_server.model import OPERATION_MICROCENTS_MAX
from meterd_server.rpc.status import RequestError, Violation, invalid_argument, make_status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.timestamp_pb2 import Timestamp

    from meterd_server.model import Labels

USER_ID_BYTES_MAX = 128
REQUEST_ID_BYTES_MAX = 64
SERVICE_BYTES_MAX = 64
LABELS_MAX = 16
LABEL_KEY_BYTES_MAX = 64
LABEL_VALUE_BYTES_MAX = 256
TTL_SECONDS_MIN = 1
TTL_SECONDS_MAX = 24 * 60 * 60
TTL_DEFAULT_US = 300 * 1_000_000

_TIMESTAMP_SECONDS_MIN = -62_135_596_800  # 0001-01-01T00:00:00Z
_TIMESTAMP_SECONDS_MAX = 253_402_300_799  # 9999-12-31T23:59:59Z

_control_character = re.compile("[\x00-\x1f\x7f-\x9f]").search
_printable_ascii = re.compile("[!-~]*").fullmatch


def refuse(field: str, problem: str) -> RequestError:
    """The refusal of a request for one field."""
    return RequestError(invalid_argument([Violation(field, problem)]))


def refuse_problems(problems: Iterable[tuple[str, str]]) -> None:
    """Raise `RequestError` naming every field with a problem, if there is one."""
    violations = [Violation(field, problem) for field, problem in problems if problem]
    if violations:
        raise RequestError(invalid_argument(violations))


def refuse_over_limit(field: str, amount: int, limit: int = OPERATION_MICROCENTS_MAX) -> None:
    """Raise `RequestError`, AMOUNT_OUT_OF_RANGE, for more than `limit`."""
    if amount > limit:
        raise RequestError(
            make_status(
                Reason.AMOUNT_OUT_OF_RANGE, f"{field}: is above {limit} microcents", {"field": field, "limit": limit}
            )
        )


def refuse_problems_and_ttl(problems: Sequence[tuple[str, str]], ttl: Duration | None, field: str = "ttl") -> None:
    """`refuse_problems`, and a ttl that is out of range among them: TTL_OUT_OF_RANGE if it is the only one."""
    problem = _ttl_problem(ttl) if ttl else ""
    if any(each for _, each in problems):
        refuse_problems([*problems, (field, problem)])
    if problem:
        limits = {"field": field, "minimum_seconds": TTL_SECONDS_MIN, "maximum_seconds": TTL_SECONDS_MAX}
        raise RequestError(invalid_argument([Violation(field, problem)], Reason.TTL_OUT_OF_RANGE, limits))


def _ttl_problem(ttl: Duration) -> str:
    nanoseconds = ttl.seconds * 10**9 + ttl.nanos
    if TTL_SECONDS_MIN * 10**9 <= nanoseconds <= TTL_SECONDS_MAX * 10**9 and 0 <= ttl.nanos < 10**9:
        return ""
    return f"is not {TTL_SECONDS_MIN} s to {TTL_SECONDS_MAX} s"


def text_problem(value: str, bytes_max: int) -> str:
    """What is wrong with text that may be empty."""
    # A character is at least a byte, so only text near the limit has to be encoded to be measured.
    if len(value) * 4 > bytes_max and len(value.encode()) > bytes_max:
        return f"is longer than {bytes_max} bytes"
    return "has a control character" if _control_character(value) else ""


def user_id_problem(value: str) -> str:
    """What is wrong with a user id."""
    return text_problem(value, USER_ID_BYTES_MAX) if value else "is empty"


def request_id_problem(value: str) -> str:
    """What is wrong with a request id that may be empty."""
    if len(value) > REQUEST_ID_BYTES_MAX:
        return f"is longer than {REQUEST_ID_BYTES_MAX} characters"
    return "" if _printable_ascii(value) else "has a character that is not printable ASCII"


def reservation_id_problem(value: str) -> str:
    """What is wrong with the request id of a reservation."""
    return request_id_problem(value) if value else "is empty"


def labels_problem(labels: Mapping[str, str]) -> str:
    """What is wrong with a caller's labels."""
    if len(labels) > LABELS_MAX:
        return f"has more than {LABELS_MAX} labels"
    for key, value in labels.items():
        problem = text_problem(key, LABEL_KEY_BYTES_MAX) if key else "is empty"
        if problem:
            return f"a key {problem}"
        if problem := text_problem(value, LABEL_VALUE_BYTES_MAX):
            return f"the value of {key!r} {problem}"
    return ""


def amount_problem(amount: int, *, is_missing: bool, otherwise: str = "usage") -> str:
    """What is wrong with an amount that may be 0, or with what may be given in its place."""
    if amount < 0:
        return "is negative"
    return f"is missing, and so is {otherwise}" if is_missing else ""


def user_id(value: str) -> str:
    """The user id, if it is one. Raises `RequestError`."""
    if problem := user_id_problem(value):
        raise refuse("user_id", problem)
    return value


def sorted_labels(labels: Mapping[str, str]) -> Labels:
    """Labels as commands have them."""
    return tuple(sorted(labels.items())) if labels else ()


def timestamp_problem(timestamp: Timestamp) -> str:
    """What is wrong with a time; nothing is with one that is not given, which reads as the epoch."""
    return "is not a valid Timestamp" if timestamp_us(timestamp) is None else ""


def timestamp_us(timestamp: Timestamp) -> int | None:
    """Microseconds since the epoch; None for what is no Timestamp."""
    if not _TIMESTAMP_SECONDS_MIN <= timestamp.seconds <= _TIMESTAMP_SECONDS_MAX or not 0 <= timestamp.nanos < 10**9:
        return None
    return timestamp.seconds * 1_000_000 + timestamp.nanos // 1000


def duration_us(duration: Duration) -> int:
    """Microseconds of a duration; below that it is cut off."""
    return duration.seconds * 1_000_000 + duration.nanos // 1000

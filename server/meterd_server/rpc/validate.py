"""Request messages to ledger commands: every rule about a single field, each violation naming its field.

Sizes are counted in bytes of UTF-8. A control character is any of Unicode's category Cc.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from meterd.v1 import metering_pb2
from meterd_server.errors import Reason
from meterd_server.model import (
    ACCOUNT_MICROCENTS_MAX,
    OPERATION_MICROCENTS_MAX,
    Check,
    PricedUsage,
    RecordCost,
    RecordFunding,
    Usage,
)
from meterd_server.prices import Prices
from meterd_server.pricing import MODEL_BYTES_MAX, OPERATION_PICOCENTS_MAX, Rated, Unrated
from meterd_server.pricing.cards import METERS_MAX
from meterd_server.rpc.status import RequestError, Violation, invalid_argument, make_status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from google.protobuf.timestamp_pb2 import Timestamp

    from meterd.v1 import account_pb2
    from meterd_server.model import Labels
    from meterd_server.pricing import RateCard

CHECK_MINIMUM_DEFAULT_MICROCENTS = 100
USER_ID_BYTES_MAX = 128
REQUEST_ID_BYTES_MAX = 64
SERVICE_BYTES_MAX = 64
LABELS_MAX = 16
LABEL_KEY_BYTES_MAX = 64
LABEL_VALUE_BYTES_MAX = 256

_TIMESTAMP_SECONDS_MIN = -62_135_596_800  # 0001-01-01T00:00:00Z
_TIMESTAMP_SECONDS_MAX = 253_402_300_799  # 9999-12-31T23:59:59Z

_Problems = tuple[tuple[str, str], ...]

_control_character = re.compile("[\x00-\x1f\x7f-\x9f]").search
_printable_ascii = re.compile("[!-~]*").fullmatch
# A character has four bytes at most: what is this short is short enough whatever it holds.
_short_user_id = re.compile(f"[^\x00-\x1f\x7f-\x9f]{{1,{USER_ID_BYTES_MAX // 4}}}").fullmatch
_short_service = re.compile(f"[^\x00-\x1f\x7f-\x9f]{{0,{SERVICE_BYTES_MAX // 4}}}").fullmatch
_short_model = re.compile(f"[^\x00-\x1f\x7f-\x9f]{{0,{MODEL_BYTES_MAX // 4}}}").fullmatch
_meter = re.compile("[a-z][a-z0-9_]{0,63}").fullmatch
_plain_request_id = re.compile(f"[!-~]{{0,{REQUEST_ID_BYTES_MAX}}}").fullmatch


def user_id(value: str) -> str:
    """The user id, if it is one. Raises `RequestError`."""
    if problem := _user_id_problem(value):
        raise _refuse([Violation("user_id", problem)])
    return value


class Sources(NamedTuple):
    """What turning a request into a command needs besides the request."""

    make_request_id: Callable[[], str]
    prices: Prices


def usage(message: account_pb2.Usage, field: str) -> Usage:
    """The usage, if it is one. Raises `RequestError` naming what is wrong, below `field`."""
    quantities = dict(message.quantities)
    service_problem = _text_problem(message.service, SERVICE_BYTES_MAX) if message.service else "is empty"
    problems = [
        (f"{field}.service", service_problem),
        (f"{field}.model", _text_problem(message.model, MODEL_BYTES_MAX)),
        (f"{field}.quantities", "" if 0 < len(quantities) <= METERS_MAX else f"does not have 1 to {METERS_MAX} meters"),
    ]
    for meter, units in quantities.items():
        if not _meter(meter):
            problems.append((f"{field}.quantities", f"{meter[:64]!r} is not the name of a meter"))
        elif units < 0:
            problems.append((f"{field}.quantities[{meter}]", "is negative"))
    _refuse_problems(problems)
    return Usage(message.service, message.model, tuple(sorted(quantities.items())))


def priced(used: Usage, at_us: int | None, prices: Prices, field: str) -> tuple[PricedUsage, RateCard]:
    """The usage with its price at that time, or now. Raises `RequestError`: UNKNOWN_RATE or AMOUNT_OUT_OF_RANGE."""
    at_us = prices.clock_us() if at_us is None else at_us
    rating = prices.book.rate(used.service, used.model, dict(used.quantities), at_us)
    if isinstance(rating, Rated):
        return PricedUsage(used, rating.picocents, rating.card.key), rating.card
    if isinstance(rating, Unrated):
        raise unknown_rate(rating)
    limit = {"field": field, "limit": OPERATION_MICROCENTS_MAX}
    raise RequestError(make_status(Reason.AMOUNT_OUT_OF_RANGE, f"{field}: {rating}", limit))


def unknown_rate(unrated: Unrated) -> RequestError:
    """The refusal of a usage that no card has a price for."""
    return RequestError(make_status(Reason.UNKNOWN_RATE, str(unrated), unrated._asdict()))


def check(request: metering_pb2.CheckRequest, sources: Sources) -> Check:
    """The command that a Check asks for. Raises `RequestError` for anything wrong with the request."""
    user_id(request.user_id)
    if request.HasField("usage"):
        if request.HasField("minimum_microcents"):
            raise _refuse([Violation("usage", "cannot be given together with minimum_microcents")])
        asked, _ = priced(usage(request.usage, "usage"), None, sources.prices, "usage")
        return Check(request.user_id, 0, asked.picocents)
    if not request.HasField("minimum_microcents"):
        return Check(request.user_id, CHECK_MINIMUM_DEFAULT_MICROCENTS)
    minimum = request.minimum_microcents
    if minimum < 0:
        raise _refuse([Violation("minimum_microcents", "is negative")])
    _refuse_over_limit("minimum_microcents", minimum)
    return Check(request.user_id, minimum)


def record_cost(request: metering_pb2.RecordCostRequest, sources: Sources) -> RecordCost:
    """The command that a RecordCost asks for. Raises `RequestError` naming every bad field."""
    request_id, cost = request.request_id, request.cost_microcents
    has_usage = not cost and request.HasField("usage")
    has_occur_time = request.HasField("occur_time")
    if has_occur_time or request.labels or not _is_plain(request, request_id, cost, has_usage=has_usage):
        _refuse_problems(_cost_problems(request))
        _refuse_over_limit("cost_microcents", cost)
    occur_time_us = timestamp_us(request.occur_time) if has_occur_time else None
    with_price = _price(request.usage, occur_time_us, sources.prices) if has_usage else None
    return RecordCost(
        request.user_id,
        request_id or sources.make_request_id(),
        cost,
        request.service or (with_price.usage.service if with_price else ""),
        _labels(request.labels),
        request.overdraft_policy == metering_pb2.OVERDRAFT_POLICY_REJECT,
        occur_time_us,
        not request_id,
        with_price,
    )


def _price(message: account_pb2.Usage, occur_time_us: int | None, prices: Prices) -> PricedUsage:
    """The usage with its price. Raises what `usage` and `priced` raise.

    Most usage is without any doubt right, told in a third of the time that telling all takes: a meter or service that a card has
    a price for is well formed, for the card is.
    """
    service, model = message.service, message.model
    at_us = prices.clock_us() if occur_time_us is None else occur_time_us
    card = prices.book.card(service, model, at_us)
    units = message.quantities
    quantities = tuple([(meter, units[meter]) for meter in sorted(units)])  # items() is slow: a generator in Python
    if card and quantities and _short_model(model):
        picocents = card.price_of(quantities)
        if picocents is not None and picocents <= OPERATION_PICOCENTS_MAX:
            return PricedUsage(Usage(service, model, quantities), picocents, card.key)
    return priced(usage(message, "usage"), at_us, prices, "usage")[0]


def _is_plain(request: metering_pb2.RecordCostRequest, request_id: str, cost: int, *, has_usage: bool) -> bool:
    """Whether the fields of most requests are without any doubt right, told in a third of the time that telling all takes."""
    return (
        (0 < cost <= OPERATION_MICROCENTS_MAX or has_usage)
        and _short_user_id(request.user_id) is not None
        and _short_service(request.service) is not None
        and _plain_request_id(request_id) is not None
        and 0 <= request.overdraft_policy <= 2
    )


def _cost_problems(request: metering_pb2.RecordCostRequest) -> _Problems:
    occur_time_is_bad = request.HasField("occur_time") and timestamp_us(request.occur_time) is None
    return (
        ("user_id", _user_id_problem(request.user_id)),
        ("request_id", _request_id_problem(request.request_id)),
        ("cost_microcents", _cost_problem(request)),
        ("service", _text_problem(request.service, SERVICE_BYTES_MAX)),
        ("labels", _labels_problem(request.labels) if request.labels else ""),
        ("overdraft_policy", "" if 0 <= request.overdraft_policy <= 2 else "is not a known OverdraftPolicy"),
        ("occur_time", "is not a valid Timestamp" if occur_time_is_bad else ""),
    )


def record_funding(request: metering_pb2.RecordFundingRequest, sources: Sources) -> RecordFunding:
    """The command that a RecordFunding asks for. Raises `RequestError` naming every bad field."""
    request_id = request.request_id
    funding = request.WhichOneof("funding")
    old, new = request.update.old_amount_microcents, request.update.new_amount_microcents
    amount = new - old if funding == "update" else request.amount_microcents
    problems = (
        ("user_id", _user_id_problem(request.user_id)),
        ("request_id", _request_id_problem(request_id)),
        ("funding", "" if funding else "give one of amount_microcents and update"),
        ("amount_microcents", "is not positive" if funding == "amount_microcents" and amount <= 0 else ""),
        ("update.old_amount_microcents", "is negative" if old < 0 else ""),
        ("update.new_amount_microcents", "is negative" if new < 0 else ""),
        ("labels", _labels_problem(request.labels) if request.labels else ""),
    )
    _refuse_problems(problems)
    _refuse_over_limit("amount_microcents" if funding == "amount_microcents" else "update", abs(amount))
    _refuse_over_limit("update", max(old, new), ACCOUNT_MICROCENTS_MAX)
    return RecordFunding(
        request.user_id,
        request_id or sources.make_request_id(),
        amount,
        old if funding == "update" else None,
        _labels(request.labels),
        not request_id,
    )


def _refuse(violations: list[Violation]) -> RequestError:
    return RequestError(invalid_argument(violations))


def _refuse_problems(problems: Iterable[tuple[str, str]]) -> None:
    violations = [Violation(field, problem) for field, problem in problems if problem]
    if violations:
        raise _refuse(violations)


def _refuse_over_limit(field: str, amount: int, limit: int = OPERATION_MICROCENTS_MAX) -> None:
    if amount > limit:
        raise RequestError(
            make_status(
                Reason.AMOUNT_OUT_OF_RANGE, f"{field}: is above {limit} microcents", {"field": field, "limit": limit}
            )
        )


def _text_problem(value: str, bytes_max: int) -> str:
    # A character is at least a byte, so only text near the limit has to be encoded to be measured.
    if len(value) * 4 > bytes_max and len(value.encode()) > bytes_max:
        return f"is longer than {bytes_max} bytes"
    return "has a control character" if _control_character(value) else ""


def _user_id_problem(value: str) -> str:
    return _text_problem(value, USER_ID_BYTES_MAX) if value else "is empty"


def _request_id_problem(value: str) -> str:
    if len(value) > REQUEST_ID_BYTES_MAX:
        return f"is longer than {REQUEST_ID_BYTES_MAX} characters"
    return "" if _printable_ascii(value) else "has a character that is not printable ASCII"


def _cost_problem(request: metering_pb2.RecordCostRequest) -> str:
    if request.cost_microcents < 0:
        return "is negative"
    return "" if request.WhichOneof("cost") else "is missing, and so is usage"


def _labels_problem(labels: Mapping[str, str]) -> str:
    if len(labels) > LABELS_MAX:
        return f"has more than {LABELS_MAX} labels"
    for key, value in labels.items():
        problem = _text_problem(key, LABEL_KEY_BYTES_MAX) if key else "is empty"
        if problem:
            return f"a key {problem}"
        if problem := _text_problem(value, LABEL_VALUE_BYTES_MAX):
            return f"the value of {key!r} {problem}"
    return ""


def _labels(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items())) if labels else ()


def timestamp_us(timestamp: Timestamp) -> int | None:
    """Microseconds since the epoch; None for what is no Timestamp."""
    if not _TIMESTAMP_SECONDS_MIN <= timestamp.seconds <= _TIMESTAMP_SECONDS_MAX or not 0 <= timestamp.nanos < 10**9:
        return None
    return timestamp.seconds * 1_000_000 + timestamp.nanos // 1000

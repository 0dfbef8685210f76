"""What was used, and what that costs by the rate cards."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from meterd_server.errors import Reason
from meterd_server.model import OPERATION_MICROCENTS_MAX, PricedUsage, Usage
from meterd_server.prices import Prices
from meterd_server.pricing import MODEL_BYTES_MAX, OPERATION_PICOCENTS_MAX, Rated, Unrated
from meterd_server.pricing.cards import METERS_MAX
from meterd_server.rpc.status import RequestError, make_status
from meterd_server.rpc.validate.fields import SERVICE_BYTES_MAX, refuse_problems, text_problem

if TYPE_CHECKING:
    from meterd.v1 import account_pb2
    from meterd_server.pricing import RateCard

# A character has four bytes at most: what is this short is short enough whatever it holds.
_short_model = re.compile(f"[^\x00-\x1f\x7f-\x9f]{{0,{MODEL_BYTES_MAX // 4}}}").fullmatch
_meter = re.compile("[a-z][a-z0-9_]{0,63}").fullmatch


class Sources(NamedTuple):
    """What turning a request into a command needs besides the request."""

    make_request_id: Callable[[], str]
    prices: Prices


def usage(message: account_pb2.Usage, field: str) -> Usage:
    """The usage, if it is one. Raises `RequestError` naming what is wrong, below `field`."""
    quantities = dict(message.quantities)
    service_problem = text_problem(message.service, SERVICE_BYTES_MAX) if message.service else "is empty"
    problems = [
        (f"{field}.service", service_problem),
        (f"{field}.model", text_problem(message.model, MODEL_BYTES_MAX)),
        (f"{field}.quantities", "" if 0 < len(quantities) <= METERS_MAX else f"does not have 1 to {METERS_MAX} meters"),
    ]
    for meter, units in quantities.items():
        if not _meter(meter):
            problems.append((f"{field}.quantities", f"{meter[:64]!r} is not the name of a meter"))
        elif units < 0:
            problems.append((f"{field}.quantities[{meter}]", "is negative"))
    refuse_problems(problems)
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


def with_price(message: account_pb2.Usage, occur_time_us: int | None, prices: Prices) -> PricedUsage:
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

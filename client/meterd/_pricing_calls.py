"""The API of usage and rate cards without I/O: each method's request, where to send it, and how to read the answer."""

from collections.abc import Iterable, Mapping, MutableMapping
from datetime import datetime

from meterd import _arguments, _convert
from meterd._calls import CHECK, Call, recording
from meterd.pricing_types import Quote, RateCard, RateCardPage, RateCardsPut, RateTier
from meterd.types import CheckResult, Recorded
from meterd.v1 import account_pb2, metering_pb2, pricing_pb2


def record_usage(
    user_id: str,
    usage: account_pb2.Usage,
    *,
    labels: Mapping[str, str] | None,
    request_id: str | None,
    reject_overdraft: bool,
    occur_time: datetime | None,
) -> Call[Recorded]:
    """Record what was used, under a new request_id when none is given."""
    operation = metering_pb2.Operation()
    request = operation.record_cost
    request.user_id = _arguments.text("user_id", user_id)
    request.request_id = key = _arguments.request_id(request_id)
    request.usage.CopyFrom(usage)
    return recording(operation, key, labels=labels, reject_overdraft=reject_overdraft, occur_time=occur_time)


def check_usage(user_id: str, usage: account_pb2.Usage) -> Call[CheckResult]:
    """Ask whether the user may afford a usage."""
    operation = metering_pb2.Operation()
    request = operation.check
    request.user_id = _arguments.text("user_id", user_id)
    request.usage.CopyFrom(usage)
    return Call(CHECK, request, _convert.check_result_from, None, operation, "check")


def quote(user_id: str, usage: account_pb2.Usage, affordable: str) -> Call[Quote]:
    """Ask what a usage would cost, and how many units of a meter would do on top of it."""
    request = pricing_pb2.QuoteRequest(
        user_id=_arguments.text("user_id", user_id), usage=usage, meter=_arguments.text("affordable", affordable)
    )
    return Call(lambda stubs: stubs.pricing.Quote, request, _quote_from)


def put_rate_cards(cards: Iterable[RateCard], *, validate_only: bool) -> Call[RateCardsPut]:
    """Add cards, or only ask whether they would be taken."""
    request = pricing_pb2.PutRateCardRequest(validate_only=bool(validate_only))
    for place, card in enumerate(cards):
        _fill_card(request.rate_cards.add(), card, f"cards[{place}]")
    return Call(lambda stubs: stubs.pricing.PutRateCard, request, _put_from)


def list_rate_cards(service: str, *, page_size: int, page_token: str) -> Call[RateCardPage]:
    """Ask for one page of cards; an empty token asks for the first."""
    request = pricing_pb2.ListRateCardsRequest(
        service=_arguments.text("service", service),
        page_size=_arguments.integer("page_size", page_size, bits=32),
        page_token=_arguments.text("page_token", page_token),
    )
    return Call(lambda stubs: stubs.pricing.ListRateCards, request, _page_from)


def usage(
    service: str, model: str, quantities: Mapping[str, int] | None, meters: Mapping[str, int]
) -> account_pb2.Usage:
    """Return the message of a usage. `meters` are keyword arguments: units by meter, as `quantities`, with which they go together.

    Raises TypeError for what is not a whole number, ValueError for a meter that is in both: nothing is guessed where money follows.
    """
    message = account_pb2.Usage(service=_arguments.text("service", service), model=_arguments.text("model", model))
    if quantities is not None and not isinstance(quantities, Mapping):
        raise TypeError(f"quantities must be a mapping, not {type(quantities).__name__}")
    for given in (quantities or {}, meters):
        for meter, units in given.items():
            if _arguments.text("a meter", meter) in message.quantities:
                raise ValueError(f"{meter} is given twice, in quantities and by itself")
            message.quantities[meter] = _arguments.integer(meter, units)
    return message


def _fill_card(message: pricing_pb2.RateCard, card: RateCard, name: str) -> None:
    if not isinstance(card, RateCard):
        raise TypeError(f"{name} must be a RateCard, not {type(card).__name__}")
    message.service = _arguments.text(f"{name}.service", card.service)
    message.model = _arguments.text(f"{name}.model", card.model)
    _fill_prices(message.prices_picocents, card.prices_picocents, f"{name}.prices_picocents")
    message.effective_time.CopyFrom(_arguments.timestamp(f"{name}.effective_time", card.effective_time))
    message.version = _arguments.integer(f"{name}.version", card.version, bits=32)
    message.source = _arguments.text(f"{name}.source", card.source)
    message.per_call_picocents = _arguments.integer(f"{name}.per_call_picocents", card.per_call_picocents)
    message.minimum_picocents = _arguments.integer(f"{name}.minimum_picocents", card.minimum_picocents)
    for place, tier in enumerate(card.tiers):
        where = f"{name}.tiers[{place}]"
        filled = message.tiers.add()
        filled.over_units = _arguments.integer(f"{where}.over_units", tier.over_units)
        filled.meters.extend(_arguments.text(f"{where}.meters", meter) for meter in tier.meters)
        _fill_prices(filled.prices_picocents, tier.prices_picocents, f"{where}.prices_picocents")


def _fill_prices(message: MutableMapping[str, int], prices: Mapping[str, int], name: str) -> None:
    for meter, picocents in prices.items():
        message[_arguments.text(name, meter)] = _arguments.integer(f"{name}[{meter!r}]", picocents)


def _card_from(message: pricing_pb2.RateCard) -> RateCard:
    return RateCard(
        service=message.service,
        model=message.model,
        prices_picocents=dict(sorted(message.prices_picocents.items())),
        effective_time=_convert.datetime_from(message.effective_time),
        version=message.version,
        source=message.source,
        per_call_picocents=message.per_call_picocents,
        minimum_picocents=message.minimum_picocents,
        tiers=tuple(map(_tier_from, message.tiers)),
    )


def _tier_from(message: pricing_pb2.RateTier) -> RateTier:
    return RateTier(
        over_units=message.over_units,
        meters=tuple(message.meters),
        prices_picocents=dict(sorted(message.prices_picocents.items())),
    )


def _put_from(response: pricing_pb2.PutRateCardResponse) -> RateCardsPut:
    return RateCardsPut(tuple(map(_card_from, response.rate_cards)), response.added_count)


def _page_from(response: pricing_pb2.ListRateCardsResponse) -> RateCardPage:
    return RateCardPage(tuple(map(_card_from, response.rate_cards)), response.next_page_token)


def _quote_from(response: pricing_pb2.QuoteResponse) -> Quote:
    return Quote(
        cost_microcents=response.cost_microcents,
        allowed=response.allowed,
        available_microcents=response.available_microcents,
        shortfall_microcents=response.shortfall_microcents,
        affordable_units=response.affordable_units if response.HasField("affordable_units") else None,
        rate_card=_convert.rate_card_key_from(response.rate_card),
    )

"""Rate cards as messages, both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterd_server.pricing import CardError, RateCard, Tier
from meterd_server.rpc import encode, validate
from meterd_server.rpc.status import RequestError, Violation, invalid_argument

if TYPE_CHECKING:
    from meterd.v1 import pricing_pb2


def read(message: pricing_pb2.RateCard, field: str) -> RateCard:
    """The card that a message says. Raises `RequestError` naming `field` and what is wrong."""
    effective_from_us = 0
    if message.HasField("effective_time"):
        time_us = validate.timestamp_us(message.effective_time)
        if time_us is None:
            raise RequestError(invalid_argument([Violation(f"{field}.effective_time", "is not a valid Timestamp")]))
        effective_from_us = time_us
    try:
        return RateCard(
            service=message.service,
            model=message.model,
            prices=dict(message.prices_picocents),
            effective_from_us=effective_from_us,
            version=message.version,
            source=message.source,
            per_call_picocents=message.per_call_picocents,
            minimum_picocents=message.minimum_picocents,
            tiers=tuple(
                Tier(tier.over_units, tuple(tier.meters), dict(tier.prices_picocents)) for tier in message.tiers
            ),
        )
    except CardError as error:
        raise RequestError(invalid_argument([Violation(field, str(error))])) from error


def fill(message: pricing_pb2.RateCard, card: RateCard) -> None:
    """Write a card into an empty message."""
    message.service, message.model, message.version = card.service, card.model, card.version
    message.prices_picocents.update(card.prices)
    encode.fill_timestamp(message.effective_time, card.effective_from_us)
    message.source = card.source
    message.per_call_picocents = card.per_call_picocents
    message.minimum_picocents = card.minimum_picocents
    for tier in card.tiers:
        filled = message.tiers.add()
        filled.over_units = tier.over
        filled.meters.extend(tier.meters)
        filled.prices_picocents.update(tier.prices)

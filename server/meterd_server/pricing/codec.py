"""Cards as JSON text: how they are kept and sent."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import NoReturn

from meterd_server.pricing.cards import CardError, RateCard, Tier


def card_to_json(card: RateCard) -> str:
    """Return the card as one line of JSON. Equal cards have equal text, so that texts can be compared."""
    written = {each.name: getattr(card, each.name) for each in fields(RateCard) if each.init}
    written["prices"] = dict(card.prices)
    written["tiers"] = [
        {"over": tier.over, "meters": list(tier.meters), "prices": dict(tier.prices)} for tier in card.tiers
    ]
    return json.dumps(written, sort_keys=True, separators=(",", ":"))


def card_from_json(text: str) -> RateCard:
    """Return the card that `card_to_json` wrote. Raises `CardError` for anything that is not a well-formed card."""
    try:
        read = json.loads(text, parse_float=_refuse, parse_constant=_refuse)
        tiers = tuple(Tier(**{**tier, "meters": tuple(tier["meters"])}) for tier in read.pop("tiers", ()))
        return RateCard(**read, tiers=tiers)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise CardError(f"not a card: {error}") from None


def _refuse(number: str) -> NoReturn:
    raise CardError(f"a card has whole numbers only, not {number}")

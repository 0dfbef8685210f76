"""Cards as TOML text that a person can read, and that loads again to equal cards."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import groupby

from meterd_server.pricing import RateCard
from meterd_server.rate_files.price_text import format_price
from meterd_server.rate_files.toml_cards import EPOCH


def render_cards(cards: Iterable[RateCard]) -> str:
    """Return a TOML text with the cards in this order. Neighbours that differ only in their model share a table.

    The file has no place for version numbers: a book gives them. A card that has one gets it as a comment.
    """
    groups = groupby(cards, key=lambda card: replace(card, model="*" if card.model else ""))
    return "\n".join("\n".join(_lines(card, [each.model for each in group])) + "\n" for card, group in groups)


def _lines(card: RateCard, models: list[str]) -> Iterator[str]:
    yield "[[card]]" + (f"  # version {card.version}" if card.version else "")
    yield f"service = {_quoted(card.service)}"
    if card.model:
        names = ", ".join(map(_quoted, models))
        yield f"model = {names}" if len(models) == 1 else f"model = [{names}]"
    if card.effective_from_us:
        yield f"effective = {_date(card.effective_from_us)}"
    if card.source:
        yield f"source = {_quoted(card.source)}"
    if card.per_call_picocents:
        yield f"per_call = {_quoted(format_price(card.per_call_picocents))}"
    if card.minimum_picocents:
        yield f"minimum = {_quoted(format_price(card.minimum_picocents))}"
    yield from _prices(card.prices)
    for tier in card.tiers:
        yield "[[card.tier]]"
        yield f'over = "{tier.over:_} {" + ".join(tier.meters)}"'
        yield from _prices(tier.prices)


def _prices(prices: Mapping[str, int]) -> Iterator[str]:
    return (f"prices.{meter} = {_quoted(format_price(picocents, meter))}" for meter, picocents in prices.items())


def _date(time_us: int) -> str:
    moment = EPOCH + timedelta(microseconds=time_us)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return str(moment.date()) if moment == midnight else moment.isoformat().replace("+00:00", "Z")


def _quoted(text: str) -> str:
    # Without control characters, which cards do not have, a JSON string is a TOML string.
    return json.dumps(text, ensure_ascii=False)

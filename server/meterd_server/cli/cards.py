"""Rate cards on the command line: from a file's to the client's and back, and as tables."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import typer
from rich.table import Table

import meterd
from meterd_server.cli.exits import Exit
from meterd_server.cli.money import format_picocents
from meterd_server.cli.output import complain, complain_about, count, new_table
from meterd_server.pricing import RateCard, Tier
from meterd_server.rate_files import RateFileError, format_price

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def refused(error: RateFileError, *, as_json: bool) -> typer.Exit:
    """Say what is wrong with a file of prices, and return the exit for it."""
    if as_json:
        complain_about({"reason": "INVALID_ARGUMENT", "problems": [each._asdict() for each in error.problems]})
    else:
        for problem in error.problems:
            complain(str(problem))
    return typer.Exit(Exit.USAGE)


def to_client(card: RateCard) -> meterd.RateCard:
    """Return a file's card as the client sends it."""
    return meterd.RateCard(
        service=card.service,
        model=card.model,
        prices_picocents=card.prices,
        effective_time=_EPOCH + timedelta(microseconds=card.effective_from_us),
        version=card.version,
        source=card.source,
        per_call_picocents=card.per_call_picocents,
        minimum_picocents=card.minimum_picocents,
        tiers=tuple(meterd.RateTier(tier.over, tier.meters, tier.prices) for tier in card.tiers),
    )


def from_client(card: meterd.RateCard) -> RateCard:
    """Return a card that the daemon has as what `pricing` knows."""
    return RateCard(
        service=card.service,
        model=card.model,
        prices=card.prices_picocents,
        effective_from_us=(card.effective_time - _EPOCH) // timedelta(microseconds=1),
        version=card.version,
        source=card.source,
        per_call_picocents=card.per_call_picocents,
        minimum_picocents=card.minimum_picocents,
        tiers=tuple(Tier(tier.over_units, tier.meters, tier.prices_picocents) for tier in card.tiers),
    )


def cards_table(cards: Iterable[meterd.RateCard]) -> Table:
    """Return a table of many cards, a line for each price; what is not the price of a unit is only hinted at."""
    table = new_table("service", "model", "version", "from", *_PRICE_COLUMNS, "also", numeric=("version", "µ¢ a unit"))
    for card in cards:
        about = (card.service, card.model, str(card.version), _since(card), ", ".join(_extras(card)))
        for meter, picocents in card.prices_picocents.items():
            *first, also = about
            table.add_row(*first, *_price_cells(meter, picocents), also)
            about = ("", "", "", "", "")
    return table


def card_title(card: meterd.RateCard) -> str:
    """Return a card's name, version and date."""
    return f"{card.service} {card.model}".rstrip() + f", version {card.version}, {_since(card)}"


def card_table(card: meterd.RateCard) -> Table:
    """Return everything that a card says about money."""
    table = new_table(*_PRICE_COLUMNS, numeric=("µ¢ a unit",))
    for meter, picocents in card.prices_picocents.items():
        table.add_row(*_price_cells(meter, picocents))
    if card.per_call_picocents:
        table.add_row(*_price_cells("each call, on top", card.per_call_picocents))
    if card.minimum_picocents:
        table.add_row(*_price_cells("each call, at least", card.minimum_picocents))
    for tier in card.tiers:
        table.add_section()
        table.add_row(f"in a call over {tier.over_units:,} {' + '.join(tier.meters)}:")
        for meter, picocents in tier.prices_picocents.items():
            table.add_row(*_price_cells(meter, picocents))
    return table


def _since(card: meterd.RateCard) -> str:
    """From when on a card is valid, in UTC: a date, with the time when that is not midnight."""
    moment = card.effective_time.astimezone(UTC)
    if moment == _EPOCH:
        return "since ever"
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return f"from {moment:%Y-%m-%d}" if moment == midnight else f"from {moment.isoformat().replace('+00:00', 'Z')}"


_PRICE_COLUMNS = ("meter", "price", "µ¢ a unit")


def _price_cells(meter: str, picocents: int) -> tuple[str, str, str]:
    return meter, format_price(picocents, meter), format_picocents(picocents)


def _extras(card: meterd.RateCard) -> Iterator[str]:
    if card.per_call_picocents:
        yield "a price per call"
    if card.minimum_picocents:
        yield "a minimum"
    if card.tiers:
        yield count(len(card.tiers), "tier")

"""The commands about prices: load and check a file, list and show what the daemon has."""

from pathlib import Path
from typing import Annotated

import typer

import meterd
from meterd_server.cli.cards import card_table, card_title, cards_table, from_client, refused, to_client
from meterd_server.cli.exits import Exit
from meterd_server.cli.output import complain, count, print_json, say, show
from meterd_server.cli.session import (
    DEFAULT_ADDRESS,
    DEFAULT_TIMEOUT_SECONDS,
    AddressOption,
    JsonOption,
    Target,
    TimeoutOption,
)
from meterd_server.pricing import RateBook, RateCard
from meterd_server.rate_files import RateFileError, load_cards

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A TOML file of rate cards.", show_default=False)]


def load(
    context: typer.Context,
    file: FileArgument,
    *,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
    as_json: JsonOption = False,
) -> None:
    """Give the daemon the rate cards of a file.

    It takes all or none, and keeps them.

    A card that it has already changes nothing, so that a file may be loaded again after cards were added to it. A card is never
    edited: other prices for the same service and model need a later date, else it exits 3.
    """
    cards = read_cards(file, as_json=as_json)
    with Target(context, address, timeout, as_json).session() as client:
        put = client.put_rate_cards(map(to_client, cards))
    if as_json:
        print_json(put)
    else:
        say(f"loaded {count(len(put.rate_cards), 'card')} from {file}, {put.added_count:,} of them new")


def check(
    context: typer.Context,
    file: FileArgument,
    *,
    address: Annotated[
        str | None,
        typer.Option("--address", metavar="HOST:PORT", help="Ask this daemon as well whether it would take them."),
    ] = None,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
    as_json: JsonOption = False,
) -> None:
    """Say what is wrong with a file of rate cards.

    Each problem comes with its line; exits 2 when there is one. Nothing is loaded. With --address a daemon is asked as well whether
    the cards go with those that it has; exits 3 when not.
    """
    cards = read_cards(file, as_json=as_json)
    if address is None:
        put = meterd.RateCardsPut(tuple(map(to_client, cards)), len(cards))
        new = ""
    else:
        with Target(context, address, timeout, as_json).session() as client:
            put = client.put_rate_cards(map(to_client, cards), validate_only=True)
        new = f", {put.added_count:,} of them new to {address}"
    if as_json:
        print_json(put)
    else:
        say(f"{file} is right: {count(len(put.rate_cards), 'card')}{new}")


def list_(
    context: typer.Context,
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="Only of this service.", show_default=False)] = "",
    *,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
    as_json: JsonOption = False,
) -> None:
    """List the rate cards that the daemon has, of all dates.

    With --json it prints one object per line (JSON Lines).
    """
    with Target(context, address, timeout, as_json).session() as client:
        cards = list(client.list_rate_cards(service))
    if as_json:
        for card in cards:
            print_json(card)
    elif cards:
        show(cards_table(cards))
    else:
        say(f"there are no rate cards{f' for {service}' if service else ''}; meterd prices load FILE adds some")


def show_(
    context: typer.Context,
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="Which service.", show_default=False)],
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model, or a card's own pattern.", show_default=False)
    ] = "",
    *,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
    as_json: JsonOption = False,
) -> None:
    """Show all that a rate card says, and every version of it.

    Without MODEL it shows the card for the service as a whole. For a model without a card of its own it shows the one that counts:
    that with the longest pattern, else the service's. Exits 3 when there is none.
    """
    with Target(context, address, timeout, as_json).session() as client:
        cards = list(client.list_rate_cards(service))
    book = RateBook(map(from_client, cards))
    name = next((name for name in book.names_for(service, model) if book.versions(service, name)), None)
    if name is None:
        complain(f"no rate card is for {service} {model}".rstrip())
        if others := sorted({card.model for card in cards}):
            complain(f"{service} has cards for {', '.join(others)}")
        raise typer.Exit(Exit.CONFLICT)
    if not as_json and name != model:
        say(f"{model} has no card of its own; {name or 'that of the service'} counts\n")
    for card in cards:
        if card.model == name:
            if as_json:
                print_json(card)
                continue
            say(card_title(card))
            show(card_table(card))
            if card.source:
                say(f"source: {card.source}\n")


def read_cards(file: Path, *, as_json: bool) -> tuple[RateCard, ...]:
    """Return the cards of a file, or say what is wrong with it and exit 2."""
    try:
        cards = load_cards(file)
    except RateFileError as error:
        raise refused(error, as_json=as_json) from None
    return cards

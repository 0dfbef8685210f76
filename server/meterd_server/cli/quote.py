"""The command that says what a usage would cost."""

from typing import Annotated

import typer
from rich.text import Text

import meterd
from meterd_server.cli.account_commands import UserArgument
from meterd_server.cli.money import format_money
from meterd_server.cli.output import format_usage, print_json, say
from meterd_server.cli.session import (
    DEFAULT_ADDRESS,
    DEFAULT_TIMEOUT_SECONDS,
    AddressOption,
    JsonOption,
    Target,
    TimeoutOption,
)
from meterd_server.cli.usage_options import ModelOption, quantities


def quote(
    context: typer.Context,
    user: UserArgument,
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="Which service.", show_default=False)],
    usage: Annotated[list[str], typer.Argument(metavar="METER=UNITS", help="What would be used.", show_default=False)],
    *,
    model: ModelOption = "",
    affordable: Annotated[
        str, typer.Option("--affordable", metavar="METER", help="Say how many units of it could be used on top.")
    ] = "",
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
    as_json: JsonOption = False,
) -> None:
    """Ask what a usage would cost a user now.

    It says whether that can be afforded, too, and changes nothing. With '' as USER it says what it costs anybody.

    Exits 0 whether it can be afforded or not: `meterd check --usage` tells by its exit code.
    """
    used = meterd.Usage(service, model, quantities(usage, "METER=UNITS"))
    with Target(context, address, timeout, as_json).session() as client:
        answer = client.quote(user, service, model=model, quantities=used.quantities, affordable=affordable)
    if as_json:
        print_json(answer)
        return
    say(f"{format_usage(used)}: {format_money(answer.cost_microcents)}")
    if user:
        word = Text("affordable", "green") if answer.allowed else Text("too expensive", "red")
        missing = f", {format_money(answer.shortfall_microcents)} too little" if answer.shortfall_microcents else ""
        say(Text.assemble(word, f": {user} has {format_money(answer.available_microcents)} available{missing}"))
    if answer.affordable_units is not None:
        say(f"on top of it, {user} can afford {answer.affordable_units:,} {affordable}")
    say(f"by the rate card {f'{service} {answer.rate_card.model}'.rstrip()}, version {answer.rate_card.version}")

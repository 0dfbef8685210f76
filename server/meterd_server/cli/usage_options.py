"""Usage on the command line: its options, and how they are read."""

import re
from collections.abc import Sequence
from typing import Annotated

import typer

import meterd
from meterd_server.cli.session import amount

ModelOption = Annotated[str, typer.Option("--model", metavar="NAME", help="Which model of the service was used.")]
UsageOption = Annotated[
    list[str] | None,
    typer.Option(
        "--usage",
        metavar="METER=UNITS",
        help="What was used, as in input_tokens=1_200; may be repeated. Needs --service.",
    ),
]

_UNITS = re.compile("-?[0-9]+(?:_[0-9]+)*", re.ASCII)
_UNITS_LENGTH_MAX = 30  # more than any int64 has; Python refuses to read thousands of digits


def quantities(texts: Sequence[str], name: str) -> dict[str, int]:
    """Return `METER=UNITS` texts as a mapping, or fail as a usage error. Which meters there are is the daemon's to say."""
    found: dict[str, int] = {}
    for text in texts:
        meter, _, units = text.partition("=")
        if not meter or not _UNITS.fullmatch(units) or len(units) > _UNITS_LENGTH_MAX:
            raise typer.BadParameter(f"{text!r} is not METER=UNITS, such as pages=3", param_hint=f"'{name}'")
        if meter in found:
            raise typer.BadParameter(f"{meter!r} is given twice", param_hint=f"'{name}'")
        found[meter] = int(units)
    return found


def usage_from(service: str, model: str, texts: Sequence[str] | None) -> meterd.Usage | None:
    """Return the usage that the options name, None when they name none, or fail as a usage error."""
    if not texts:
        if model:
            raise typer.BadParameter("goes with --usage only", param_hint="'--model'")
        return None
    if not service:
        raise typer.BadParameter("--usage needs it", param_hint="'--service'")
    return meterd.Usage(service, model, quantities(texts, "--usage"))


def amount_or_usage(
    text: str | None, what: str, service: str, model: str, texts: Sequence[str] | None
) -> tuple[int, meterd.Usage | None]:
    """Return the microcents of `what`, "a COST" or so, or 0 and the usage that the options name: one of them is to be given."""
    used = usage_from(service, model, texts)
    name = what.rpartition(" ")[2]
    if (used is None) == (text is None):
        raise typer.BadParameter(f"give {what}, or --service and --usage", param_hint=f"'{name}'")
    return (0 if text is None else amount(text, name)), used

"""What the commands print: rich tables and sentences for people, JSON for programs.

The JSON follows protobuf's JSON mapping, with the field names of the contract and of the Python client: an int64 is a
string, since JavaScript and `jq` lose microcents above 2^53; times are RFC 3339 in UTC; a kind is its name, `COST`.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

import meterd
from meterd_server.cli.money import format_dollars, format_microcents, format_picocents

_PIPE_COLUMNS = 1_000


def console() -> Console:
    """Return a console on stdout: as wide as the terminal, or wide enough to truncate nothing when piped."""
    width = None if sys.stdout.isatty() else _PIPE_COLUMNS
    return Console(width=width, highlight=False, markup=False, emoji=False)


def say(text: str | Text) -> None:
    """Print a sentence on stdout, never wrapped: a terminal does that, a pipe must not see it."""
    console().print(text, soft_wrap=True)


def complain(text: str) -> None:
    """Print a line for a person on stderr."""
    typer.echo(f"meterd: {text}", err=True)


def show(table: Table) -> None:
    """Print a table on stdout, without the padding at the ends of its lines."""
    target = console()
    if target.is_terminal:
        target.print(table)
        return
    with target.capture() as capture:
        target.print(table)
    for line in capture.get().splitlines():
        typer.echo(line.rstrip())


def new_table(*columns: str, numeric: Iterable[str] = (), title: str | None = None) -> Table:
    """Return an empty table in the house style; the columns in `numeric` are right-aligned and never wrapped."""
    table = Table(
        box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", header_style="bold", pad_edge=False
    )
    for column in columns:
        right = column in numeric
        table.add_column(column, justify="right" if right else "left", no_wrap=right, overflow="fold")
    return table


def money_cells(microcents: int) -> tuple[Text, Text]:
    """Return the two cells that show an amount: exact dollars and microcents, red below zero."""
    style = "red" if microcents < 0 else ""
    return Text(format_dollars(microcents), style), Text(format_microcents(microcents), f"{style} dim".strip())


def balance_table(balance: meterd.Balance) -> Table:
    """Return a user's balance as a table; amounts that most users never have are shown only when they are not 0."""
    table = Table(
        box=None, show_header=False, pad_edge=False, title=balance.user_id, title_justify="left", title_style="bold"
    )
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    always = ("balance", "available", "funded", "spent")
    for name in ("balance", "available", "funded", "spent", "held", "lapsed", "credit_limit"):
        microcents = getattr(balance, f"{name}_microcents")
        if microcents or name in always:
            table.add_row(name.replace("_", " "), *money_cells(microcents))
    if balance.unlimited:
        table.add_row("unlimited", "yes")
    if balance.frozen:
        table.add_row("frozen", Text("yes", "red"))
    if balance.residue_picocents:
        table.add_row("residue", "", format_picocents(balance.residue_picocents))
    table.add_row("entries", str(balance.version))
    return table


def count(number: int, noun: str) -> str:
    """Return `1 card`, `2,310 cards`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_usage(usage: meterd.Usage) -> str:
    """Return a usage for people: `1,200 input_tokens, 300 output_tokens of mistral-large-latest`."""
    quantities = ", ".join(f"{units:,} {meter}" for meter, units in sorted(usage.quantities.items()))
    return f"{quantities} of {usage.model}" if usage.model else quantities


def format_policy(policy: meterd.AccountPolicy, format_amount: Callable[[int], str]) -> str:
    """Return a policy for people: `credit limit $10.00000000, frozen`."""
    words = ("unlimited" if policy.unlimited else "", "frozen" if policy.frozen else "")
    return ", ".join(filter(None, (f"credit limit {format_amount(policy.credit_limit_microcents)}", *words)))


def print_json(value: object) -> None:
    """Print one JSON object on one line of stdout."""
    typer.echo(json.dumps(jsonable(value), ensure_ascii=False))


def complain_json(error: meterd.Error, request_id: str | None) -> None:
    """Print an error of the client on stderr, with the id that makes repeating the call safe."""
    about = {
        "reason": error.reason or error.code.name,
        "message": error.message,
        "metadata": error.metadata,
        "field_violations": [{"field": field, "description": text} for field, text in error.field_violations],
        "request_id": request_id,
    }
    complain_about(about)


def complain_about(error: Mapping[str, object]) -> None:
    """Print `{"error": {...}}` on one line of stderr."""
    typer.echo(json.dumps({"error": jsonable(error)}, ensure_ascii=False), err=True)


def jsonable(value: object) -> object:
    """Return what `json` writes for a value, after protobuf's JSON mapping (see this module's docstring)."""
    if is_dataclass(value):
        return {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return _json_scalar(value)


def _json_scalar(value: object) -> str | bool | None:
    match value:
        case Enum():  # before str: an enum of strings is both
            return value.name
        case None | bool() | str():
            return value
        case int():
            return str(value)
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case _:
            raise TypeError(f"no JSON for {type(value).__name__}")

"""The command that measures a running daemon, wherever it is."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import grpc
import typer

from meterd_server.cli.exits import Exit
from meterd_server.cli.output import complain, new_table, show
from meterd_server.cli.session import DEFAULT_ADDRESS, AddressOption, JsonOption
from meterd_server.load import Figures, Load, run

_LOADS = {
    "RecordCost, 1 in flight": Load("cost", in_flight=1),
    "RecordCost, 64 in flight": Load("cost"),
    "Check, 64 in flight": Load("check"),
    "Batch of 100, 4 in flight": Load("batch", in_flight=4, operations=100),
    "Batch of 1,000, 4 in flight": Load("batch", in_flight=4, operations=1_000),
}


def bench(
    *,
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=600, help="How long each load lasts.")
    ] = 3.0,
    users: Annotated[int, typer.Option(metavar="N", min=1, help="Over how many users, bench-0 and so on.")] = 10_000,
    address: AddressOption = DEFAULT_ADDRESS,
    as_json: JsonOption = False,
) -> None:
    """Measure a running daemon: calls and durable operations a second, and how long they take.

    It records costs for the users bench-0, bench-1, …, so use a daemon whose ledger may hold them. One process sends all of the
    load: its own share of a processor is shown, and near 100% it is what is measured.
    """
    taken: dict[str, Figures] = {}
    try:
        for name, load in _LOADS.items():
            taken[name] = asyncio.run(run(address, load._replace(seconds=seconds, users=users)))
    except (grpc.RpcError, TimeoutError):
        complain(f"cannot reach {address}")
        raise typer.Exit(Exit.UNREACHABLE) from None
    if as_json:
        typer.echo(json.dumps({name: figures._asdict() for name, figures in taken.items()}))
    else:
        _show(taken)
    if any(figures.errors for figures in taken.values()):
        complain("some calls failed: these figures are worth nothing")
        raise typer.Exit(Exit.UNREACHABLE)


def _show(taken: dict[str, Figures]) -> None:
    columns = ("operations/s", "p50 ms", "p99 ms", "load's CPU", "errors")
    table = new_table("load", *columns, numeric=columns)
    for name, figures in taken.items():
        table.add_row(
            name,
            f"{figures.operations_per_second:,.0f}",
            f"{figures.p50_ms:.2f}",
            f"{figures.p99_ms:.2f}",
            f"{figures.load_processor_share:.0%}",
            f"{figures.errors:,}",
        )
    show(table)

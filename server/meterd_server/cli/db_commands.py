"""The commands that prepare a database and move a ledger from one to another. They need no daemon."""

from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer

from meterd_server.cli.bars import Bars
from meterd_server.cli.exits import Exit
from meterd_server.cli.offline import DbOption, finished, place_of
from meterd_server.cli.output import complain, say
from meterd_server.config import load_settings
from meterd_server.errors import StartupError
from meterd_server.store import MovableStore
from meterd_server.store.engines import make_store, shown
from meterd_server.store.moving import MoveError, Proof, copy, count_entries, prove
from meterd_server.store.postgres.address import is_postgres

db_app = typer.Typer(
    help="Prepare a database, or move a ledger from one to another.", no_args_is_help=True, rich_markup_mode=None
)

_EXAMPLES = "\b\nExamples:\n  "


@db_app.command(
    epilog=_EXAMPLES
    + "meterd db init --db postgresql://meterd@db/meterd\n  meterd db init --distribute  (--db from METERD_DB)"
)
def init(
    *,
    db: DbOption = None,
    distribute: Annotated[
        bool,
        typer.Option(
            "--distribute",
            help="PostgreSQL: distribute the tables by bucket where the server can (Citus), and keep every transaction to one.",
        ),
    ] = False,
) -> None:
    """Make the tables, or bring them up to date. `meterd serve` does that by itself, if its role may."""
    for sentence in finished(_init(place_of(db), distribute)):
        say(sentence)


@db_app.command(
    epilog=_EXAMPLES + "meterd db move meterd.sqlite3 postgresql://meterd@db/meterd\n"
    "  meterd db move postgresql://meterd@db/meterd copy.sqlite3"
)
def move(
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="The ledger as it is; not changed.", show_default=False)
    ],
    target: Annotated[
        str,
        typer.Argument(metavar="TO", help="An empty database, or one that was moved to before.", show_default=False),
    ],
) -> None:
    """Copy a ledger from one database to another, and prove that both hold the same.

    Each of the two is what `meterd serve --db` takes. Stop the daemons first. A move that was interrupted goes on where it
    stopped when it is given again.
    """
    places = [place_of(place, name) for place, name in ((source, "FROM"), (target, "TO"))]
    if not is_postgres(places[0]) and not Path(places[0]).is_file():
        complain(f"there is no file {places[0]}")
        raise typer.Exit(Exit.CANNOT_START)
    proof = finished(_move(places[0], places[1]))
    say(f"moved {proof.entries:,} entries of {proof.users:,} users from {shown(places[0])} to {shown(places[1])}")
    say(
        f"both hold funded {proof.funded_microcents:,} µ¢, spent {proof.spent_microcents:,} µ¢, and for every user the same"
    )
    say(f"versions, sums and entries; digest over all entries {proof.digest}")


async def _init(place: str, distribute: bool) -> list[str]:
    async with AsyncExitStack() as stack:
        store = await _opened(stack, place)
        said = [f"{shown(place)} is ready"]
        if distribute:
            act: Callable[[], Coroutine[None, None, list[str]]] | None = getattr(store, "distribute", None)
            if act is None:
                raise StartupError(
                    f"{place} is a SQLite file, which is not distributed; --distribute is for PostgreSQL"
                )
            said += await act()
        return said


async def _move(source_place: str, target_place: str) -> Proof:
    if source_place == target_place:
        raise MoveError("FROM and TO are the same database")
    async with AsyncExitStack() as stack:
        source, target = await _opened(stack, source_place), await _opened(stack, target_place)
        total = await count_entries(source)
        bars = stack.enter_context(Bars())
        await copy(source, target, bars.bar("copying", total))
        return await prove(source, target, bars.bar("proving", total))


async def _opened(stack: AsyncExitStack, place: str) -> MovableStore:
    store = make_store(place, connections=load_settings({"db": place}).db_connections)
    await store.open()
    stack.push_async_callback(store.close)
    return store

"""What the commands that work on a database have in common: which one it is, and how they end."""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, TypeVar

import typer

from meterd_server.audit import DifferenceError
from meterd_server.cli.exits import Exit
from meterd_server.cli.output import complain
from meterd_server.config import ConfigError, load_settings
from meterd_server.errors import StartupError, StoreUnavailable
from meterd_server.files import InTheWayError
from meterd_server.store.moving import MoveError
from meterd_server.store.reading import UnreadableError

_T = TypeVar("_T")

DbOption = Annotated[
    str | None,
    typer.Option(
        "--db", metavar="PATH|URL", help="The database, as `meterd serve` takes it [METERD_DB].", show_default=False
    ),
]

ReadDbOption = Annotated[
    str | None,
    typer.Option("--db", metavar="PATH|URL", help="Read this database itself, not a daemon.", show_default=False),
]


def given_place(context: typer.Context, db: str | None) -> str | None:
    """The database that --db names; None if the daemon is to be asked. Both is a usage error."""
    if db is None:
        return None
    source = context.get_parameter_source("address")
    if source and source.name == "COMMANDLINE":
        raise typer.BadParameter("give --db or --address, not both", param_hint="'--db'")
    return place_of(db)


def place_of(db: str | None, name: str = "--db") -> str:
    """The database that is meant, from the argument `name` or where `meterd serve` has it from; or fail as a usage error."""
    try:
        return load_settings({"db": db}).db
    except ConfigError as error:
        complain(str(error).replace("--db", name))
        raise typer.Exit(Exit.USAGE) from None


def finished(work: Coroutine[None, None, _T]) -> _T:
    """Run to the end; what cannot be is a line on stderr and an exit code."""
    try:
        return asyncio.run(work)
    except (DifferenceError, UnreadableError) as error:
        complain(str(error))
        raise typer.Exit(Exit.NOT_COVERED) from None
    except StartupError as error:
        complain(str(error))
        raise typer.Exit(Exit.CANNOT_START) from None
    except (MoveError, InTheWayError) as error:
        complain(str(error))
        raise typer.Exit(Exit.CONFLICT) from None
    except StoreUnavailable:
        complain("the database failed meanwhile; nothing is lost: give the same command again")
        raise typer.Exit(Exit.UNREACHABLE) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        complain(str(error))
        raise typer.Exit(Exit.CANNOT_START) from None

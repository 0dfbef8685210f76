"""The command line: which commands there are, and the help that ties them together."""

from collections.abc import Callable
from typing import Annotated

import typer

import meterd
from meterd_server.cli import account_commands
from meterd_server.cli.bench import bench
from meterd_server.cli.db_commands import db_app
from meterd_server.cli.demo import demo
from meterd_server.cli.exits import EXIT_HELP
from meterd_server.cli.serve import serve

_HELP = """Keep a prepaid balance for every user and meter what they spend, exact to the microcent.

\b
Try it:
  meterd demo                            a real daemon, three metered services
  meterd serve                           run the daemon
  meterd fund ada 20usd                  ada paid
  meterd check ada && do-the-work        may she afford a call?
  meterd charge ada 0.0005usd --service chat
  meterd balance ada

\b
Amounts:
  50_000      microcents, the unit of every amount: 10^-8 US dollar, so 1 USD is 100_000_000
  1.25usd     dollars, with up to 8 decimals, read exactly
  '$1.25'     the same; without single quotes the shell makes something else of $1
"""
_EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:<5}{text}" for code, text in EXIT_HELP.items())

# Plain help: it reads the same in a pipe, a log and a terminal of any width.
app = typer.Typer(
    name="meterd",
    help=_HELP,
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def version() -> None:
    """Print the version."""
    typer.echo(f"meterd {meterd.__version__}")


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None: ...


def _add(command: Callable[..., None], *examples: str) -> None:
    # The \b keeps a paragraph's lines as they are.
    epilog = "\b\n" + "\n".join(["Examples:", *(f"  {example}" for example in examples)])
    app.command(epilog=epilog)(command)


_add(
    serve,
    "meterd serve",
    "meterd serve --listen 127.0.0.1:0 --db :memory:",
    "meterd serve --db 'postgresql://meterd:PASSWORD@db.example.com/meterd'",
    "meterd serve --listen unix:/run/meterd.sock --db /var/lib/meterd/meterd.sqlite3 --log-format json",
)
_add(
    account_commands.check,
    "meterd check ada",
    "meterd check ada --minimum 0.05usd && run-the-job",
    "meterd check ada --minimum 50_000 --json",
)
_add(
    account_commands.charge,
    "meterd charge ada 50_000 --service chat",
    "meterd charge ada 0.0005usd --service chat --label model=large --label team=search",
    "meterd charge ada 1.25usd --reject-overdraft --request-id job-4711",
)
_add(
    account_commands.fund,
    "meterd fund ada 20usd --request-id payment-8812",
    "meterd fund ada 500_000_000",
    "meterd fund ada --from 20usd --to 35usd",
)
_add(
    account_commands.balance,
    "meterd balance ada",
    "meterd balance ada --json | jq -r .balance_microcents",
)
_add(
    account_commands.entries,
    "meterd entries ada",
    "meterd entries ada --oldest-first --limit 100",
    "meterd entries ada --all --json | jq -r 'select(.service == \"chat\") | .amount_microcents'",
)
_add(
    demo,
    "meterd demo",
    "meterd demo --db demo.sqlite3 && meterd serve --db demo.sqlite3",
)
_add(
    bench,
    "meterd bench",
    "meterd bench --address 127.0.0.1:50051 --seconds 10 --json",
)
app.add_typer(db_app, name="db")
_add(version, "meterd version")

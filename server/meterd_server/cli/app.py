"""The command line: which commands there are, and the help that ties them together."""

from collections.abc import Callable
from typing import Annotated

import typer

import meterd
from meterd_server.cli import (
    account_commands,
    admin_commands,
    ledger_commands,
    prices_commands,
    prices_import,
    reservation_commands,
)
from meterd_server.cli.bench import bench
from meterd_server.cli.db_commands import db_app
from meterd_server.cli.demo import demo
from meterd_server.cli.exits import EXIT_HELP
from meterd_server.cli.export import export
from meterd_server.cli.quote import quote
from meterd_server.cli.serve import serve

_HELP = """Keep a prepaid balance for every user and meter what they spend, exact to the microcent.

\b
Try it:
  meterd demo                            a real daemon, three metered services
  meterd serve                           run the daemon
  meterd fund ada 20usd                  ada paid
  meterd check ada && do-the-work        may she afford a call?
  meterd charge ada 0.0005usd --service chat
  meterd prices load prices.toml         from now on, say what was used:
  meterd charge ada --service mistral --model mistral-large-latest --usage input_tokens=1200
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


prices = typer.Typer(
    name="prices",
    help="""Rate cards: what the units of each service cost.

\b
A file of them is TOML:
  [[card]]
  service = "mistral"
  model = "mistral-large-latest"        # or a pattern, mistral-large-*; left out: all other models
  effective = 2026-01-01                # left out: since ever
  prices.input_tokens = "2.00 USD per 1_000_000"
  prices.output_tokens = "6.00 USD per 1_000_000"

A price is in USD, cents, microcents or picocents, or free.
""",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(prices)


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


def _add(command: Callable[..., None], *examples: str, group: typer.Typer = app) -> None:
    # The \b keeps a paragraph's lines as they are.
    epilog = "\b\n" + "\n".join(["Examples:", *(f"  {example}" for example in examples)])
    group.command(name=command.__name__.rstrip("_"), epilog=epilog)(command)


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
    "meterd check ada --service mistral --model mistral-large-latest --usage input_tokens=1_200 --usage output_tokens=1_000",
)
_add(
    account_commands.charge,
    "meterd charge ada 50_000 --service chat",
    "meterd charge ada 0.0005usd --service chat --label model=large --label team=search",
    "meterd charge ada 1.25usd --reject-overdraft --request-id job-4711",
    "meterd charge ada --service mistral --model mistral-large-latest --usage input_tokens=1_200 --usage output_tokens=300",
)
_add(
    quote,
    "meterd quote ada mistral --model mistral-large-latest input_tokens=1_200 output_tokens=300",
    "meterd quote ada mistral --model mistral-large-latest input_tokens=1_200 --affordable output_tokens",
    "meterd quote '' aws-textract --model detect-text pages=3",
)
_add(
    account_commands.fund,
    "meterd fund ada 20usd --request-id payment-8812",
    "meterd fund ada 500_000_000",
    "meterd fund ada --from 20usd --to 35usd",
    "meterd fund ada 5usd --expires 30d --grant-label welcome",
)
_add(
    reservation_commands.reserve,
    "meterd reserve ada 0.05usd --request-id job-4711",
    "meterd reserve ada 5_000_000 --ttl 3600 --floor 100_000 --service chat",
    "meterd reserve ada --service mistral --model mistral-large-latest --usage input_tokens=1_200 --usage output_tokens=1_000",
)
_add(
    reservation_commands.capture,
    "meterd capture ada job-4711 0.03usd",
    "meterd capture ada job-4711 10_000 --keep-open",
    "meterd capture ada job-4711 --service mistral --model mistral-large-latest --usage input_tokens=1_200",
)
_add(
    reservation_commands.release,
    "meterd release ada job-4711",
)
_add(
    reservation_commands.extend,
    "meterd extend ada job-4711 --ttl 600",
    "meterd extend ada job-4711 --add 0.05usd",
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
    ledger_commands.verify,
    "meterd verify",
    "meterd verify --db /var/lib/meterd/meterd.sqlite3",
    "meterd verify --db backup.sqlite3 --json",
)
_add(
    ledger_commands.backup,
    "meterd backup backup-2026-11-24.sqlite3",
    "meterd backup --db postgresql://meterd@db/meterd backup.sqlite3 --force",
)
_add(
    ledger_commands.restore,
    "meterd restore backup.sqlite3 --db /var/lib/meterd/meterd.sqlite3",
    "meterd restore backup.sqlite3 --db postgresql://meterd@db/meterd",
)
_add(
    export,
    "meterd export entries.jsonl",
    "meterd export --user ada --user bob --format csv",
    "meterd export --db backup.sqlite3 | gzip > entries.jsonl.gz",
)
_add(
    admin_commands.grants,
    "meterd grants ada",
    "meterd grants ada --json | jq -r '.grants[] | .left_microcents'",
)
_add(
    admin_commands.policy,
    "meterd policy ada --credit-limit 10usd",
    "meterd policy ada --frozen",
    "meterd policy ada --limited --not-frozen",
)
_add(
    admin_commands.reverse,
    "meterd reverse ada 17 --label reason=outage --label by=bob",
    "meterd reverse ada 17 0.05usd",
)
_add(
    prices_commands.load,
    "meterd prices load prices.toml",
    group=prices,
)
_add(
    prices_commands.check,
    "meterd prices check prices.toml",
    "meterd prices check prices.toml --address 127.0.0.1:50051",
    group=prices,
)
_add(
    prices_commands.list_,
    "meterd prices list",
    "meterd prices list mistral --json | jq -r .model",
    group=prices,
)
_add(
    prices_commands.show_,
    "meterd prices show mistral mistral-large-latest",
    "meterd prices show aws-textract detect-text",
    group=prices,
)
_add(
    prices_import.import_,
    "meterd prices import litellm model_prices_and_context_window.json --output prices.toml",
    "meterd prices import genai-prices --service openai --service anthropic --output prices.toml",
    "meterd prices import models-dev models.dev/providers/openai --effective 2026-12-01 --output prices.toml",
    group=prices,
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

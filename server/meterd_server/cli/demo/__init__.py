"""The command that shows what meterd does: a real daemon, real calls, and sums that must come out."""

import asyncio
import signal
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

import meterd
from meterd_server.cli.cards import to_client
from meterd_server.cli.demo import audit, report
from meterd_server.cli.demo.daemon import DemoError, running_daemon
from meterd_server.cli.demo.scenario import play
from meterd_server.cli.demo.services import cards
from meterd_server.cli.exits import Exit, exit_of
from meterd_server.cli.output import complain, say, show


def demo(
    db: Annotated[
        str | None, typer.Option(metavar="PATH", help="Keep the ledger in this file. Default: a temporary one.")
    ] = None,
) -> None:
    """Show it all with a real daemon, in seconds.

    Three users use three services at once, and are charged what the rate cards say; one runs out, one call is sent twice, money is
    held before it is spent, and every microcent is accounted for.

    Exits 0 when it all adds up and the daemon stopped in good order, 1 when not.
    """
    with tempfile.TemporaryDirectory(prefix="meterd-demo-") as folder:
        log = Path(folder) / "daemon.log"
        try:
            asyncio.run(_demo(db or str(Path(folder) / "meterd.sqlite3"), log))
        except (DemoError, meterd.Error) as error:
            complain(f"demo: {error}")
            if log.exists() and (lines := log.read_text(encoding="utf-8", errors="replace").rstrip()):
                complain(f"the daemon's log:\n{lines}")
            raise typer.Exit(exit_of(error) if isinstance(error, meterd.Error) else Exit.NOT_COVERED) from None
        except (asyncio.CancelledError, KeyboardInterrupt):
            raise typer.Exit(Exit.INTERRUPTED) from None


async def _demo(db: str, log: Path) -> None:
    if task := asyncio.current_task():  # told to stop, the demo takes its daemon with it
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with running_daemon(db, log) as daemon:
        say(f"A daemon (process {daemon.process_id}) is listening on {daemon.address}, its ledger is {db}.\n")
        show(report.prices_table())
        async with meterd.AsyncClient(daemon.address) as client:
            began = time.perf_counter()
            await client.put_rate_cards(map(to_client, cards()))
            story = await play(client)
            seconds = time.perf_counter() - began
            accounts = await audit.read_back(client, story.users)
    changes = sum(len(account.entries) for account in accounts)
    say(f"{len(story.users)} users at once: {changes} changes, each durable when answered, in {seconds:.2f} s.\n")
    show(report.charges_table(accounts))
    show(report.balances_table(accounts))
    if wrong := [problem for account in accounts for problem in audit.problems(account)]:
        raise DemoError("\n".join(["it does not add up", *wrong]))
    for line in report.promises(story, accounts):
        say(line)
    if daemon.exit_code != 0:
        raise DemoError(f"the daemon stopped with exit code {daemon.exit_code} after SIGTERM")
    say(report.kept("the daemon was told to stop (SIGTERM), finished and exited with 0"))

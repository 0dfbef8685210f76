"""`python -m bench.coalesce`: 256 tasks recording costs, through the plain generated stub and through the coalescing client.

The plain stub has its turn on an empty gRPC server, too: on the daemon itself, whatever makes single calls faster makes what
coalescing gains look smaller. The servers have the first processor that this process may use, the clients the second; they take
turns. Nothing but loopback is spoken to.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from bench.figures import Ratio, Report, Row, machine
from bench.scenarios import Plan, ratios
from bench.servers import Measured, echo, measure_with, meterd

TASKS = 256


def coalescing(plan: Plan, report: Report, tasks: int = TASKS) -> None:
    """One client for many tasks, beside the plain stub, on the daemon and on an empty server."""
    core = (plan.server_processor,)
    ours, plain, empty = "coalescing client", "plain client", "plain client, empty server"
    with meterd(core, plan.folder / "coalescing.sqlite3") as daemon, echo(core, plan.folder) as nothing:
        sides = {ours: (daemon, "coalescing"), plain: (daemon, "plain"), empty: (nothing, "plain")}
        rounds: dict[str, list[Measured]] = {what: [] for what in sides}
        for _ in range(plan.rounds):
            for what, (server, client) in sides.items():
                arguments = ("bench.clients", server.address, client, str(tasks), str(plan.seconds))
                rounds[what].append(measure_with(server, (plan.load_processor,), *arguments))
    report.add(
        [Row(f"RecordCost, {tasks} tasks, {what}", server.name, rounds[what]) for what, (server, _) in sides.items()],
        Ratio(
            f"AsyncClient.record_cost from {tasks} tasks over the plain stub, calls/s",
            ratios(rounds[ours], rounds[plain], "per_second"),
            12,
        ),
        Ratio(
            f"AsyncClient.record_cost from {tasks} tasks over the plain stub on the empty server, calls/s",
            ratios(rounds[ours], rounds[empty], "per_second"),
        ),
        Ratio(
            f"AsyncClient.record_cost from {tasks} tasks over the plain stub, p99",
            ratios(rounds[ours], rounds[plain], "p99_ms"),
            at_most=1,
        ),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.coalesce", description=__doc__)
    parser.add_argument("--tasks", type=int, default=TASKS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each round")
    options = parser.parse_args()
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        raise SystemExit("two processors are needed: one for the daemon, one for the clients")
    print(f"{machine()}; medians of {options.rounds} rounds of {options.seconds:g} s")
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(Path(folder), processors[0], processors[1], options.rounds, options.seconds)
        coalescing(plan, report, options.tasks)
    report.show()


if __name__ == "__main__":
    main()

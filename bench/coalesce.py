"""`python -m bench.coalesce`: 256 tasks recording costs, through the plain generated stub and through the coalescing client.

The daemon has the first processor that this process may use, the clients the second; they take turns. Nothing but loopback is
spoken to.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from bench.figures import Ratio, Report, Row, machine
from bench.scenarios import Plan
from bench.servers import Measured, measure_with, meterd

TASKS = 256


def coalescing(plan: Plan, report: Report, tasks: int = TASKS) -> None:
    """One client for many tasks, beside the plain stub."""
    rounds: dict[str, list[Measured]] = {"plain": [], "coalescing": []}
    with meterd((plan.server_processor,), plan.folder / "coalescing.sqlite3") as daemon:
        for _ in range(plan.rounds):
            for client, taken in rounds.items():
                arguments = ("bench.clients", daemon.address, client, str(tasks), str(plan.seconds))
                taken.append(measure_with(daemon, (plan.load_processor,), *arguments))
    pairs = list(zip(rounds["coalescing"], rounds["plain"], strict=True))
    report.add(
        [Row(f"RecordCost, {tasks} tasks, {client} client", "meterd", taken) for client, taken in rounds.items()],
        Ratio(
            f"AsyncClient.record_cost from {tasks} tasks over the plain stub, calls/s",
            [ours.per_second / theirs.per_second for ours, theirs in pairs],
            12,
        ),
        Ratio(
            f"AsyncClient.record_cost from {tasks} tasks over the plain stub, p99",
            [ours.p99_ms / theirs.p99_ms for ours, theirs in pairs],
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

"""`python -m bench`: the daemon beside an empty gRPC server and beside raw SQLite, in one run, as ratios.

Servers are pinned to the first processor this process may use and the load to the second, where a scenario does not say that
they share both; they take turns, so that a machine that slows down slows all. Each figure is the median of the rounds. Nothing
but loopback is spoken to. `make bench` writes its report to bench/report.md.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from bench import scenarios
from bench.figures import Report, machine

SCENARIOS = {
    "unary": scenarios.unary,
    "batches": scenarios.batches,
    "rating": scenarios.rating,
    "hot": scenarios.hot,
    "memory": scenarios.memory,
    "large": scenarios.large,
}
BY_DEFAULT = [name for name in SCENARIOS if name != "large"]


def main() -> None:
    """Run the scenarios and write the report."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("scenario", nargs="*", choices=[[], *SCENARIOS], help=f"default: {' '.join(BY_DEFAULT)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each round")
    parser.add_argument(
        "--report", type=Path, help="where the report goes; bench/report.md says what `make bench` found"
    )
    options = parser.parse_args()
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        raise SystemExit("two processors are needed: one for the servers, one for the load")
    print(f"{machine()}; medians of {options.rounds} rounds of {options.seconds:g} s")
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        plan = scenarios.Plan(Path(folder), processors[0], processors[1], options.rounds, options.seconds)
        for name in options.scenario or BY_DEFAULT:
            print(f"{name}:")
            SCENARIOS[name](plan, report)
    report.show()
    if options.report:
        options.report.write_text(report.markdown("python -m bench " + " ".join(options.scenario)))
        print(f"written to {options.report}")


if __name__ == "__main__":
    main()

"""`make prove`: run the proofs, print what was injected and what was survived, and keep it in REPORT.md.

Exit code 1 when anything was not survived; the first difference of each round that failed is printed, with its seed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from prove.proofs import HERE, Proof, Tally, all_proofs, run_rounds
from prove.report import Ran, table, write

PROCESSES = 2
PIECES_A_POOL = 40
REPORT = HERE / "REPORT.md"
console = Console()


def run(proof: Proof, seeds: list[int], progress: Progress) -> Ran:
    """Run the rounds of a proof, a few at a time in processes of their own."""
    began = time.monotonic()
    total = Tally()
    bar = progress.add_task(proof.name, total=len(seeds))
    # Small pieces keep both busy; a piece of one round would spend more on the way than in the round.
    each = max(1, min(50, len(seeds) // 40))
    pieces = [seeds[start : start + each] for start in range(0, len(seeds), each)]
    context = get_context("spawn")
    # New processes now and then: what a round leaves behind in its process is not to add up.
    for begin in range(0, len(pieces), PIECES_A_POOL):
        with ProcessPoolExecutor(1 if proof.alone else PROCESSES, context) as pool:
            waiting = {
                pool.submit(run_rounds, proof.name, piece, alone=proof.alone): piece
                for piece in pieces[begin : begin + PIECES_A_POOL]
            }
            for future in as_completed(waiting):
                tally = future.result()
                for failure in tally.failures:
                    progress.console.print(f"NOT SURVIVED {failure}", style="red", highlight=False, markup=False)
                total.add(tally)
                progress.advance(bar, len(waiting[future]))
    return Ran(proof.name, proof.what, total, time.monotonic() - began)


def main() -> int:
    """Run what the arguments name, everything without any."""
    parser = argparse.ArgumentParser(prog="make prove", description=__doc__)
    parser.add_argument("names", nargs="*", help="proofs to run; all of them without any")
    parser.add_argument("--seed", type=int, action="append", help="run this round only")
    parser.add_argument("--rounds", type=int, help="run so many rounds instead of the size's")
    options = parser.parse_args()
    size = os.environ.get("PROVE", "short")
    proofs = all_proofs()
    if unknown := set(options.names) - proofs.keys():
        parser.error(f"there is no proof {', '.join(sorted(unknown))}; there are {', '.join(proofs)}")
    chosen = [proofs[name] for name in options.names or proofs]
    results = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        for each in chosen:
            seeds = options.seed or (list(range(options.rounds)) if options.rounds else each.seeds_of(size))
            results.append(run(each, seeds, progress))
    console.print(table(results))
    if not options.seed:
        write(REPORT, results, set(proofs))
    for ran in results:
        if ran.tally.not_here:
            console.print(f"not run here: {ran.name}: {ran.tally.not_here}", style="yellow", markup=False)
        for failure in ran.tally.failures[:1]:
            console.print(f"NOT SURVIVED {failure}", style="red", highlight=False, markup=False)
    return 0 if all(ran.tally.held for ran in results) else 1


if __name__ == "__main__":
    sys.exit(main())

"""`python -m bench`: the daemon beside an empty gRPC server, on the same machine in the same minutes, as ratios.

Both servers are pinned to the first processor this process may use and the load to the second, and they take turns: a machine that
slows down slows both. Each figure is the median of the rounds. Nothing but loopback is spoken to.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.fill import fill, touch_accounts

FILL_USERS = 100_000
FILL_ENTRIES = 1_000_000


class Server(NamedTuple):
    """A server under measurement."""

    name: str
    process: subprocess.Popen[str]
    address: str

    def processor_seconds(self) -> float:
        """Processor time used so far, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_megabytes(self) -> float:
        """Memory in use now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024


@contextmanager
def serving(name: str, core: int, log: Path, *arguments: str) -> Iterator[Server]:
    """Start a server on a core of its own, with its log in a file; end it by its id."""
    command = ["taskset", "-c", str(core), sys.executable, "-m", *arguments]
    with log.open("w") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
        try:
            line = process.stdout.readline() if process.stdout else ""
            if " listening on " not in line:
                raise SystemExit(f"{name} did not start: {log.read_text()}")
            yield Server(name, process, line.split()[-1])
        finally:
            process.terminate()
            process.wait()
            if process.stdout:
                process.stdout.close()


def meterd(core: int, folder: Path, database: Path) -> AbstractContextManager[Server]:
    """The daemon as anyone starts it: default settings, one log line a call, into a file."""
    arguments = ("meterd_server", "serve", "--listen", "127.0.0.1:0", "--db", str(database))
    return serving("meterd", core, folder / f"{database.stem}.log", *arguments)


def measure(server: Server, core: int, in_flight: int, seconds: float) -> dict[str, float]:
    """One round of load on a server."""
    before = server.processor_seconds()
    command = [
        "taskset",
        "-c",
        str(core),
        sys.executable,
        "-m",
        "bench.load",
        server.address,
        str(in_flight),
        str(seconds),
    ]
    figures: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if figures["errors"]:
        raise SystemExit(f"{figures['errors']} calls to {server.name} failed: the round counts for nothing")
    figures["cpu_us_a_call"] = (server.processor_seconds() - before) * 1e6 / figures["all_calls"]
    return figures


def compare(servers: tuple[Server, Server], core: int, in_flight: int, rounds: int, seconds: float) -> None:
    """Rounds in turn; the medians of each server and the median of the ratios round by round."""
    taken: dict[str, list[dict[str, float]]] = {server.name: [] for server in servers}
    for _ in range(rounds):
        for server in servers:
            taken[server.name].append(measure(server, core, in_flight, seconds))
    for name, figures in taken.items():
        median = {key: statistics.median(figure[key] for figure in figures) for key in figures[0]}
        print(
            f"{name:8} {in_flight:3} in flight  {median['per_second']:8,.0f}/s   p50 {median['p50_ms']:6.2f} ms"
            f"   p99 {median['p99_ms']:6.2f} ms   cpu {median['cpu_us_a_call']:4.0f} us a call   load {median['load_cpu']:.0%} busy"
        )
    for label, key in (("calls a second", "per_second"), ("p50", "p50_ms"), ("cpu a call", "cpu_us_a_call")):
        ratios = sorted(ours[key] / theirs[key] for theirs, ours in zip(taken["echo"], taken["meterd"], strict=True))
        print(f"  {label}: {statistics.median(ratios):.2f} x the echo ({ratios[0]:.2f} to {ratios[-1]:.2f})")


def main() -> None:
    """Run it all and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each round")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("two processors are needed: one for the servers, one for the load")
    print(
        f"{platform.platform()}, Python {platform.python_version()}, {len(cores)} cores; medians of {options.rounds} rounds"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            serving("echo", cores[0], folder / "echo.log", "bench.echo") as echo,
            meterd(cores[0], folder, folder / "empty.sqlite3") as daemon,
        ):
            for in_flight in (64, 1):
                compare((echo, daemon), cores[1], in_flight, options.rounds, options.seconds)
        asyncio.run(fill(folder / "full.sqlite3", users=FILL_USERS, entries=FILL_ENTRIES))
        with meterd(cores[0], folder, folder / "full.sqlite3") as daemon:
            asyncio.run(touch_accounts(daemon.address, FILL_USERS))
            measure(daemon, cores[1], 64, options.seconds)
            megabytes = daemon.resident_megabytes()
        print(
            f"resident memory with {FILL_USERS:,} accounts in memory, {FILL_ENTRIES:,} entries, under load: {megabytes:.0f} MB"
        )


if __name__ == "__main__":
    main()

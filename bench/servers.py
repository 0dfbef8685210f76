"""The servers under measurement, each on processors of its own, and what they use of the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from meterd_server.load import Load

Processors = Sequence[int]


class Server(NamedTuple):
    """A server under measurement."""

    name: str
    process: subprocess.Popen[str]
    address: str

    def processor_seconds(self) -> float:
        """Processor time used so far, user and system, with what its child processes used."""
        ticks = 0
        for process_id in self._process_ids():
            fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def resident_megabytes(self) -> float:
        """Memory in use now."""
        kibibytes = 0
        for process_id in self._process_ids():
            status = Path(f"/proc/{process_id}/status").read_text()
            kibibytes += int(status.split("VmRSS:")[1].split()[0])
        return kibibytes / 1024

    def _process_ids(self) -> list[str]:
        main = str(self.process.pid)
        return [main, *Path(f"/proc/{main}/task/{main}/children").read_text().split()]


class Measured(NamedTuple):
    """One round of load on one server."""

    per_second: float
    p50_ms: float
    p99_ms: float
    processor_us: float
    """Of the server, for each operation."""
    megabytes: float
    """Of the server, resident, at the end."""
    load_share: float
    """Of its processor, what the load used."""


def _pinned(processors: Processors, *arguments: str) -> list[str]:
    return ["taskset", "-c", ",".join(map(str, processors)), sys.executable, "-m", *arguments]


@contextmanager
def serving(name: str, processors: Processors, log: Path, *arguments: str) -> Iterator[Server]:
    """Start a server, with its log in a file; end it by its id."""
    with log.open("w") as stderr:
        process = subprocess.Popen(_pinned(processors, *arguments), stdout=subprocess.PIPE, stderr=stderr, text=True)
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


@contextmanager
def echo(processors: Processors, folder: Path) -> Iterator[Server]:
    """The yardstick: an empty gRPC server."""
    with serving("echo", processors, folder / "echo.log", "bench.echo") as server:
        yield server


@contextmanager
def meterd(processors: Processors, database: Path, *flags: str, name: str = "meterd") -> Iterator[Server]:
    """The daemon as anyone starts it: default settings but for `flags`, one log line a call, into a file."""
    with meterd_on(str(database), processors, database.with_suffix(".log"), *flags, name=name) as server:
        yield server


@contextmanager
def meterd_on(db: str, processors: Processors, log: Path, *flags: str, name: str = "meterd") -> Iterator[Server]:
    """As `meterd`, on any database that `--db` takes."""
    arguments = ("meterd_server", "serve", "--listen", "127.0.0.1:0", "--db", db, *flags)
    with serving(name, processors, log, *arguments) as server:
        yield server


def measure(server: Server, processors: Processors, load: Load) -> Measured:
    """One round of load. Ends the program when a call fails: the round would count for nothing."""
    return measure_with(server, processors, "meterd_server.load", server.address, json.dumps(load._asdict()))


def measure_with(server: Server, processors: Processors, *arguments: str) -> Measured:
    """One round of what a module puts on the server and prints as `meterd_server.load.Figures`; else as `measure`."""
    before = server.processor_seconds()
    command = _pinned(processors, *arguments)
    taken = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if taken["errors"]:
        raise SystemExit(f"{taken['errors']} calls to {server.name} failed: the round counts for nothing")
    used_seconds = server.processor_seconds() - before
    return Measured(
        taken["operations_per_second"],
        taken["p50_ms"],
        taken["p99_ms"],
        used_seconds * 1e6 / taken["operations"],
        server.resident_megabytes(),
        taken["load_processor_share"],
    )

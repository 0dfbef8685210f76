"""What is compared with what. Each scenario starts its servers, lets them take turns, and adds figures and ratios to the report."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import grpc

from bench import rawsqlite
from bench.figures import Ratio, Report, Row
from bench.fill import fill, touch_accounts
from bench.servers import Measured, Server, echo, measure, meterd
from meterd import Client
from meterd.v1 import ledger_pb2, ledger_pb2_grpc
from meterd_server.load import RATE_CARD, Load

FILL_USERS, FILL_ENTRIES = 100_000, 1_000_000
LARGE_USERS, LARGE_ENTRIES = 2_000_000, 20_000_000


class Plan(NamedTuple):
    """Where and how long."""

    folder: Path
    server_processor: int
    load_processor: int
    rounds: int
    seconds: float

    @property
    def both(self) -> tuple[int, int]:
        """Both processors, for a server and a load that share them."""
        return self.server_processor, self.load_processor


def in_turns(plan: Plan, load: Load, servers: Sequence[Server], *, shared: bool = False) -> dict[str, list[Measured]]:
    """Rounds of one load on several servers, in turn, so that a machine that slows down slows all."""
    processors = plan.both if shared else (plan.load_processor,)
    taken: dict[str, list[Measured]] = {server.name: [] for server in servers}
    for _ in range(plan.rounds):
        for server in servers:
            taken[server.name].append(measure(server, processors, load))
    return taken


def ratios(ours: Sequence[Measured], theirs: Sequence[Measured], field: str) -> list[float]:
    """One figure of ours over theirs, round by round."""
    return [getattr(mine, field) / getattr(other, field) for mine, other in zip(ours, theirs, strict=True)]


def unary(plan: Plan, report: Report) -> None:
    """One call each, beside an empty gRPC server: many in flight, one, and Checks among costs at a steady rate."""
    core = (plan.server_processor,)
    with echo(core, plan.folder) as empty, meterd(core, plan.folder / "unary.sqlite3") as daemon:
        many = in_turns(plan, Load("cost", in_flight=64, seconds=plan.seconds), (empty, daemon))
        alone = in_turns(plan, Load("cost", in_flight=1, seconds=plan.seconds), (empty, daemon))
        # A third of what the empty server can do: both keep up, and answers are not waited for in line.
        rate = statistics.median(each.per_second for each in many["echo"]) / 3
        mixed = in_turns(plan, Load("mixed", per_second=rate, seconds=plan.seconds), (empty, daemon))
    for what, taken in (
        ("RecordCost, 64 in flight", many),
        ("RecordCost, 1 in flight", alone),
        (f"Check among as many RecordCost, {rate:,.0f}/s", mixed),
    ):
        report.add([Row(what, name, rounds) for name, rounds in taken.items()])
    report.add(
        (),
        Ratio(
            "RecordCost at 64 in flight, calls/s over the echo's",
            ratios(many["meterd"], many["echo"], "per_second"),
            1.15,
        ),
        Ratio(
            "RecordCost at 1 in flight, p50 over the echo's",
            ratios(alone["meterd"], alone["echo"], "p50_ms"),
            at_most=1.6,
        ),
        Ratio("Check among costs, p99 over the echo's", ratios(mixed["meterd"], mixed["echo"], "p99_ms"), at_most=1.2),
    )


def batches(plan: Plan, report: Report) -> None:
    """Batches of 1,000 and of 100, server and load sharing both processors, with and without a worker, beside raw SQLite.

    As many operations are under way in both: 4 batches of 1,000, or 40 of 100.
    """
    for operations, aim in ((1_000, 120_000), (100, 80_000)):
        load = Load("batch", in_flight=4_000 // operations, operations=operations, seconds=plan.seconds)
        raw: list[float] = []
        with (
            meterd(plan.both, plan.folder / f"batch-{operations}.sqlite3", name="alone") as alone,
            meterd(
                plan.both, plan.folder / f"worker-{operations}.sqlite3", "--workers", "1", name="1 worker"
            ) as worker,
        ):
            rounds: dict[str, list[Measured]] = {alone.name: [], worker.name: []}
            for _ in range(plan.rounds):
                for name, taken in in_turns(plan._replace(rounds=1), load, (alone, worker), shared=True).items():
                    rounds[name] += taken
                raw.append(rawsqlite.insert(plan.folder, entries=100_000, batch=operations))
        report.add([Row(f"Batch of {operations:,}", name, each) for name, each in rounds.items()])
        report.note(
            f"Batch of {operations:,}: raw SQLite inserts the same rows at {statistics.median(raw):,.0f}/s; the aim is "
            f"{aim:,}/s or 0.55 of that."
        )
        report.add(
            (),
            Ratio(
                f"Batch of {operations:,} with a worker, entries/s over raw SQLite's",
                [each.per_second / mine for each, mine in zip(rounds[worker.name], raw, strict=True)],
                0.55,
            ),
        )


def rating(plan: Plan, report: Report) -> None:
    """Batches of 1,000 of usage, which the daemon prices, beside as many costs of the same amounts, on one daemon in turns."""
    rounds: dict[str, list[Measured]] = {"charge": [], "usage": []}
    with meterd(plan.both, plan.folder / "rating.sqlite3") as daemon:
        with Client(daemon.address) as client:
            client.put_rate_cards([RATE_CARD])
        for _ in range(plan.rounds):
            for kind, taken in rounds.items():
                load = Load(kind, in_flight=4, operations=1_000, seconds=plan.seconds)
                taken.append(measure(daemon, plan.both, load))
    report.add(
        [
            Row(f"Batch of 1,000 {what}", "meterd", rounds[kind])
            for kind, what in (("charge", "costs"), ("usage", "usages"))
        ],
        Ratio("Usage over plain costs, entries/s", ratios(rounds["usage"], rounds["charge"], "per_second"), 1 / 1.15),
        Ratio(
            "Usage over plain costs, CPU of the daemon for each",
            ratios(rounds["usage"], rounds["charge"], "processor_us"),
            at_most=1.15,
        ),
    )


def hot(plan: Plan, report: Report) -> None:
    """One user's money, wanted by all, beside ten thousand users."""
    core = (plan.server_processor,)
    rounds: dict[int, list[Measured]] = {1: [], 10_000: []}
    with meterd(core, plan.folder / "hot.sqlite3") as daemon:
        for _ in range(plan.rounds):
            for users, taken in rounds.items():
                taken.append(measure(daemon, (plan.load_processor,), Load("cost", seconds=plan.seconds, users=users)))
    report.add(
        [Row(f"RecordCost, 64 in flight, {users:,} users", "meterd", taken) for users, taken in rounds.items()],
        Ratio("One user over 10,000 users, calls/s", ratios(rounds[1], rounds[10_000], "per_second"), 0.95),
    )


def memory(plan: Plan, report: Report) -> None:
    """Resident memory with as many accounts as are kept, under load."""
    database = plan.folder / "full.sqlite3"
    asyncio.run(fill(database, users=FILL_USERS, entries=FILL_ENTRIES))
    with meterd((plan.server_processor,), database) as daemon:
        asyncio.run(touch_accounts(daemon.address, FILL_USERS))
        measure(daemon, (plan.load_processor,), Load("cost", seconds=plan.seconds))
        report.note(
            f"Resident memory with {FILL_USERS:,} accounts in memory and {FILL_ENTRIES:,} entries in the file, under load: "
            f"{daemon.resident_megabytes():.0f} MB."
        )


def large(plan: Plan, report: Report) -> None:
    """A file of 20,000,000 entries beside an empty one, in batches; and how long such a file takes to open."""
    database = plan.folder / "large.sqlite3"
    asyncio.run(fill(database, users=LARGE_USERS, entries=LARGE_ENTRIES))
    load = Load("batch", in_flight=4, operations=1_000, seconds=plan.seconds)
    began = time.perf_counter()
    with meterd(plan.both, database, name="large") as daemon:
        asyncio.run(_first_answer(daemon.address))
        report.note(f"A file of {LARGE_ENTRIES:,} entries: open to first answer {time.perf_counter() - began:.2f} s.")
        with meterd(plan.both, plan.folder / "empty.sqlite3", name="empty") as empty:
            taken = in_turns(plan, load, (empty, daemon), shared=True)
    report.add(
        [Row("Batch of 1,000", f"{name} file", rounds) for name, rounds in taken.items()],
        Ratio("A large file over an empty one, entries/s", ratios(taken["large"], taken["empty"], "per_second"), 0.85),
    )


async def _first_answer(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        await ledger_pb2_grpc.LedgerServiceStub(channel).GetBalance(ledger_pb2.GetBalanceRequest(user_id="bench-1"))

"""`python -m bench.expiry`: a million open reservations expire at once, and what a caller feels of it.

They are made in batches and all come due at the same time. A caller sends a Check every two milliseconds before that, and until the
last has expired: its p99 is to be at most twice what it was, and the daemon's memory what it was. The daemon is on the first
processor, the caller on the second; with `--db postgresql://...` the server, which runs already, is wherever the kernel puts it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc

from bench.servers import Server, meterd_on
from meterd.v1 import ledger_pb2, ledger_pb2_grpc, metering_pb2, metering_pb2_grpc

USERS_A_BATCH = 200
RESERVATIONS_A_USER = 20
CHECK_SECONDS = 0.002
BEFORE_SECONDS = 20.0
MADE_A_SECOND = 6_000
"""How many are taken to be made a second, at least: all are due after the last was made."""


class Expiry:
    """Reservations that come due together, and one caller."""

    def __init__(self, channel: grpc.aio.Channel, count: int, made_a_second: int) -> None:
        self._metering = metering_pb2_grpc.MeteringServiceStub(channel)
        self._ledger = ledger_pb2_grpc.LedgerServiceStub(channel)
        self._users = max(1, count // RESERVATIONS_A_USER)
        self.due_at = time.time() + count / made_a_second + BEFORE_SECONDS + 10

    async def reserve(self) -> None:
        """Make them all."""
        for first in range(0, self._users, USERS_A_BATCH):
            users = range(first, min(first + USERS_A_BATCH, self._users))
            batch = metering_pb2.BatchRequest(operations=[each for user in users for each in self._operations(user)])
            response = await self._metering.Batch(batch)
            if any(result.HasField("status") for result in response.results):
                raise SystemExit("a reservation was refused: the run counts for nothing")

    def _operations(self, user: int) -> list[metering_pb2.Operation]:
        name, left = f"user-{user}", {"seconds": int(self.due_at - time.time())}
        operations = [
            metering_pb2.Operation(record_funding={"user_id": name, "request_id": "in", "amount_microcents": 1_000})
        ]
        for number in range(RESERVATIONS_A_USER):
            reserve = {"user_id": name, "request_id": f"r{number}", "amount_microcents": 1, "ttl": left}
            operations.append(metering_pb2.Operation(reserve=reserve))
        return operations

    async def checks_ms(self, until: float) -> list[float]:
        """How long each Check took, up to a time."""
        return [each async for each in self._checks(until)]

    async def checks_until_all_expired_ms(self) -> list[float]:
        """How long each Check took, until no user holds anything."""
        taken: list[float] = []
        user = 0
        async for each in self._checks(float("inf")):
            taken.append(each)
            if len(taken) % 100 == 0:
                while user < self._users and not await self._held(user):
                    user += max(1, self._users // 1000)  # it is a sample, in the order in which they come due
                if user >= self._users and not await self._held(self._users - 1):
                    break
        return taken

    async def _held(self, user: int) -> int:
        answer = await self._ledger.GetBalance(ledger_pb2.GetBalanceRequest(user_id=f"user-{user}"))
        return answer.balance.held_microcents

    async def _checks(self, until: float) -> AsyncIterator[float]:
        number = 0
        while time.time() < until:
            number += 1
            began = time.perf_counter()
            await self._metering.Check(metering_pb2.CheckRequest(user_id=f"user-{number % self._users}"))
            yield (time.perf_counter() - began) * 1e3
            await asyncio.sleep(CHECK_SECONDS)


async def expire(server: Server, count: int, made_a_second: int) -> float:
    """Run and print; Check's p99 while they expire, over that before."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        run = Expiry(channel, count, made_a_second)
        began = time.perf_counter()
        await run.reserve()
        made_seconds = time.perf_counter() - began
        megabytes = server.resident_megabytes()
        before = await run.checks_ms(run.due_at - 2)
        await asyncio.sleep(max(0.0, run.due_at - time.time()))
        began = time.perf_counter()
        during = await run.checks_until_all_expired_ms()
        seconds = time.perf_counter() - began
    p99_before, p99_during = (statistics.quantiles(each, n=100)[98] for each in (before, during))
    print(
        f"{count:,} reservations, made in {made_seconds:.0f} s ({count / made_seconds:,.0f}/s), expired in {seconds:.0f} s "
        f"({count / seconds:,.0f}/s); Check p99 {p99_before:.2f} ms before "
        f"({len(before):,} calls), {p99_during:.2f} ms meanwhile ({len(during):,} calls, {max(during):.1f} ms at most): "
        f"{p99_during / p99_before:.2f} x; resident memory {megabytes:.0f} MB before, {server.resident_megabytes():.0f} MB after"
    )
    return p99_during / p99_before


def main() -> None:
    """Start a daemon and let its reservations expire."""
    parser = argparse.ArgumentParser(prog="python -m bench.expiry", description=__doc__)
    parser.add_argument("--reservations", type=int, default=1_000_000)
    parser.add_argument("--db", help="an empty database to use in place of a new SQLite file")
    parser.add_argument("--made-a-second", type=int, default=MADE_A_SECOND, help="how many can be made, at least")
    options = parser.parse_args()
    first, second, *_ = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {second})
    with tempfile.TemporaryDirectory() as folder:
        database = options.db or str(Path(folder) / "expiry.sqlite3")
        with meterd_on(database, (first,), Path(folder) / "log") as server:
            ratio = asyncio.run(expire(server, options.reservations, options.made_a_second))
        if ratio > 2:
            raise SystemExit("Check waited more than twice as long")


if __name__ == "__main__":
    main()

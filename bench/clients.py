"""`python -m bench.clients ADDRESS CLIENT TASKS SECONDS`: costs recorded by many tasks at once, through one client or another.

CLIENT is "plain", the generated stub; "coalescing", `meterd.AsyncClient` as it comes; or "alone", the same with coalescing off.
Every task waits for its answer, looks at the balance in it and goes on. Prints one JSON object, as `meterd_server.load` does.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import uvloop

import meterd
from meterd.v1 import metering_pb2, metering_pb2_grpc
from meterd_server.load import COST_MICROCENTS, WARMUP_SECONDS, Figures

USERS = 10_000

Record = Callable[[str], Awaitable[int]]
"""Records a cost of a user and returns the balance."""


@asynccontextmanager
async def _plain(address: str) -> AsyncIterator[Record]:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = metering_pb2_grpc.MeteringServiceStub(channel)

        async def record(user_id: str) -> int:
            request = metering_pb2.RecordCostRequest(
                user_id=user_id,
                request_id=meterd.new_request_id(),
                cost_microcents=COST_MICROCENTS,
                service="bench",
            )
            return (await stub.RecordCost(request)).balance.balance_microcents

        yield record


@asynccontextmanager
async def _ours(address: str, *, coalesce: bool) -> AsyncIterator[Record]:
    async with meterd.AsyncClient(address, coalesce=coalesce) as client:

        async def record(user_id: str) -> int:
            return (await client.record_cost(user_id, COST_MICROCENTS, service="bench")).balance.balance_microcents

        yield record


async def run(address: str, client: str, tasks: int, seconds: float) -> Figures:
    """Record costs for `seconds` after a warm-up. Raises what the client raises: a failed call makes the run worthless."""
    latencies_seconds: list[float] = []
    operations = 0
    clock = time.perf_counter
    connected = _plain(address) if client == "plain" else _ours(address, coalesce=client == "coalescing")
    async with connected as record:
        await record("bench-0")  # the connection is not part of the figures
        began = clock() + WARMUP_SECONDS
        ends = began + seconds

        async def caller(user: int) -> None:
            nonlocal operations
            while (sent := clock()) < ends:
                user = (user + tasks) % USERS
                await record(f"bench-{user}")
                operations += 1
                if sent >= began:
                    latencies_seconds.append(clock() - sent)

        processor_seconds = time.process_time()
        await asyncio.gather(*[caller(number) for number in range(tasks)])
        processor_seconds = time.process_time() - processor_seconds
    latencies = sorted(latencies_seconds)
    return Figures(
        len(latencies) / seconds,
        latencies[len(latencies) // 2] * 1000,
        latencies[len(latencies) * 99 // 100] * 1000,
        0,
        operations,
        processor_seconds / (seconds + WARMUP_SECONDS),
    )


if __name__ == "__main__":
    figures = uvloop.run(run(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
    print(json.dumps(figures._asdict()))

"""A closed loop of unary calls through the plain generated stub: `python -m bench.load ADDRESS IN_FLIGHT SECONDS`.

Prints one JSON object: calls and per_second counted after a warm-up, p50_ms, p99_ms, errors (any makes the run worthless), and
load_cpu, the share of its core that this side used: near 1, the load is what is measured.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import grpc

from meterd import new_request_id
from meterd.v1 import metering_pb2, metering_pb2_grpc

USERS = 10_000
WARMUP_SECONDS = 0.5


async def measure(address: str, in_flight: int, seconds: float) -> dict[str, float]:
    """Keep `in_flight` calls going for `seconds` after a warm-up; what they took."""
    latencies: list[float] = []
    errors = all_calls = 0
    clock = time.perf_counter
    async with grpc.aio.insecure_channel(address) as channel:
        record_cost = metering_pb2_grpc.MeteringServiceStub(channel).RecordCost
        await channel.channel_ready()
        began = clock() + WARMUP_SECONDS
        ends = began + seconds

        async def caller(number: int) -> None:
            nonlocal errors, all_calls
            user = number
            while (sent := clock()) < ends:
                user = (user + in_flight) % USERS
                request = metering_pb2.RecordCostRequest(
                    user_id=f"user-{user}", request_id=new_request_id(), cost_microcents=5_000, service="bench"
                )
                try:
                    await record_cost(request)
                except grpc.RpcError:
                    errors += 1
                all_calls += 1
                if sent >= began:
                    latencies.append(clock() - sent)

        processor = time.process_time()
        await asyncio.gather(*(caller(number) for number in range(in_flight)))
        processor = time.process_time() - processor
    latencies.sort()
    return {
        "calls": len(latencies),
        "all_calls": all_calls,
        "per_second": len(latencies) / seconds,
        "p50_ms": latencies[len(latencies) // 2] * 1000,
        "p99_ms": latencies[len(latencies) * 99 // 100] * 1000,
        "errors": errors,
        "load_cpu": processor / (seconds + WARMUP_SECONDS),
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))))

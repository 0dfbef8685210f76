"""Load on any daemon, and what it took: the core of `meterd bench` and of this repository's own measurements.

Calls go through the plain generated stub, so that the client library's own work is not part of the figures; of what a Batch
answers only the kind of each result is looked at, so that reading it is hardly a part either. The accounts are
`bench-0` to `bench-9999`, or one of them; only costs are recorded, and Checks asked. For usage the daemon has to have `RATE_CARD`.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

import grpc

from meterd import RateCard, new_request_id
from meterd._parts import RESULT_TAGS, batch_rpc
from meterd.v1 import metering_pb2, metering_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Send = Callable[[int], Awaitable[int]]

COST_MICROCENTS = 5_000
_PICOCENTS_PER_MICROCENT = 1_000_000
_INPUT_PICOCENTS, _OUTPUT_PICOCENTS = 2_000_000, 6_500_000
RATE_CARD = RateCard(
    "bench",
    "large",
    {"input_tokens": _INPUT_PICOCENTS, "output_tokens": _OUTPUT_PICOCENTS},
    source="meterd bench",
)
"""What the usage of a load is charged by."""
WARMUP_SECONDS = 0.5

_RECORDED = RESULT_TAGS["record_cost"]
"""What a result begins with that is no failure."""


class Load(NamedTuple):
    """What is sent: `kind` is "cost" or "check" (one call each), "batch", "usage", "charge" or "mixed".

    "batch" is costs in Batch calls, all the same; "usage" is usage there, and "charge" costs that the same usage comes to.
    "mixed" sends `per_second` calls a second, whatever the answers take, a Check and a RecordCost in turn, and times the Checks
    from the moment at which each was due. The others keep `in_flight` calls going.
    """

    kind: str
    in_flight: int = 64
    operations: int = 1
    """In each Batch."""
    per_second: float = 0.0
    seconds: float = 3.0
    users: int = 10_000


class Figures(NamedTuple):
    """What a load took, after a warm-up."""

    operations_per_second: float
    p50_ms: float
    p99_ms: float
    errors: int
    """Calls, and operations in batches, that failed: any makes the other figures worthless."""
    operations: int
    """In all, with those of the warm-up."""
    load_processor_share: float
    """Of one processor, what this side used: near 1, the load is what is measured."""


async def run(address: str, load: Load) -> Figures:
    """Put the load on the daemon at `address`. Raises `grpc.RpcError` if it cannot be reached."""
    options = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(address, options) as channel:
        await asyncio.wait_for(channel.channel_ready(), 10)
        return await _Run(channel, load).figures()


class _Run:
    def __init__(self, channel: grpc.aio.Channel, load: Load) -> None:
        self._stub: metering_pb2_grpc.MeteringServiceAsyncStub = metering_pb2_grpc.MeteringServiceStub(channel)
        self._batch_rpc = batch_rpc(channel, metering_pb2.BatchRequest.SerializeToString)
        self._load = load
        self._latencies_seconds: list[float] = []
        self._errors = 0
        self._operations = 0
        self._counted = 0

    async def figures(self) -> Figures:
        sends: dict[str, Send] = {
            "check": self._check,
            "batch": self._batch,
            "usage": self._batch,
            "charge": self._batch,
        }
        send = sends.get(self._load.kind, self._cost)
        began = time.perf_counter() + WARMUP_SECONDS
        processor_seconds = time.process_time()
        if self._load.kind == "mixed":
            await self._paced(began)
        else:
            await asyncio.gather(*[self._closed_loop(number, send, began) for number in range(self._load.in_flight)])
        processor_seconds = time.process_time() - processor_seconds
        latencies = sorted(self._latencies_seconds) or [0.0]
        return Figures(
            self._counted / self._load.seconds,
            latencies[len(latencies) // 2] * 1000,
            latencies[len(latencies) * 99 // 100] * 1000,
            self._errors,
            self._operations,
            processor_seconds / (self._load.seconds + WARMUP_SECONDS),
        )

    async def _closed_loop(self, number: int, send: Send, began: float) -> None:
        ends = began + self._load.seconds
        user = number * self._load.operations
        while (sent := time.perf_counter()) < ends:
            user += self._load.in_flight * self._load.operations
            await self._timed(send, user, since=sent, counts=sent >= began)

    async def _paced(self, began: float) -> None:
        step_seconds = 1 / self._load.per_second
        calls = set()
        due, number = time.perf_counter(), 0
        while due < began + self._load.seconds:
            await asyncio.sleep(due - time.perf_counter())
            while due <= time.perf_counter():
                send = self._check if number % 2 else self._cost
                counts = due >= began and bool(number % 2)
                call = asyncio.ensure_future(self._timed(send, number, since=due, counts=counts))
                calls.add(call)
                call.add_done_callback(calls.discard)
                number += 1
                due += step_seconds
        await asyncio.gather(*calls)

    async def _timed(self, send: Send, user: int, *, since: float, counts: bool) -> None:
        try:
            operations = await send(user)
        except grpc.RpcError:
            self._errors += 1
            return
        self._operations += operations
        if counts:
            self._counted += operations
            self._latencies_seconds.append(time.perf_counter() - since)

    async def _cost(self, user: int) -> int:
        await self._stub.RecordCost(self._fill(metering_pb2.RecordCostRequest(), user))
        return 1

    async def _check(self, user: int) -> int:
        await self._stub.Check(metering_pb2.CheckRequest(user_id=self._user_id(user)))
        return 1

    async def _batch(self, user: int) -> int:
        request = metering_pb2.BatchRequest()
        for place in range(self._load.operations):
            self._fill(request.operations.add().record_cost, user + place)
        results: list[bytes] = (await self._batch_rpc(request)).parts
        recorded = [result[: len(_RECORDED)] for result in results].count(_RECORDED)
        self._errors += self._load.operations - recorded
        return len(results)

    def _fill(self, request: metering_pb2.RecordCostRequest, user: int) -> metering_pb2.RecordCostRequest:
        request.user_id = self._user_id(user)
        request.request_id = new_request_id()
        if self._load.kind == "usage":
            usage = request.usage
            usage.service, usage.model = RATE_CARD.service, RATE_CARD.model
            usage.quantities["input_tokens"], usage.quantities["output_tokens"] = _units(user)
        else:
            request.cost_microcents = _charge_microcents(user) if self._load.kind == "charge" else COST_MICROCENTS
            request.service = "bench"
        return request

    def _user_id(self, user: int) -> str:
        return f"bench-{user % self._load.users}"


def _units(user: int) -> tuple[int, int]:
    """Input and output tokens of one call."""
    return user % 8_191 + 1, user % 1_021


def _charge_microcents(user: int) -> int:
    """What these tokens come to by themselves."""
    input_tokens, output_tokens = _units(user)
    return (_INPUT_PICOCENTS * input_tokens + _OUTPUT_PICOCENTS * output_tokens) // _PICOCENTS_PER_MICROCENT

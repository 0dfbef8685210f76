"""Metered sessions in short."""

import asyncio
from contextlib import suppress

import grpc

from meterd.v1 import reservation_pb2

from .house import TIMEOUT_SECONDS


class Session:
    """One metered session, as its caller sees it; each method sends a message and returns what the answer holds."""

    def __init__(self, house):
        self.call = house.metering.Meter(timeout=TIMEOUT_SECONDS)

    async def open(self, slice_microcents=100, *, user_id="ada", **more):
        """Begin the session."""
        fields = {"user_id": user_id, "slice_microcents": slice_microcents} | more
        return await self.send(open=reservation_pb2.MeterOpen(**fields))

    async def report(self, cost_microcents=10, **more):
        """Say what was used."""
        fields = more if "usage" in more else {"cost_microcents": cost_microcents} | more
        return await self.send(report=reservation_pb2.MeterReport(**fields))

    async def close(self):
        """End the session."""
        return await self.send(close=reservation_pb2.MeterClose())

    async def send(self, **message):
        """Send a message and return the answer to it."""
        await self.call.write(reservation_pb2.MeterRequest(**message))
        answer = await self.call.read()
        return getattr(answer, answer.WhichOneof("message"))


async def until(house, condition, user_id="ada"):
    """Wait until something holds for the balance: it comes about when the server has noticed that a stream broke."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            with suppress(grpc.aio.AioRpcError):  # while the store is being reopened
                if condition(balance := await house.balance(user_id)):
                    return balance
            await asyncio.sleep(0.001)


def not_held(balance):
    """Whether nothing is held."""
    return balance.held_microcents == 0

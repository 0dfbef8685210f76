"""Streams of messages, pipelined: one is read while others are worked on and others are written, a bounded number at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import grpc

from meterd_server.errors import StoreUnavailable
from meterd_server.rpc.decode import Undecodable
from meterd_server.rpc.handlers import Context
from meterd_server.rpc.status import RequestError, invalid_argument

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.message import Message

    Begin = Callable[[Any], Awaitable[Awaitable[Message]]]
    Answers = asyncio.Queue[asyncio.Future[Message] | None]

MESSAGES_IN_FLIGHT_MAX = 8
"""How many messages of one stream are worked on or wait to be written; the next is not read before one is gone."""


class StreamContext(Context, Protocol):
    """The part of grpc.aio.ServicerContext that a streaming handler uses."""

    async def read(self) -> Any:  # noqa: ANN401 -- a message, or grpc.aio.EOF
        """The next message."""

    async def write(self, message: Message) -> None:
        """Send a message, when flow control lets it."""


class Streams:
    """The streams that are open."""

    def __init__(self) -> None:
        self._readings: set[asyncio.Task[None]] = set()
        self._leaving = False

    async def conduct(self, context: StreamContext, begin: Begin) -> None:
        """Answer each message in the order it came, until the caller is done.

        `begin(message)` is awaited before the next message is read; what it returns, awaited, is the answer. Raises
        `StoreUnavailable` after `leave`, when all that was read is answered, and what reading raised.
        """
        answers: Answers = asyncio.Queue(MESSAGES_IN_FLIGHT_MAX)
        reading = asyncio.ensure_future(_read(context, begin, answers))
        await asyncio.sleep(0)  # a task that is cancelled before it began would not say that it has ended
        self._readings.add(reading)
        if self._leaving:
            reading.cancel()
        answer: asyncio.Future[Message] | None = None
        try:
            while answer := await answers.get():
                await context.write(await answer)
            await asyncio.wait([reading])
            if reading.cancelled():
                raise StoreUnavailable("the server is stopping")
            reading.result()
        finally:
            reading.cancel()
            self._readings.discard(reading)
            _abandon(answer, answers)

    def leave(self) -> None:
        """Read no more from any stream, now or later."""
        self._leaving = True
        for reading in self._readings:
            reading.cancel()


async def _read(context: StreamContext, begin: Begin, answers: Answers) -> None:
    try:
        while (message := await context.read()) is not grpc.aio.EOF:
            if isinstance(message, Undecodable):
                raise RequestError(invalid_argument([message.violation]))
            await answers.put(asyncio.ensure_future(await begin(message)))
    finally:
        await answers.put(None)


def _abandon(answer: asyncio.Future[Message] | None, answers: Answers) -> None:
    """Let go of what nobody will read."""
    while True:
        if answer:
            answer.cancel()
        try:
            answer = answers.get_nowait()
        except asyncio.QueueEmpty:
            return

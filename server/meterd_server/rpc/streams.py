"""Streams of messages, pipelined: one is read while others are worked on and others are written, a bounded number at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import grpc

from meterd_server.errors import Overloaded, StoreUnavailable
from meterd_server.rpc.handlers import Context, decoded, send

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.message import Message

    Begin = Callable[[Any], Awaitable[Awaitable[Message | bytes]]]

MESSAGES_IN_FLIGHT_MAX = 8
"""How many messages of one stream are worked on or wait to be written; the next is not read before one is gone."""

STREAMS_OPEN_MAX = 2_000
"""How many streams may be open; who opens one more is told OVERLOADED."""

UNTAKEN_OPERATIONS_MAX = 20_000
"""From how many operations on, of all streams together, whose answers are not written yet, a stream with some of them reads no
more: callers who do not take their answers then cost no more memory, and one who does is answered a message at a time."""

UNTAKEN_OPERATIONS_LIMIT = 200_000
"""How many there may be in all; a stream whose next message would make them more ends with OVERLOADED."""


class StreamContext(Context, Protocol):
    """The part of grpc.aio.ServicerContext that a streaming handler uses."""

    async def read(self) -> Any:  # noqa: ANN401 -- a message, or grpc.aio.EOF
        """The next message."""

    async def write(self, message: Message | bytes) -> None:
        """Send a message, or the bytes of one where the method's answers are, when flow control lets it."""


def operation_count(message: Any) -> int:  # noqa: ANN401 -- any message that has some
    """How many operations a message has."""
    return len(message.operations)


class Streams:
    """The streams that are open."""

    def __init__(self) -> None:
        self._open: set[_Stream] = set()
        self._leaving = False
        self.untaken_operations = 0
        """Of all streams: what was read and whose answers are not written."""

    async def conduct(
        self, context: StreamContext, begin: Begin, count: Callable[[Any], int] = operation_count
    ) -> None:
        """Answer each message in the order it came, until the caller is done.

        `begin(message)` is awaited before the next message is read; what it returns, awaited, is the answer, which is as large as
        that of `count(message)` operations. Raises
        `Overloaded` if there is too much of it already, `StoreUnavailable` after `leave`, when all that was read is answered,
        `CallerGone`, and what reading raised.
        """
        if len(self._open) >= STREAMS_OPEN_MAX:
            raise Overloaded
        stream = _Stream(self, context, begin, count)
        self._open.add(stream)
        try:
            # A task that is cancelled before it began would not say that it has ended.
            await asyncio.sleep(0)
            if self._leaving:
                stream.reading.cancel()
            await stream.answer()
        finally:
            self._open.discard(stream)
            stream.abandon()

    def leave(self) -> None:
        """Read no more from any stream, now or later."""
        self._leaving = True
        for stream in self._open:
            stream.reading.cancel()


class _Begun(NamedTuple):
    """A message whose answer is not written yet."""

    answer: asyncio.Future[Message | bytes]
    operations: int


class _Stream:
    """One of them: a task that reads, beside the one that answers."""

    def __init__(self, streams: Streams, context: StreamContext, begin: Begin, count: Callable[[Any], int]) -> None:
        self._streams = streams
        self._context = context
        self._begin = begin
        self._count = count
        self._room = asyncio.Semaphore(MESSAGES_IN_FLIGHT_MAX)
        self._begun: asyncio.Queue[_Begun | None] = asyncio.Queue()
        self._now: _Begun | None = None
        self.reading = asyncio.ensure_future(self._read())

    async def answer(self) -> None:
        """Write the answers until nothing more is read. Raises `CallerGone`, and what reading raised."""
        while begun := await self._begun.get():
            self._now = begun
            answer = await begun.answer
            await send(self._context, answer)
            self._let_go(begun)
        await asyncio.wait([self.reading])
        if self.reading.cancelled():
            raise StoreUnavailable("the server is stopping")
        self.reading.result()

    def abandon(self) -> None:
        """Let go of what nobody will read."""
        self.reading.cancel()
        while True:
            if self._now:
                self._now.answer.cancel()
                self._let_go(self._now)
            try:
                self._now = self._begun.get_nowait()
            except asyncio.QueueEmpty:
                return

    def _let_go(self, begun: _Begun) -> None:
        self._now = None
        self._streams.untaken_operations -= begun.operations
        self._room.release()
        self._begun.task_done()

    async def _read(self) -> None:
        try:
            while (message := await self._next()) is not grpc.aio.EOF:
                message = decoded(message)
                operations = self._count(message)
                if self._streams.untaken_operations + operations > UNTAKEN_OPERATIONS_LIMIT:
                    raise Overloaded
                answer = asyncio.ensure_future(await self._begin(message))
                self._streams.untaken_operations += operations
                self._begun.put_nowait(_Begun(answer, operations))
        finally:
            self._begun.put_nowait(None)

    async def _next(self) -> Any:  # noqa: ANN401 -- a message, or grpc.aio.EOF
        """The next message, when there is room for it."""
        await self._room.acquire()
        if self._streams.untaken_operations >= UNTAKEN_OPERATIONS_MAX:
            await self._begun.join()
        return await self._context.read()

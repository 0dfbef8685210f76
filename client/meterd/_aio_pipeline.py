"""The asyncio client's batches on their way: over a stream, a message of which costs both sides half of what a call does."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc.aio

from meterd._aio_stream import connected, read, write

STREAM_SECONDS = 5.0
"""For how long a stream is used. A client at rest then keeps none open, and one behind a balancer is spread anew now and then."""

GOODBYE_SECONDS_MAX = 0.2
"""How long a client that is closed waits for the daemon to end a stream at rest, which is else logged as cancelled."""


class Pipeline:
    """Sends messages over one stream after the other, several at a time. `open_stream` calls the method that answers each."""

    def __init__(self, open_stream: Callable[[], Any]) -> None:
        self._open_stream = open_stream
        self._current: _Stream | None = None
        self._streams: set[_Stream] = set()

    async def exchange(self, request: Any) -> Any:  # noqa: ANN401 -- of classes that are made at run time
        """Send a message and return its answer.

        Who is cancelled gives the answer up, and disturbs nobody whose message goes over the same stream, unless flow control
        holds up their own in that moment: that ends the stream. Raises `grpc.RpcError`, or EOFError if the stream ended without a
        reason.
        """
        if self._current is None or not self._current.takes_more:
            self._current = _Stream(self._open_stream(), self._streams.discard)
            self._streams.add(self._current)
        return await self._current.exchange(request)

    async def close(self) -> None:
        """End every stream, whatever is under way."""
        await asyncio.gather(*[stream.close() for stream in self._streams])


class _Stream:
    """One call. Its answers come in the order of the messages; compared and hashed by identity."""

    def __init__(self, call: Any, on_end: Callable[["_Stream"], None]) -> None:  # noqa: ANN401 -- grpc.aio's are Any
        loop = asyncio.get_running_loop()
        self._call = call
        self._on_end = on_end
        self._writing = asyncio.Lock()  # gRPC takes one message at a time
        self._unanswered: deque[asyncio.Future[Any]] = deque()
        """Of each message that was sent; one whose sender has given it up stays in its place, and is done."""
        self._senders = 0
        self._is_retired = False
        self._error: grpc.RpcError | EOFError | None = None
        """What the stream ended with."""
        self._ending: asyncio.Task[None] | None = None
        self._retirement = loop.call_later(STREAM_SECONDS, self._retire)
        self._reading = loop.create_task(self._read(), name="meterd stream")

    @property
    def takes_more(self) -> bool:
        """Whether another message may be sent."""
        return not (self._is_retired or self._error)

    async def exchange(self, request: Any) -> Any:  # noqa: ANN401 -- see Pipeline
        """See `Pipeline.exchange`."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._senders += 1
        try:
            async with self._writing:
                await connected(self._call)
                if self._error:
                    raise self._error
                self._unanswered.append(answer)  # from here on there will be an answer, or no more answers at all
                if not await write(self._call, request):
                    self._is_retired = True
            return await answer
        except asyncio.CancelledError:
            # What is not answered in time may never be: nobody else is to wait behind it.
            self._is_retired = True
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # nobody else looks at it, and asyncio would complain
            raise
        finally:
            self._senders -= 1
            self._end_if_unused()

    async def close(self) -> None:
        """End the call, whatever is under way."""
        self._retirement.cancel()
        self._retire()
        await asyncio.wait([self._reading], timeout=GOODBYE_SECONDS_MAX)
        self._reading.cancel()
        await asyncio.wait([self._reading, *([self._ending] if self._ending else [])])

    def _retire(self) -> None:
        self._is_retired = True
        self._end_if_unused()

    def _end_if_unused(self) -> None:
        if not self._is_retired or self._senders or self._error or self._ending:
            return
        if self._unanswered:
            self._call.cancel()  # nobody wants the answers, and the daemon need not begin what it has not begun
        else:
            self._ending = asyncio.get_running_loop().create_task(self._half_close(), name="meterd stream ends")

    async def _half_close(self) -> None:
        with suppress(grpc.aio.InternalError):  # it is over
            await self._call.done_writing()
        await asyncio.wait([self._reading], timeout=STREAM_SECONDS)
        self._call.cancel()  # no more than it takes: it is over, unless the daemon does not end it

    async def _read(self) -> None:
        error: grpc.RpcError | EOFError = EOFError("the stream ended")
        try:
            while (message := await read(self._call)) is not grpc.aio.EOF and self._unanswered:
                answer = self._unanswered.popleft()
                if not answer.done():
                    answer.set_result(message)
        except (grpc.RpcError, EOFError) as end:
            error = end
        finally:
            self._error = error
            self._retirement.cancel()
            self._call.cancel()  # no more than it takes: it may be over
            for answer in self._unanswered:
                if not answer.done():
                    answer.set_exception(error)
            self._on_end(self)

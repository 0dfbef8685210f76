"""How a call gets from gRPC to its handler and back, for the methods that are called most.

grpc.aio asks for one call at a time, so that those that came together are seen one a turn of the event loop; it waits anew on every
method it has for each; and it gives a call two tasks, four rounds through gRPC's thread, and a look at what kind of function its
handler is. That is half of what a small call takes. Here many calls of a method are asked for at once; a call has one task, and one
that is answered without having to wait takes three rounds: nobody need watch meanwhile whether its caller hangs up.

This builds on parts of grpc.aio that are not public. Where they are not as known (`are_possible`), calls go the way that is.
"""

from __future__ import annotations

import asyncio
import inspect
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # its stubs leave it out, and it has no other name

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Mapping

CALLS_AT_ONCE = 16
"""How many calls of each method are asked for at once. Measured with 64 in flight: 4 are 7 % slower, 64 as fast."""

WATCH_SECONDS = 0.02
"""How long a call waits, once or twice, until it is watched whether its caller hangs up: most are answered before."""

_NO_FLAGS = 0


class Route(NamedTuple):
    """Stands in for grpc.HandlerCallDetails: all that is looked at there."""

    method: str


class Acceptors:
    """Takes the calls of some unary methods from a server that is started, and answers them.

    `services` are generic handlers, as the server has them, by the methods to take. They are asked for each call, and return the
    handler of a unary method, or one that takes a stream and does not read it: so a call is refused before its message is read.
    """

    def __init__(self, server: grpc.aio.Server, services: Mapping[str, grpc.GenericRpcHandler]) -> None:
        self._core = server._server  # type: ignore[attr-defined]  # noqa: SLF001 -- see above
        self._services = services if are_possible() else {}
        self._loop = asyncio.get_running_loop()
        self._waiting = _Waiting()
        self._acceptors: list[asyncio.Task[None]] = []
        self._calls: set[asyncio.Task[None]] = set()
        # Registered, so that they can be asked for by name; without handlers of their own, so that grpc.aio asks the service, too.
        self._core.add_registered_method_handlers(dict.fromkeys(self._services))

    def start(self) -> None:
        """Begin to take calls."""
        for method, service in self._services.items():
            for _ in range(CALLS_AT_ONCE):
                accepting = self._accept(Route(method), service.service)
                self._acceptors.append(self._loop.create_task(accepting, name=f"accept {method}"))

    async def stop(self) -> None:
        """Wait until the last call is over. The server has to be stopped."""
        # Not cancelled: gRPC would write to what it was given for a call that it has not found yet.
        await asyncio.gather(*self._acceptors, return_exceptions=True)
        if self._calls:
            await asyncio.wait(self._calls)

    async def _accept(self, route: Route, service: Callable[[Any], Any]) -> None:
        method = route.method.encode()
        while True:
            try:
                state = await self._core._request_registered_call(method)  # noqa: SLF001
            except cygrpc._RequestCallError:  # noqa: SLF001
                if self._core.is_running():
                    continue
                return
            call = self._loop.create_task(self._serve(state, service(route)), name=route.method)
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def _serve(self, state: Any, handler: Any) -> None:  # noqa: ANN401 -- gRPC's own
        request = None
        if not handler.request_streaming:
            receive = cygrpc.ReceiveMessageOperation(_NO_FLAGS)
            try:
                await cygrpc.execute_batch(state, (receive,), self._loop)
            except cygrpc.ExecuteBatchError:
                return
            if (message := receive.message()) is None:
                return  # the caller has hung up already
            request = handler.request_deserializer(message)
        behavior = handler.stream_stream if handler.request_streaming else handler.unary_unary
        answering = behavior(request, cygrpc._ServicerContext(state, None, None, self._loop))  # noqa: SLF001
        call = None
        try:
            try:
                awaited = answering.send(None)
            except StopIteration as done:
                answer = done.value
            else:
                call = self._waiting.begin(state)
                answer = await _Rest(answering, awaited)
                self._waiting.end(call)
            is_watched = call is not None and call.watching is not None
            finish = _finish(handler.response_serializer(answer), is_watched=is_watched)
            await cygrpc.execute_batch(state, finish, self._loop)
        except (grpc.aio.AbortError, cygrpc.ExecuteBatchError, asyncio.CancelledError):
            pass  # the status has been sent, or nobody listens
        finally:
            if call is not None:
                self._waiting.end(call)
                if call.watching is not None:
                    await call.watching


def _finish(answer: bytes, *, is_watched: bool) -> tuple[Any, ...]:
    """What sends the answer, and, unless that is watched for, waits until the call is over."""
    sending = (
        cygrpc.SendInitialMetadataOperation((), _NO_FLAGS),
        cygrpc.SendMessageOperation(answer, _NO_FLAGS),
        cygrpc.SendStatusFromServerOperation((), cygrpc.StatusCode.ok, "", _NO_FLAGS),
    )
    return sending if is_watched else (*sending, cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS))


class _Waiting:
    """The calls that wait for something, to be cancelled when their callers hang up or their time is over."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._young: set[_Call] = set()
        self._older: set[_Call] = set()
        self._look_is_due = False

    def begin(self, state: Any) -> _Call:  # noqa: ANN401
        """Note that the call of the task that runs waits."""
        call = _Call(state)
        self._young.add(call)
        if not self._look_is_due:
            self._look_is_due = True
            self._loop.call_later(WATCH_SECONDS, self._look)
        return call

    def end(self, call: _Call) -> None:
        """Cancel it no more."""
        call.is_over = True
        self._young.discard(call)
        self._older.discard(call)

    def _look(self) -> None:
        for call in self._older:
            call.watching = self._loop.create_task(self._watch(call), name="watch")
        self._older, self._young = self._young, set()
        self._look_is_due = bool(self._older)
        if self._look_is_due:
            self._loop.call_later(WATCH_SECONDS, self._look)

    async def _watch(self, call: _Call) -> None:
        close = cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS)
        await cygrpc.execute_batch(call.state, (close,), self._loop)
        # Not while the answer is sent: gRPC reads what it sends where it lies.
        if close.cancelled() and not call.is_over and call.task is not None:
            call.task.cancel()


class _Call:
    """A call that waits; compared and hashed by identity."""

    __slots__ = ("is_over", "state", "task", "watching")

    def __init__(self, state: Any) -> None:  # noqa: ANN401
        self.state = state
        self.task = asyncio.current_task()
        self.watching: asyncio.Task[None] | None = None
        """Is done when the call is over, however it ended; None as long as nobody watches."""
        self.is_over = False


class _Rest:
    """What remains of a coroutine that has run until it `awaited` something, to be awaited."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], awaited: Any) -> None:  # noqa: ANN401
        self._coroutine = coroutine
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, Any]:
        awaited = self._awaited
        while True:
            try:
                try:
                    yield awaited
                except BaseException as error:  # whatever it is, it is the coroutine's
                    awaited = self._coroutine.throw(error)
                else:
                    awaited = self._coroutine.send(None)
            except StopIteration as done:
                return done.value


def are_possible() -> bool:
    """Whether the grpcio that is installed has the parts that `Acceptors` builds on, as it knows them: from 1.84 on it has."""
    parts = {
        "execute_batch": ["grpc_call_wrapper", "operations", "loop"],
        "AioServer._request_registered_call": ["self", "method"],
        "AioServer.add_registered_method_handlers": ["self", "method_handlers"],
        "AioServer.is_running": ["self"],
    }
    classes = (
        *("_ServicerContext", "_RequestCallError", "ExecuteBatchError", "StatusCode"),
        *("ReceiveMessageOperation", "ReceiveCloseOnServerOperation"),
        *("SendInitialMetadataOperation", "SendMessageOperation", "SendStatusFromServerOperation"),
    )
    try:
        known = [list(inspect.signature(attrgetter(name)(cygrpc)).parameters) == each for name, each in parts.items()]
    except (AttributeError, ValueError, TypeError):
        return False
    return all(known) and all(hasattr(cygrpc, name) for name in classes)

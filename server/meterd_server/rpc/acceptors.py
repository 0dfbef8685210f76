"""How a call gets from gRPC to its handler and back, for the methods that are called most.

grpc.aio asks for one call at a time, so that those that came together are seen one a turn of the event loop; it waits anew on every
method it has for each; and it gives a call two tasks, four rounds through gRPC's thread, and a look at what kind of function its
handler is. That is half of what a small call takes. Here many calls of a method are asked for at once, each by a task that then
answers it and asks for the next; and a call that is answered without having to wait takes three rounds: nobody need watch meanwhile
whether its caller hangs up.

This builds on parts of grpc.aio that are not public. Where they are not as known (`are_possible`), calls go the way that is.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextlib import suppress
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # its stubs leave it out, and it has no other name

from meterd_server.rpc.handlers import task_is_cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Mapping

    Service = Callable[[Any], Any]
    """The method `service` of a generic handler."""

log = logging.getLogger(__name__)

ASKED_MIN = 16
"""How many calls of each method are asked for at once, at least. Measured with 64 in flight: 4 are 7 % slower, 64 as fast."""

ASKED_MAX = 64
"""Beyond that, who has answered a call asks for none: a crowd that comes in one wave holds up callers of other methods. With 900
Checks in flight, p95 of a lone GetBalance was 15 and 20 ms, with 256 68 and 130; 256 calls in flight are as fast with either."""

WATCH_SECONDS = 0.02
"""How long a call waits, once or twice, until it is watched whether its caller hangs up: most are answered before."""

_NO_FLAGS = 0


class Route(NamedTuple):
    """Stands in for grpc.HandlerCallDetails: all that is looked at there."""

    method: str


class _Method:
    """A method to take calls of."""

    def __init__(self, path: str, service: Service) -> None:
        self.name = path.encode()
        self.route = Route(path)
        self.service = service
        self.asked = 0
        """How many calls are asked for."""


class Acceptors:
    """Takes the calls of some unary methods from a server that is started, and answers them.

    `services` are generic handlers, as the server has them, by the methods to take. They are asked for each call, and return the
    handler of a unary method, or one that takes a stream and does not read it: so a call is refused before its message is read.
    What a handler sets in its context (contextvars) may be there in a later call.
    """

    def __init__(self, server: grpc.aio.Server, services: Mapping[str, grpc.GenericRpcHandler]) -> None:
        self._core = server._server  # type: ignore[attr-defined]  # noqa: SLF001 -- see above
        taken = services if are_possible() else {}
        self._methods = [_Method(path, handler.service) for path, handler in taken.items()]
        self._loop = asyncio.get_running_loop()
        self._waiting = _Waiting()
        self._acceptors: set[asyncio.Task[None]] = set()
        # Registered, so that they can be asked for by name; without handlers of their own, so that grpc.aio asks the service, too.
        self._core.add_registered_method_handlers(dict.fromkeys(taken))

    def start(self) -> None:
        """Begin to take calls."""
        for method in self._methods:
            for _ in range(ASKED_MIN):
                self._begin(method)

    async def stop(self) -> None:
        """Wait until the last call is over. The server has to be stopped."""
        # Not cancelled: gRPC would write to what it was given for a call that it has not found yet.
        while self._acceptors:
            await asyncio.wait(self._acceptors)

    def _begin(self, method: _Method) -> None:
        """Let one more task take calls."""
        task = self._loop.create_task(self._accept(method), name=f"accept {method.route.method}")
        self._acceptors.add(task)
        task.add_done_callback(self._acceptors.discard)

    async def _accept(self, method: _Method) -> None:
        """Take one call after the other, for as long as there are not enough who do."""
        # A server that has stopped may be gone: to ask it would be the end of the process.
        while self._core.is_running() and method.asked < ASKED_MAX and not task_is_cancelled():
            method.asked += 1
            try:
                state = await self._core._request_registered_call(method.name)  # noqa: SLF001
            except cygrpc._RequestCallError:  # noqa: SLF001
                continue
            except grpc.aio.InternalError:
                log.exception("a call of %s cannot be asked for", method.route.method)
                return
            finally:
                method.asked -= 1
            if method.asked < ASKED_MIN:
                self._begin(method)
            await self._serve(state, method)
            del state  # gRPC counts a call as open for as long as it is held

    async def _serve(self, state: Any, method: _Method) -> None:  # noqa: ANN401 -- gRPC's own
        call = _Call(state, None, None, self._loop)
        try:
            await self._answer(call, state, method)
        except (grpc.aio.AbortError, cygrpc.ExecuteBatchError, asyncio.CancelledError) as error:
            _let_go_of(error)  # the status has been sent, or nobody listens
        except Exception as error:  # whatever it is, the caller is not to wait for ever
            log.exception("unexpected error in %s", method.route.method)
            _let_go_of(error)
            await _fail(call)
        finally:
            self._waiting.end(call)
            try:
                await self._over(call, state)
            finally:
                call.be_over()

    async def _over(self, call: _Call, state: Any) -> None:  # noqa: ANN401
        """Wait until gRPC says that the call is over, if it has not: one that is never asked about counts as open for ever."""
        if call.watching is not None:
            await call.watching
        elif not (call.is_ended or task_is_cancelled()):  # cancelled by somebody else: the event loop ends
            close = cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS)
            with suppress(cygrpc.ExecuteBatchError):
                await cygrpc.execute_batch(state, (close,), self._loop)

    async def _answer(self, call: _Call, state: Any, method: _Method) -> None:  # noqa: ANN401
        handler = method.service(method.route)
        request = None
        if not handler.request_streaming:
            receive = cygrpc.ReceiveMessageOperation(_NO_FLAGS)
            await cygrpc.execute_batch(state, (receive,), self._loop)
            if (message := receive.message()) is None:
                # Or the caller has hung up already, and hears nothing.
                await call.abort(grpc.StatusCode.UNIMPLEMENTED, "the call ended without a message")
            read = handler.request_deserializer
            request = read(message) if read else message
        behavior = handler.stream_stream if handler.request_streaming else handler.unary_unary
        answering = behavior(request, call)
        try:
            awaited = answering.send(None)
        except StopIteration as done:
            answer = done.value
        else:
            if not call.is_told:
                self._waiting.begin(call, state)
            answer = await _Rest(answering, awaited)
            self._waiting.end(call)
        operations: tuple[Any, ...] = (
            cygrpc.SendInitialMetadataOperation((), _NO_FLAGS),
            cygrpc.SendMessageOperation(handler.response_serializer(answer), _NO_FLAGS),
            cygrpc.SendStatusFromServerOperation((), cygrpc.StatusCode.ok, "", _NO_FLAGS),
        )
        if call.watching is None:
            call.is_ended = True
            operations = (*operations, cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS))
        await cygrpc.execute_batch(state, operations, self._loop)


class _Call(getattr(cygrpc, "_ServicerContext", object)):  # type: ignore[misc]
    """What a method is told of its call, and what is known of it here; compared and hashed by identity."""

    task: asyncio.Task[None] | None = None
    """Whom to cancel when the caller hangs up, while the call waits for something else than gRPC."""
    watching: asyncio.Task[None] | None = None
    """Is done when the call is over, however it ended; None as long as nobody watches."""
    is_told = False
    """Whether a status is or was under way."""
    is_ended = False
    """Whether gRPC was asked, along with sending the answer, to say when the call is over."""
    _callbacks: tuple[Callable[[Any], None], ...] = ()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Have `callback` called when the call is over: its answer was taken, or never will be."""
        self._callbacks += (callback,)

    def be_over(self) -> None:
        """Tell those who asked for it."""
        for callback in self._callbacks:
            callback(self)

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: tuple[tuple[str, str | bytes], ...] = ()
    ) -> None:
        """End the call with a status; raises. From here on it is not cancelled: gRPC reads what it sends where it lies."""
        self.is_told, self.task = True, None
        await super().abort(code, details, trailing_metadata)


class _Waiting:
    """The calls that wait for something, to be cancelled when their callers hang up or their time is over."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._young: dict[_Call, Any] = {}
        self._older: dict[_Call, Any] = {}
        self._look_is_due = False

    def begin(self, call: _Call, state: Any) -> None:  # noqa: ANN401
        """Note that the call of the task that runs waits."""
        if not self._look_is_due:
            self._look_is_due = True
            self._loop.call_later(WATCH_SECONDS, self._look)
        call.task = asyncio.current_task()
        self._young[call] = state

    def end(self, call: _Call) -> None:
        """Cancel it no more."""
        call.task = None
        self._young.pop(call, None)
        self._older.pop(call, None)

    def _look(self) -> None:
        for call, state in self._older.items():
            call.watching = self._loop.create_task(self._watch(call, state), name="watch")
        self._older, self._young = self._young, {}
        self._look_is_due = bool(self._older)
        if self._look_is_due:
            self._loop.call_later(WATCH_SECONDS, self._look)

    async def _watch(self, call: _Call, state: Any) -> None:  # noqa: ANN401
        close = cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS)
        await cygrpc.execute_batch(state, (close,), self._loop)
        if close.cancelled() and call.task is not None:
            call.task.cancel()


async def _fail(call: _Call) -> None:
    """Tell the caller that something is wrong, if nothing was told yet."""
    try:
        await call.abort(grpc.StatusCode.UNKNOWN, "internal error")
    except (grpc.aio.AbortError, grpc.aio.UsageError, cygrpc.ExecuteBatchError) as error:
        _let_go_of(error)


def _let_go_of(error: BaseException) -> None:
    """Keep nothing of what an exception has passed through, nor those that it followed: they may hold what holds them."""
    former: BaseException | None = error
    while former is not None:
        former.__traceback__ = None
        former.__context__, former = None, former.__context__


class _Rest:
    """What remains of a coroutine that has run until it `awaited` something, to be awaited."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], awaited: Any) -> None:  # noqa: ANN401
        self._coroutine = coroutine
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, Any]:
        awaited, self._awaited = self._awaited, None
        while True:
            try:
                try:
                    yield awaited
                except BaseException as error:  # whatever it is, it is the coroutine's
                    awaited = None  # it may hold what is raised next, which holds this frame
                    awaited = self._coroutine.throw(error)
                else:
                    awaited = None
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

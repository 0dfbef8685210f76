"""From a service to gRPC handlers: what every method has in common, once.

Decoding that never raises, one status for each error, one log line a call.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import grpc
from google.protobuf.message_factory import GetMessageClass

from meterd_server.errors import Overloaded, StoreUnavailable
from meterd_server.rpc.decode import MessageT, Undecodable, decoder, operations_decoder
from meterd_server.rpc.status import DETAILS_KEY, RequestError, from_exception, invalid_argument
from meterd_server.rpc.untaken import LARGE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
    from google.protobuf.message import Message
    from google.rpc import status_pb2  # type: ignore[import-untyped, unused-ignore]

    from meterd_server.rpc.admission import Admission
    from meterd_server.rpc.leftovers import Leftovers
    from meterd_server.rpc.poller import Poller
    from meterd_server.rpc.streams import StreamContext
    from meterd_server.rpc.untaken import Size, Untaken

    Method = Callable[..., Awaitable[Any]]
    Behavior = Callable[[Any, StreamContext], Awaitable[Message | None]]
    LogCall = Callable[[str, str, str, float], None]
    Handler = grpc.RpcMethodHandler[Any, Any]

log = logging.getLogger(__name__)

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_INTERNAL = grpc.StatusCode.INTERNAL.value[0]


class CallerGone(Exception):  # noqa: N818 -- nothing is wrong here
    """The caller hung up before it was told that the call is cancelled: there is nobody to answer."""


class Unread:
    """Stands in for a message that was not read, for there is no room for its answer."""


class Context(Protocol):
    """The part of grpc.aio.ServicerContext that every handler uses."""

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, not below 0; None without one."""

    def peer(self) -> str:
        """Where the call's connection comes from."""

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Have `callback` called when the call is over: its answer was taken, or never will be."""

    async def abort(
        self, code: grpc.StatusCode, details: str, trailing_metadata: tuple[tuple[str, bytes], ...]
    ) -> None:
        """End the call with a status; raises."""


class Counter(Protocol):
    """Who counts calls of one kind that are under way."""

    def begin(self) -> None:
        """Count a call that has begun."""

    def end(self) -> None:
        """Count it no more."""


def no_log(_method: str, _user: str, _code: str, _duration_seconds: float) -> None:
    """A `LogCall` that says nothing."""


class Limits(NamedTuple):
    """What a server's calls share."""

    untaken: Untaken
    """Where answers that may be large are counted."""
    admission: Admission
    """Who decides which unary calls are turned away before anything of them is read, and is told of those that stay open."""
    poller: Poller
    """Who is told of unary calls: those that wait for their answers are work."""
    leftovers: Leftovers
    """Who frees what gRPC leaves behind of each call."""


class ServiceHandler(grpc.GenericRpcHandler):
    """The gRPC handler of a service whose methods are named as in its descriptor.

    A unary method takes a request and returns its answer; one that answers a request again and again takes the call's context as
    well; one that is asked again and again takes the context only, and converses over it. A unary call may be turned away with
    OVERLOADED, unless the service is `always_admitted`.
    """

    def __init__(
        self,
        descriptor: ServiceDescriptor,
        service: object,
        limits: Limits,
        log_call: LogCall,
        *,
        always_admitted: bool = False,
    ) -> None:
        self._turns_away = limits.admission.turns_away
        self._note_call = limits.leftovers.note_call
        self._handlers: dict[str, tuple[Handler, Handler | None]] = {}
        self.unary_methods: list[str] = []
        for method in descriptor.methods:
            handler = _handler(method, getattr(service, method.name), limits, log_call)
            stays_open = method.client_streaming or method.server_streaming
            admitted = always_admitted or stays_open
            refusal = None if admitted else _refusal(_full_name(method), limits.admission, log_call)
            path = f"/{_full_name(method)}"
            self._handlers[path] = (handler, refusal)
            if not stays_open:
                self.unary_methods.append(path)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """What gRPC asks for each call; None for a method that is not of this service."""
        found = self._handlers.get(handler_call_details.method)
        if found is None:
            return None
        self._note_call()
        handler, refusal = found
        return refusal if refusal is not None and self._turns_away() else handler


def _full_name(method: MethodDescriptor) -> str:
    return f"{method.containing_service.full_name}/{method.name}"


def _handler(method: MethodDescriptor, call: Method, limits: Limits, log_call: LogCall) -> Handler:
    name = _full_name(method)
    decode, serialize = _way_of(method)
    untaken, admission, poller, *_ = limits
    if method.client_streaming:
        behavior = _behavior(name, partial(_converse, call), admission, log_call)
        return grpc.stream_stream_rpc_method_handler(behavior, decode, serialize)
    if method.server_streaming:
        behavior = _behavior(name, partial(_go_on_answering, call), admission, log_call)
        return grpc.unary_stream_rpc_method_handler(behavior, decode, serialize)
    if size := LARGE.get(method.name):
        behavior = _behavior(name, partial(_answer_much, untaken, size, call), poller, log_call)
        behavior = _reading_if_there_is_room(behavior, decode, untaken)
        return grpc.unary_unary_rpc_method_handler(behavior, None, serialize)
    return grpc.unary_unary_rpc_method_handler(
        _behavior(name, partial(_answer, call), poller, log_call), decode, serialize
    )


def _refusal(name: str, admission: Admission, log_call: LogCall) -> Handler:
    """Says OVERLOADED. For gRPC it is a stream: a unary method is not asked before its request has been read."""

    async def refuse(_: object, context: Context) -> None:
        started = time.perf_counter()
        try:
            await admission.together()
        finally:
            log_call(name, "", grpc.StatusCode.RESOURCE_EXHAUSTED.name, time.perf_counter() - started)
        try:
            await _abort(context, from_exception(Overloaded(admission.retry_seconds())))
        except grpc.aio.InternalError:
            raise asyncio.CancelledError from None  # the caller is gone; gRPC would log that, for each of thousands

    return grpc.stream_stream_rpc_method_handler(refuse)


def _way_of(method: MethodDescriptor) -> tuple[Callable[[bytes], Any], Callable[[Any], bytes]]:
    """How a method's messages are read and written: those of many operations are left to `operations.Work`."""
    request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    if "operations" in request.DESCRIPTOR.fields_by_name:
        return operations_decoder(request), bytes
    return decoder(request), response.SerializeToString


def _reading_if_there_is_room(behavior: Behavior, decode: Callable[[bytes], Any], untaken: Untaken) -> Behavior:
    """A behavior that is given bytes: a large message takes ten times as much when it is read."""

    async def handle(raw: bytes, context: StreamContext) -> Message | None:
        return await behavior(Unread() if untaken.is_full_for(context.peer()) else decode(raw), context)

    return handle


def _behavior(name: str, answer: Behavior, counter: Counter, log_call: LogCall) -> Behavior:
    async def handle(request: Any, context: StreamContext) -> Message | None:  # noqa: ANN401 -- or what stands in for it
        started = time.perf_counter()
        code = "OK"
        counter.begin()
        try:
            return await answer(request, context)
        except CallerGone:
            code = "CANCELLED"
            raise asyncio.CancelledError from None  # anything else would have gRPC send a status, and log that it cannot
        except (Exception, asyncio.CancelledError) as error:
            code, status = _outcome(error, name, context)
            if status is None:
                raise
        finally:
            counter.end()
            # After the answer, which leaves before the event loop goes on.
            passed_seconds = time.perf_counter() - started
            loop = asyncio.get_running_loop()
            loop.call_soon(log_call, name, getattr(request, "user_id", ""), code, passed_seconds)
        await _abort(context, status)
        return None

    return handle


def _answer(call: Method, request: Message | Undecodable, _: StreamContext) -> Awaitable[Message]:
    return call(decoded(request))


async def _answer_much(
    untaken: Untaken, size: Size, call: Method, request: Message | Undecodable | Unread, context: StreamContext
) -> Message:
    if isinstance(request, Unread):
        raise Overloaded
    untaken.count(context, size(decoded(request)))
    return await _answer(call, request, context)


async def _go_on_answering(call: Method, request: Message | Undecodable, context: StreamContext) -> None:
    await call(decoded(request), context)


async def _converse(call: Method, _: object, context: StreamContext) -> None:
    await call(context)


def decoded(message: MessageT | Undecodable) -> MessageT:
    """The message. Raises `RequestError` if it does not parse."""
    if isinstance(message, Undecodable):
        raise RequestError(invalid_argument([message.violation]))
    return message


async def send(context: StreamContext, message: Message | bytes) -> None:
    """Send a message, when flow control lets it. Raises `CallerGone`."""
    try:
        await context.write(message)
    except grpc.aio.InternalError as error:
        raise CallerGone from error


def _outcome(error: BaseException, name: str, context: Context) -> tuple[str, status_pb2.Status | None]:
    """What a call that raised ends with: the code for the log, and the status; None if the call itself was cancelled."""
    if isinstance(error, asyncio.CancelledError):
        if task_is_cancelled():
            return "DEADLINE_EXCEEDED" if context.time_remaining() == 0 else "CANCELLED", None
        # One of ours that got out: gRPC would send no status for it, and the caller would wait for ever.
        error = StoreUnavailable()
    status = from_exception(error)  # the last place that can keep its text from the caller
    if status.code == _INTERNAL:
        log.error("unexpected error in %s", name, exc_info=error)
    return _CODES[status.code].name, status


async def _abort(context: Context, status: status_pb2.Status) -> None:
    await context.abort(_CODES[status.code], status.message, ((DETAILS_KEY, status.SerializeToString()),))


def task_is_cancelled() -> bool:
    """Whether it is this call that was cancelled, by its caller or its deadline, rather than something it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

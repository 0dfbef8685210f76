"""From a service to gRPC handlers: what every method has in common, once.

Decoding that never raises, one status for each error, one log line a call.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Protocol

import grpc
from google.protobuf.message_factory import GetMessageClass

from meterd_server.errors import Overloaded, StoreUnavailable
from meterd_server.rpc.decode import Undecodable, decoder
from meterd_server.rpc.status import DETAILS_KEY, RequestError, from_exception, invalid_argument

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
    from google.protobuf.message import Message
    from google.rpc import status_pb2  # type: ignore[import-untyped, unused-ignore]

    from meterd_server.rpc.admission import Admission
    from meterd_server.rpc.streams import StreamContext

    Method = Callable[[Any], Awaitable[Any]]
    LogCall = Callable[[str, str, str, float], None]
    Handler = grpc.RpcMethodHandler[Any, Any]

log = logging.getLogger(__name__)

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_INTERNAL = grpc.StatusCode.INTERNAL.value[0]


class CallerGone(Exception):  # noqa: N818 -- nothing is wrong here
    """The caller hung up before it was told that the call is cancelled: there is nobody to answer."""


class Context(Protocol):
    """The part of grpc.aio.ServicerContext that every handler uses."""

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, not below 0; None without one."""

    async def abort(
        self, code: grpc.StatusCode, details: str, trailing_metadata: tuple[tuple[str, bytes], ...]
    ) -> None:
        """End the call with a status; raises."""


def no_log(_method: str, _user: str, _code: str, _duration_seconds: float) -> None:
    """A `LogCall` that says nothing."""


class ServiceHandler(grpc.GenericRpcHandler):
    """The gRPC handler of a service whose methods are named as in its descriptor.

    A unary method takes a request and returns its answer; a streaming one takes the call's context and converses over it. When
    `admission` turns a unary call away, it is OVERLOADED before anything of it is read.
    """

    def __init__(self, descriptor: ServiceDescriptor, service: object, admission: Admission, log_call: LogCall) -> None:
        self._turns_away = admission.turns_away
        self._handlers: dict[str, tuple[Handler, Handler | None]] = {}
        for method in descriptor.methods:
            handler = _handler(method, getattr(service, method.name), admission, log_call)
            refusal = None if method.client_streaming else _refusal(_full_name(method), admission, log_call)
            self._handlers[f"/{_full_name(method)}"] = (handler, refusal)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """What gRPC asks for each call; None for a method that is not of this service."""
        found = self._handlers.get(handler_call_details.method)
        if found is None:
            return None
        handler, refusal = found
        return refusal if refusal is not None and self._turns_away() else handler


def _full_name(method: MethodDescriptor) -> str:
    return f"{method.containing_service.full_name}/{method.name}"


def _handler(method: MethodDescriptor, call: Method, admission: Admission, log_call: LogCall) -> Handler:
    decode, encode = decoder(GetMessageClass(method.input_type)), GetMessageClass(method.output_type).SerializeToString
    name = _full_name(method)
    if method.client_streaming:
        return grpc.stream_stream_rpc_method_handler(_streaming(name, call, admission, log_call), decode, encode)
    return grpc.unary_unary_rpc_method_handler(_unary(name, call, log_call), decode, encode)


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


def _unary(
    name: str, call: Method, log_call: LogCall
) -> Callable[[Message | Undecodable, Context], Awaitable[Message | None]]:
    async def handle(request: Message | Undecodable, context: Context) -> Message | None:
        started = time.perf_counter()
        code = "OK"
        try:
            return await _answer(call, request)
        except (Exception, asyncio.CancelledError) as error:
            code, status = _outcome(error, name, context)
            if status is None:
                raise
        finally:
            log_call(name, getattr(request, "user_id", ""), code, time.perf_counter() - started)
        await _abort(context, status)
        return None

    return handle


def _streaming(
    name: str, call: Method, admission: Admission, log_call: LogCall
) -> Callable[[object, StreamContext], Awaitable[None]]:
    async def handle(_: object, context: StreamContext) -> None:
        started = time.perf_counter()
        admission.standing_calls += 1
        code = "OK"
        try:
            await call(context)
            return
        except CallerGone:
            code = "CANCELLED"
            raise asyncio.CancelledError from None  # anything else would have gRPC send a status, and log that it cannot
        except (Exception, asyncio.CancelledError) as error:
            code, status = _outcome(error, name, context)
            if status is None:
                raise
        finally:
            admission.standing_calls -= 1
            log_call(name, "", code, time.perf_counter() - started)
        await _abort(context, status)

    return handle


async def _answer(call: Method, request: Message | Undecodable) -> Message:
    if isinstance(request, Undecodable):
        raise RequestError(invalid_argument([request.violation]))
    response: Message = await call(request)
    return response


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

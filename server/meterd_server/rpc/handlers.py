"""From a service to gRPC handlers: what every method has in common, once.

Decoding that never raises, one status for each error, one log line a call.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

import grpc
from google.protobuf.message_factory import GetMessageClass

from meterd_server.errors import StoreUnavailable
from meterd_server.rpc.decode import Undecodable, decoder, operations_decoder
from meterd_server.rpc.status import DETAILS_KEY, RequestError, from_exception, invalid_argument

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
    from google.protobuf.message import Message
    from google.rpc import status_pb2  # type: ignore[import-untyped, unused-ignore]

    from meterd_server.rpc.streams import StreamContext

    Method = Callable[[Any], Awaitable[Any]]
    LogCall = Callable[[str, str, str, float], None]

log = logging.getLogger(__name__)

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_INTERNAL = grpc.StatusCode.INTERNAL.value[0]


class _Way(TypedDict):
    request_deserializer: Callable[[bytes], Any]
    response_serializer: Callable[[Any], bytes]


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


def service_handler(descriptor: ServiceDescriptor, service: object, log_call: LogCall) -> grpc.GenericRpcHandler:
    """The gRPC handler of a service whose methods are named as in its descriptor.

    A unary method takes a request and returns its answer; a streaming one takes the call's context and converses over it.
    """
    return grpc.method_handlers_generic_handler(
        descriptor.full_name,
        {method.name: _handler(method, getattr(service, method.name), log_call) for method in descriptor.methods},
    )


def _handler(method: MethodDescriptor, call: Method, log_call: LogCall) -> grpc.RpcMethodHandler[Any, Any]:
    name = f"{method.containing_service.full_name}/{method.name}"
    make = grpc.stream_stream_rpc_method_handler if method.client_streaming else grpc.unary_unary_rpc_method_handler
    behavior = _streaming(name, call, log_call) if method.client_streaming else _unary(name, call, log_call)
    return make(
        behavior,
        **_way_of(GetMessageClass(method.input_type), GetMessageClass(method.output_type)),
    )


def _way_of(request: type[Message], response: type[Message]) -> _Way:
    """How a method's messages are read and written: those of many operations are left to `operations.Work`."""
    if "operations" in request.DESCRIPTOR.fields_by_name:
        return {"request_deserializer": operations_decoder(request), "response_serializer": bytes}
    return {"request_deserializer": decoder(request), "response_serializer": response.SerializeToString}


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


def _streaming(name: str, call: Method, log_call: LogCall) -> Callable[[object, StreamContext], Awaitable[None]]:
    async def handle(_: object, context: StreamContext) -> None:
        started = time.perf_counter()
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

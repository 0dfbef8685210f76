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

from meterd_server.errors import StoreUnavailable
from meterd_server.rpc.decode import Undecodable, decoder
from meterd_server.rpc.status import DETAILS_KEY, RequestError, from_exception, invalid_argument

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
    from google.protobuf.message import Message

    Method = Callable[[Any], Awaitable[Message]]
    LogCall = Callable[[str, str, str, float], None]

log = logging.getLogger(__name__)

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_INTERNAL = grpc.StatusCode.INTERNAL.value[0]


class Context(Protocol):
    """The part of grpc.aio.ServicerContext that a unary handler uses."""

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, not below 0; None without one."""

    async def abort(
        self, code: grpc.StatusCode, details: str, trailing_metadata: tuple[tuple[str, bytes], ...]
    ) -> None:
        """End the call with a status; raises."""


def no_log(_method: str, _user: str, _code: str, _duration_seconds: float) -> None:
    """A `LogCall` that says nothing."""


def service_handler(descriptor: ServiceDescriptor, service: object, log_call: LogCall) -> grpc.GenericRpcHandler:
    """The gRPC handler of a service whose methods are named as in its descriptor."""
    return grpc.method_handlers_generic_handler(
        descriptor.full_name,
        {
            method.name: grpc.unary_unary_rpc_method_handler(
                _unary(method, getattr(service, method.name), log_call),
                request_deserializer=decoder(GetMessageClass(method.input_type)),
                response_serializer=GetMessageClass(method.output_type).SerializeToString,
            )
            for method in descriptor.methods
        },
    )


def _unary(
    method: MethodDescriptor, call: Method, log_call: LogCall
) -> Callable[[Message | Undecodable, Context], Awaitable[Message | None]]:
    name = f"{method.containing_service.full_name}/{method.name}"

    def finish(request: Message | Undecodable, code: str, started: float) -> None:
        log_call(name, getattr(request, "user_id", ""), code, time.perf_counter() - started)

    async def handle(request: Message | Undecodable, context: Context) -> Message | None:
        started = time.perf_counter()
        try:
            response = await _answer(call, request)
        except asyncio.CancelledError:
            if _task_is_cancelled():
                finish(request, "DEADLINE_EXCEEDED" if context.time_remaining() == 0 else "CANCELLED", started)
                raise
            # One of ours that got out: gRPC would send no status for it, and the caller would wait for ever.
            status = from_exception(StoreUnavailable())
        except Exception as error:  # the last place that can keep its text from the caller
            status = from_exception(error)
            if status.code == _INTERNAL:
                log.exception("unexpected error in %s", name)
        else:
            finish(request, "OK", started)
            return response
        finish(request, _CODES[status.code].name, started)
        await context.abort(_CODES[status.code], status.message, ((DETAILS_KEY, status.SerializeToString()),))
        return None

    return handle


async def _answer(call: Method, request: Message | Undecodable) -> Message:
    if isinstance(request, Undecodable):
        raise RequestError(invalid_argument([request.violation]))
    return await call(request)


def _task_is_cancelled() -> bool:
    """Whether it is this call that was cancelled, by its caller or its deadline, rather than something it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

"""The services that every gRPC server has: health and reflection, behind the same door as meterd's own.

The packages that gRPC has for them tell a caller what their parser said, and keep a stopping server waiting for who only watches.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import grpc
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2  # type: ignore[import-untyped, unused-ignore]
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from meterd_server.errors import StoreUnavailable
from meterd_server.rpc.handlers import send
from meterd_server.rpc.status import RequestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from google.protobuf.descriptor import ServiceDescriptor
    from google.protobuf.message import Message

    from meterd_server.rpc.streams import StreamContext, Streams

    _Question = reflection_pb2.ServerReflectionRequest
    _Answers = Callable[[AsyncIterator[_Question], None], AsyncIterator[reflection_pb2.ServerReflectionResponse]]

HEALTH = cast("ServiceDescriptor", health_pb2.DESCRIPTOR.services_by_name["Health"])
REFLECTION = cast("ServiceDescriptor", reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"])

_LIST_RESPONSE: Any = GetMessageClass(HEALTH.methods_by_name["List"].output_type)
_STATES = {True: health_pb2.HealthCheckResponse.SERVING, False: health_pb2.HealthCheckResponse.NOT_SERVING}

_FILES_OPERATIONS = 100
"""What an answer of reflection counts for, in operations: it holds a file and all that it imports."""


class Health:
    """grpc.health.v1.Health: whether each service is serving, which is what `set` has said last."""

    def __init__(self) -> None:
        self._serving: dict[str, bool] = {}
        self._changed = asyncio.Event()
        self._leaving = False

    def set(self, service: str, serving: bool) -> None:
        """Say how a service is; nothing after `leave`."""
        if not self._leaving:
            self._serving[service] = serving
            self._tell()

    def leave(self) -> None:
        """No service is serving from now on; who watches is told, and their calls end."""
        self._serving = dict.fromkeys(self._serving, False)
        self._leaving = True
        self._tell()

    async def Check(self, request: health_pb2.HealthCheckRequest) -> health_pb2.HealthCheckResponse:  # noqa: N802 -- the contract's name
        """How a service is."""
        if request.service not in self._serving:
            raise RequestError(
                status_pb2.Status(
                    code=grpc.StatusCode.NOT_FOUND.value[0], message="no service of that name is known here"
                )
            )
        return self._state(request.service)

    async def List(self, _: Message) -> Message:  # noqa: N802 -- its types have no stubs
        """How every service is."""
        answer: Message = _LIST_RESPONSE(statuses={service: self._state(service) for service in self._serving})
        return answer

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: StreamContext) -> None:  # noqa: N802
        """How a service is now, and then whenever that changes. Raises `StoreUnavailable` after `leave`."""
        told = None
        while True:
            # Taken together: what comes to pass while the caller is being told is told in the next round.
            changed, leaving = self._changed, self._leaving
            state = self._state(request.service)
            if state != told:
                await send(context, state)
                told = state
            if leaving:
                raise StoreUnavailable("the server is stopping")
            if changed is self._changed:
                await changed.wait()

    def _state(self, service: str) -> health_pb2.HealthCheckResponse:
        serving = self._serving.get(service)
        unknown = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        return health_pb2.HealthCheckResponse(status=unknown if serving is None else _STATES[serving])

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Reflection:
    """grpc.reflection.v1alpha.ServerReflection: what services there are, and the files that describe them."""

    def __init__(self, service_names: Sequence[str], streams: Streams) -> None:
        servicer = reflection.aio.ReflectionServicer(service_names)
        # It is an asynchronous generator, whatever its types say.
        self._answers = cast("_Answers", servicer.ServerReflectionInfo)
        self._streams = streams

    async def ServerReflectionInfo(self, context: StreamContext) -> None:  # noqa: N802 -- the contract's name
        """Answer one question after the other."""
        await self._streams.conduct(context, self._begin, lambda _: _FILES_OPERATIONS)

    async def _begin(self, request: _Question) -> Awaitable[reflection_pb2.ServerReflectionResponse]:
        return anext(self._answers(_only(request), None))


async def _only(request: _Question) -> AsyncIterator[_Question]:
    yield request

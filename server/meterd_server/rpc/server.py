"""The gRPC server: services, health, reflection, limits, and where it listens."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from meterd.v1 import admin_pb2, ledger_pb2, metering_pb2, pricing_pb2
from meterd_server.addresses import check_free
from meterd_server.errors import StartupError
from meterd_server.rpc.acceptors import Acceptors
from meterd_server.rpc.admission import Admission, ServerCounts
from meterd_server.rpc.handlers import Limits, ServiceHandler, no_log
from meterd_server.rpc.leftovers import Leftovers
from meterd_server.rpc.poller import Poller
from meterd_server.rpc.pricing_servicer import PricingService
from meterd_server.rpc.servicers import AdminService, LedgerService, MeteringService
from meterd_server.rpc.sessions import Sessions
from meterd_server.rpc.standard import HEALTH, REFLECTION, Health, Reflection
from meterd_server.rpc.streams import Streams
from meterd_server.rpc.untaken import Untaken

if TYPE_CHECKING:
    from meterd_server.ledger import AnyLedger
    from meterd_server.rpc.handlers import LogCall
    from meterd_server.rpc.validate import Sources

METERING = metering_pb2.DESCRIPTOR.services_by_name["MeteringService"]
LEDGER = ledger_pb2.DESCRIPTOR.services_by_name["LedgerService"]
PRICING = pricing_pb2.DESCRIPTOR.services_by_name["PricingService"]
ADMIN = admin_pb2.DESCRIPTOR.services_by_name["AdminService"]
SERVICE_NAMES = (METERING.full_name, LEDGER.full_name, PRICING.full_name, ADMIN.full_name)

DRIFT = "meterd.v1.drift"
"""A health service of its own: NOT_SERVING when an account was found that does not follow from its entries. Calls go on."""

CALLS_A_CONNECTION_MAX = 1_000
"""How many calls of one connection may be under way; a caller's gRPC keeps the others back, and they wait there."""

CALLS_WAITING_MAX = 4_000
"""How many calls wait, over all connections, until this process turns to them: what it can turn away in half a second. gRPC itself
turns away the others, unread and with CANCELLED: by the time they could be told OVERLOADED, nobody would listen any more. It counts
each method that `Acceptors` take by itself."""


class Server:
    """A grpc.aio server with meterd's services, the standard health service and reflection.

    With `reuse_port` others may listen on the same port and get their share of the calls: whoever starts them has reserved it.
    """

    def __init__(
        self,
        ledger: AnyLedger,
        sources: Sources,
        *,
        message_bytes_max: int,
        log_call: LogCall = no_log,
        reuse_port: bool = False,
    ) -> None:
        self._reuse_port = reuse_port
        self._server = grpc.aio.server(
            options=[
                # Without this a second daemon on the same port would share its calls instead of failing to start.
                ("grpc.so_reuseport", int(reuse_port)),
                ("grpc.max_receive_message_length", message_bytes_max),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_concurrent_streams", CALLS_A_CONNECTION_MAX),
                # Below the first nobody is turned away by gRPC, above the second everybody.
                ("grpc.server.max_pending_requests", CALLS_WAITING_MAX),
                ("grpc.server.max_pending_requests_hard_limit", CALLS_WAITING_MAX),
                ("grpc.enable_channelz", 1),
            ]
        )
        self._health = Health()
        self._untaken = Untaken()
        admission = Admission(ServerCounts())
        limits = Limits(self._untaken, admission, Poller(), Leftovers())
        self._streams = Streams()
        self._sessions = Sessions(ledger, sources)
        services = {
            METERING: MeteringService(ledger, sources, self._streams, self._sessions),
            LEDGER: LedgerService(ledger),
            PRICING: PricingService(ledger, sources.prices),
            ADMIN: AdminService(ledger, sources),
        }
        handlers = {each: ServiceHandler(each, service, limits, log_call) for each, service in services.items()}
        self._server.add_generic_rpc_handlers(list(handlers.values()))
        taken = {method: handlers[each] for each in (METERING, LEDGER) for method in handlers[each].unary_methods}
        self._acceptors = Acceptors(self._server, taken)
        names = (*SERVICE_NAMES, HEALTH.full_name, REFLECTION.full_name)
        # Never turned away, for that would say that the daemon is down; nor in the log, for health is asked every few seconds.
        for descriptor, service in ((HEALTH, self._health), (REFLECTION, Reflection(names, self._streams))):
            self._server.add_generic_rpc_handlers(
                [ServiceHandler(descriptor, service, limits, no_log, always_admitted=True)]
            )

    async def start(self, address: str) -> str:
        """Listen on HOST:PORT or unix:PATH and serve; the address as it came to be. Raises `StartupError`."""
        if address.startswith("unix:"):
            bound = _bind_unix(self._server, address)
        else:
            bound = _bind_tcp(self._server, address, reuse_port=self._reuse_port)
        await self._server.start()
        self._acceptors.start()
        await self.set_serving(True)
        return bound

    async def set_serving(self, serving: bool) -> None:
        """Tell health checks, for the server as a whole ("") and for each service."""
        for name in ("", *SERVICE_NAMES):
            self._health.set(name, serving)

    async def set_drift(self, found: bool) -> None:
        """Tell health checks of `DRIFT`, which is unknown before: whether an account was found that differs."""
        self._health.set(DRIFT, not found)

    async def leave(self) -> None:
        """Say NOT_SERVING from now on, whatever `set_serving` is told, and read no more of the streams that are open.

        Who watches health is told, and hung up on. Sessions that broke are settled when this returns.
        """
        self._health.leave()
        self._streams.leave()
        await self._sessions.leave()

    async def stop(self, grace_seconds: float) -> None:
        """Leave, refuse new calls, and give the running ones `grace_seconds`."""
        await self.leave()
        await self._server.stop(grace_seconds)
        await self._acceptors.stop()


def _bind_tcp(server: grpc.aio.Server, address: str, *, reuse_port: bool) -> str:
    # Asked before gRPC is: it tells why an address cannot be had only on stderr, in lines of its own.
    if not reuse_port:
        check_free(address)
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError:
        bound = 0
    if not bound:
        raise StartupError(f"cannot listen on {address}: the address was refused")
    return f"{address.rpartition(':')[0]}:{bound}"


def _bind_unix(server: grpc.aio.Server, address: str) -> str:
    path = Path(address.removeprefix("unix:"))
    # gRPC replaces whatever stands at the path, so a socket that another daemon answers on has to be recognised here.
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(os.fspath(path))
        except OSError:
            pass
        else:
            raise StartupError(f"cannot listen on {address}: another server answers there")
    if path.exists() and not path.is_socket():
        raise StartupError(f"cannot listen on {address}: a file that is not a socket stands there")
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise StartupError(f"cannot listen on {address}: is the folder there and writable?") from error
    return address

"""A whole server in this process: real store, ledger and wire, with a store that can be held up and made to fail."""

import asyncio
from dataclasses import dataclass, field

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2_grpc
from grpc_status import rpc_status

from meterd import new_request_id
from meterd.v1 import (
    admin_pb2_grpc,
    ledger_pb2_grpc,
    metering_pb2_grpc,
    pricing_pb2_grpc,
)
from meterd_server.errors import StoreUnavailable
from meterd_server.expiry import Sweeper
from meterd_server.ledger import Ledger
from meterd_server.prices import Prices
from meterd_server.rpc.server import Server
from meterd_server.rpc.validate import Sources
from meterd_server.store.sqlite import SqliteStore
from meterd_server.workers.ledger_end import LedgerEnd
from meterd_server.workers.link import Link, encode
from meterd_server.workers.remote import RemoteLedger

from .calls import TIMEOUT_SECONDS, Calls

METERING = "meterd.v1.MeteringService"
LEDGER = "meterd.v1.LedgerService"
ADMIN = "meterd.v1.AdminService"

_SERVICES = {"GetBalance": LEDGER, "ListEntries": LEDGER, "SetAccountPolicy": ADMIN, "ReverseEntry": ADMIN}


class TroubledStore(SqliteStore):
    """The SQLite store, whose commits a test may hold up or break, and which a test may keep from coming back."""

    def __init__(self, path):
        super().__init__(path)
        self.commits_allowed = asyncio.Event()
        self.commits_allowed.set()
        self.commit_begun = asyncio.Event()
        self.error = None
        self.may_reopen = True

    def commit_at_once(self, *args):
        """Have `commit` used, which a test can hold up."""

    async def commit(self, *args, **kwargs):
        self.commit_begun.set()
        await self.commits_allowed.wait()
        if self.error is not None:
            error, self.error = self.error, None
            await self.close()
            raise error
        return await super().commit(*args, **kwargs)

    async def reopen(self):
        if not self.may_reopen:
            raise StoreUnavailable("still broken")
        await super().reopen()


@dataclass(frozen=True)
class Refusal:
    """What a caller learns of a call that failed."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    domain: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    fields: list[str] = field(default_factory=list)
    retry_seconds: float | None = None


async def refused(call):
    """Await a call that must fail, and return its Refusal; its rich details must agree with its code and message."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = caught.value
    known = {"code": error.code(), "message": error.details() or ""}
    for packed in status.details if (status := rpc_status.from_call(error)) else ():
        if packed.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo.FromString(packed.value)
            known |= {"reason": info.reason, "domain": info.domain, "metadata": dict(info.metadata)}
        elif packed.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad_request = error_details_pb2.BadRequest.FromString(packed.value)
            known["fields"] = [violation.field for violation in bad_request.field_violations]
        elif packed.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            delay = error_details_pb2.RetryInfo.FromString(packed.value).retry_delay
            known["retry_seconds"] = delay.seconds + delay.nanos / 1e9
    return Refusal(**known)


def remote_ledger(ledger, cards, **options):
    """A `RemoteLedger` in front of a ledger of this process: frames go both ways as if there were two."""
    loop = asyncio.get_running_loop()

    def over(receive):
        link = Link(receive, lambda: None)
        return lambda frame: loop.call_soon(link.data_received, encode(frame))

    def take(frame):
        end.take(frame)

    remote = RemoteLedger(over(take), **({"unanswered_max": 20_000, "window_seconds": 0} | options))
    end = LedgerEnd(ledger, cards, over(lambda frame: remote.answered(*frame[1:])))
    return remote


class House(Calls):
    """The server and a channel to it."""

    def __init__(self, *, has_worker=False, path=":memory:", **ledger_options):
        super().__init__()
        self._tasks = set()
        self._serving = asyncio.Event()
        self._serving.set()
        self.store = TroubledStore(path)
        self.now_us = 1_800_000_000_000_000
        self.ledger = Ledger(self.store, clock_us=lambda: self.now_us, on_health=self._tell_health, **ledger_options)
        self.prices = Prices(self.store, clock_us=lambda: self.now_us)
        self.sweeper = Sweeper(self.store, self.ledger, clock_us=lambda: self.now_us, holder="house")
        asked = remote_ledger(self.ledger, self.store) if has_worker else self.ledger
        self.server = Server(asked, Sources(new_request_id, self.prices), message_bytes_max=64 * 1024)

    async def __aenter__(self):
        await self.store.open()
        self.address = await self.server.start("127.0.0.1:0")
        self.channel = grpc.aio.insecure_channel(self.address)
        self.metering = metering_pb2_grpc.MeteringServiceStub(self.channel)
        self.reads = ledger_pb2_grpc.LedgerServiceStub(self.channel)
        self.pricing = pricing_pb2_grpc.PricingServiceStub(self.channel)
        self.admin = admin_pb2_grpc.AdminServiceStub(self.channel)
        self.health = health_pb2_grpc.HealthStub(self.channel)
        return self

    async def __aexit__(self, *_):
        self.store.commits_allowed.set()
        await self.channel.close()
        await self.server.stop(0)
        await self.ledger.stop()
        await self.store.close()

    def queued(self):
        """Return how many operations wait for the ledger."""
        return sum(lane.queued_operations for lane in self.ledger._lanes.values())

    async def until_queued(self, operations):
        """Wait until that many operations wait for the ledger; but not for ever, if they never do."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while self.queued() < operations:  # noqa: ASYNC110 -- the ledger tells nobody how full it is
                await asyncio.sleep(0)

    async def until_serving(self):
        """Wait until the store that failed is back."""
        await self._serving.wait()

    def _tell_health(self, serving):
        (self._serving.set if serving else self._serving.clear)()
        task = asyncio.ensure_future(self.server.set_serving(serving))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def send(self, method, request, timeout_seconds=TIMEOUT_SECONDS):
        """Send a request, or bytes that need not be one, to a method named "Check" or "Service/Check"."""
        path = f"/{method}" if "/" in method else f"/{_SERVICES.get(method, METERING)}/{method}"
        raw = request if isinstance(request, bytes) else request.SerializeToString()
        return self.channel.unary_unary(path)(raw, timeout=timeout_seconds)

    async def after(self, seconds):
        """Let that much time pass, and end what is due then."""
        self.now_us += int(seconds * 1_000_000)
        return await self.sweeper.sweep()

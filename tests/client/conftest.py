"""A scripted daemon in this process, and the two clients behind one face so that every scenario runs against both."""

# ruff: noqa: N802  gRPC names a servicer's methods as the contract does

import asyncio
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

import meterd
from meterd.v1 import (
    account_pb2,
    ledger_pb2,
    ledger_pb2_grpc,
    metering_pb2,
    metering_pb2_grpc,
    pricing_pb2,
    pricing_pb2_grpc,
)


@dataclass(frozen=True)
class Failure:
    """A status that the daemon answers, with the bytes of its details when there are any."""

    code: grpc.StatusCode
    message: str = "no"
    details: bytes | None = None


def failure(code, reason="", metadata=None, *, domain="meterd", violations=(), retry_after=None):
    """Return a Failure with rich details, as the daemon sends them."""
    details = [error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata or {})]
    if violations:
        fields = [error_details_pb2.BadRequest.FieldViolation(field=f, description=d) for f, d in violations]
        details.append(error_details_pb2.BadRequest(field_violations=fields))
    if retry_after is not None:
        details.append(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(**retry_after)))
    status = status_pb2.Status(code=code.value[0], message="no")
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return Failure(code, details=status.SerializeToString())


class Daemon(
    metering_pb2_grpc.MeteringServiceServicer,
    ledger_pb2_grpc.LedgerServiceServicer,
    pricing_pb2_grpc.PricingServiceServicer,
):
    """Answers what `script` holds, or `scripts` for a user, and then echoes; writes down every request.

    In a Batch each operation is a request of its own; `batches` has them as they came together. What `batch_script` holds
    is the answer to a whole one. Nothing is answered while `released` is clear, no Batch while `batch_released` is.
    """

    failure = staticmethod(failure)
    Failure = Failure

    def __init__(self, address="127.0.0.1:0"):
        self.requests = []
        self.batches = []
        self.script = deque()
        self.scripts = {}
        self.batch_script = deque()
        self.arrived = threading.Event()
        self.calls = threading.Semaphore(0)  # released by every call that arrives
        self.released = threading.Event()
        self.released.set()
        self.batch_released = threading.Event()
        self.batch_released.set()
        self._threads = ThreadPoolExecutor(8)
        self._server = grpc.server(self._threads)
        metering_pb2_grpc.add_MeteringServiceServicer_to_server(self, self._server)
        ledger_pb2_grpc.add_LedgerServiceServicer_to_server(self, self._server)
        pricing_pb2_grpc.add_PricingServiceServicer_to_server(self, self._server)
        port = self._server.add_insecure_port(address)
        self.address = address if address.startswith("unix:") else f"127.0.0.1:{port}"
        self._server.start()

    def stop(self):
        self.released.set()
        self.batch_released.set()
        self._server.stop(None).wait()
        self._threads.shutdown()

    def wait_for_call(self):
        assert self.calls.acquire(timeout=30)

    def _answer(self, request, echo):
        user_script = self.scripts.get(getattr(request, "user_id", None)) or self.script
        return user_script.popleft() if user_script else echo

    def _arrive(self):
        self.arrived.set()
        self.calls.release()
        self.released.wait()

    def _play(self, request, context, echo):
        self.requests.append(request)
        self._arrive()
        return _or_abort(self._answer(request, echo), context)

    def Batch(self, request, context):
        self.batches.append(request)
        self._arrive()
        self.batch_released.wait()
        if self.batch_script:
            return _or_abort(self.batch_script.popleft(), context)
        response = metering_pb2.BatchResponse()
        for operation in request.operations:
            kind = operation.WhichOneof("operation")
            each = getattr(operation, kind)
            self.requests.append(each)
            answer = self._answer(each, ECHO[kind](each))
            result = response.results.add()
            if isinstance(answer, Failure):
                result.status.MergeFromString(answer.details)
            else:
                getattr(result, kind).CopyFrom(answer)
        return response

    def Check(self, request, context):
        return self._play(request, context, _echo_check(request))

    def RecordCost(self, request, context):
        return self._play(request, context, _echo_cost(request))

    def RecordFunding(self, request, context):
        return self._play(request, context, _echo_funding(request))

    def GetBalance(self, request, context):
        return self._play(request, context, ledger_pb2.GetBalanceResponse())

    def ListEntries(self, request, context):
        return self._play(request, context, ledger_pb2.ListEntriesResponse())

    def Quote(self, request, context):
        return self._play(request, context, pricing_pb2.QuoteResponse())

    def PutRateCard(self, request, context):
        return self._play(request, context, pricing_pb2.PutRateCardResponse(rate_cards=request.rate_cards))

    def ListRateCards(self, request, context):
        return self._play(request, context, pricing_pb2.ListRateCardsResponse())


def _or_abort(answer, context):
    if not isinstance(answer, Failure):
        return answer
    if answer.details is not None:
        context.set_trailing_metadata((("grpc-status-details-bin", answer.details),))
    return context.abort(answer.code, answer.message)


def _echo_check(_):
    return metering_pb2.CheckResponse(allowed=True)


def _echo_cost(request):
    entry = account_pb2.Entry(
        user_id=request.user_id,
        kind=account_pb2.ENTRY_KIND_COST,
        amount_microcents=-request.cost_microcents,
        request_id=request.request_id,
        service=request.service,
        labels=request.labels,
        occur_time=request.occur_time if request.HasField("occur_time") else None,
    )
    return metering_pb2.RecordCostResponse(entry=entry)


def _echo_funding(request):
    entry = account_pb2.Entry(kind=account_pb2.ENTRY_KIND_FUNDING, request_id=request.request_id)
    return metering_pb2.RecordFundingResponse(entry=entry)


ECHO = {"check": _echo_check, "record_cost": _echo_cost, "record_funding": _echo_funding}


class Blocking:
    """`meterd.Client` as it is; its pauses are written down instead of slept."""

    def __init__(self, *args, **options):
        self.client = meterd.Client(*args, **options)
        self.pauses = []
        self.client._sleep = self.pauses.append

    def __getattr__(self, name):
        return getattr(self.client, name)

    def shut(self):
        self.client.close()


class Asyncio:
    """`meterd.AsyncClient` with every call run to its end in one event loop of its own."""

    def __init__(self, *args, **options):
        self.client = meterd.AsyncClient(*args, **options)
        self.runner = asyncio.Runner()
        self.pauses = []
        self.client._sleep = self._pause

    async def _pause(self, seconds):
        self.pauses.append(seconds)

    def __getattr__(self, name):
        return lambda *args, **options: self.runner.run(getattr(self.client, name)(*args, **options))

    def list_entries(self, *args, **options):
        return self._iterate(self.client.list_entries(*args, **options))

    def list_rate_cards(self, *args, **options):
        return self._iterate(self.client.list_rate_cards(*args, **options))

    def _iterate(self, values):
        while (value := self.runner.run(anext(values, None))) is not None:
            yield value

    def shut(self):
        self.runner.run(self.client.close())
        self.runner.close()


@pytest.fixture
def daemon():
    """Start a scripted daemon on a port of its own."""
    daemon = Daemon()
    yield daemon
    daemon.stop()


@pytest.fixture(params=[Blocking, Asyncio])
def connect(request, daemon):
    """Return a function that makes a client of either kind, by default for `daemon`, and shuts it in the end."""
    made = []

    def connect(address=None, **options):
        made.append(request.param(address or daemon.address, **options))
        return made[-1]

    yield connect
    for client in made:
        client.shut()


@pytest.fixture
def client(connect):
    """Make a client of either kind with every default."""
    return connect()

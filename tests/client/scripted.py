"""A scripted daemon in this process."""

# ruff: noqa: N802  gRPC names a servicer's methods as the contract does

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from meterd.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    ledger_pb2,
    ledger_pb2_grpc,
    metering_pb2,
    metering_pb2_grpc,
    pricing_pb2,
    pricing_pb2_grpc,
)

from .echoes import ECHO, echo_meter


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
    admin_pb2_grpc.AdminServiceServicer,
):
    """Answers what `script` holds, or `scripts` for a user, and then echoes; writes down every request.

    In a Batch, or a message of a Stream, each operation is a request of its own; `batches` has them as they came together.
    What `batch_script` holds is the answer to a whole one; a failure ends a stream. `streams` is how many were opened,
    `streams_ended` of how many the caller is done. Nothing is answered while `released` is clear, no batch while
    `batch_released` is.
    """

    failure = staticmethod(failure)
    Failure = Failure

    def __init__(self, address="127.0.0.1:0"):
        self.requests = []
        self.batches = []
        self.streams = self.streams_ended = 0
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
        admin_pb2_grpc.add_AdminServiceServicer_to_server(self, self._server)
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

    def Stream(self, requests, context):
        self.streams += 1
        for request in requests:
            response = self.Batch(request, context)
            yield metering_pb2.StreamResponse(results=response.results)
        self.streams_ended += 1

    def Check(self, request, context):
        return self._play(request, context, ECHO["check"](request))

    def RecordCost(self, request, context):
        return self._play(request, context, ECHO["record_cost"](request))

    def RecordFunding(self, request, context):
        return self._play(request, context, ECHO["record_funding"](request))

    def Reserve(self, request, context):
        return self._play(request, context, ECHO["reserve"](request))

    def Capture(self, request, context):
        return self._play(request, context, ECHO["capture"](request))

    def Release(self, request, context):
        return self._play(request, context, ECHO["release"](request))

    def Extend(self, request, context):
        return self._play(request, context, ECHO["extend"](request))

    def Meter(self, requests, context):
        for request in requests:
            answer = self._play(request, context, echo_meter(request))
            if answer is None:
                return  # scripted: the stream ends without an answer
            yield answer

    def SetAccountPolicy(self, request, context):
        return self._play(request, context, admin_pb2.SetAccountPolicyResponse())

    def ReverseEntry(self, request, context):
        return self._play(request, context, admin_pb2.ReverseEntryResponse())

    def GetBalance(self, request, context):
        return self._play(request, context, ledger_pb2.GetBalanceResponse())

    def ListEntries(self, request, context):
        return self._play(request, context, ledger_pb2.ListEntriesResponse())

    def ListBalances(self, request, context):
        return self._play(request, context, ledger_pb2.ListBalancesResponse())

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

"""Many operations in one message: what `Batch` and `Stream` have in common.

An operation is checked as its own call would be, all that can stand go to the ledger in one piece, and each gets its own result.
Reading and writing give the event loop away every few hundred operations, so that a large batch holds up nobody's small call for
long.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from google.rpc import status_pb2  # type: ignore[import-untyped, unused-ignore]

from meterd_server.errors import Overloaded
from meterd_server.model import Capture, Check, Extend, RecordCost, RecordFunding, Rejection, Release, Reserve
from meterd_server.rpc import encode, validate
from meterd_server.rpc.status import RequestError, Violation, from_exception, from_rejection, invalid_argument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

    from meterd.v1 import metering_pb2
    from meterd_server.ledger import AnyLedger
    from meterd_server.model import Command, Outcome

    Operations = RepeatedCompositeFieldContainer[metering_pb2.Operation]
    Results = RepeatedCompositeFieldContainer[metering_pb2.OperationResult]

OPERATIONS_MAX = 10_000

_AT_A_TIME = 500

_READ: Mapping[str, Callable[[Any, validate.Sources], Command]] = {
    "check": validate.check,
    "record_cost": validate.record_cost,
    "record_funding": validate.record_funding,
    "reserve": validate.reserve,
    "capture": validate.capture,
    "release": validate.release,
    "extend": validate.extend,
}
"""By the name of an operation, which its result has as well."""

_WRITE: Mapping[type[Command], tuple[str, Callable[[Any, Any], None]]] = {
    Check: ("check", encode.fill_check),
    RecordCost: ("record_cost", encode.fill_recorded),
    RecordFunding: ("record_funding", encode.fill_recorded),
    Reserve: ("reserve", encode.fill_held),
    Capture: ("capture", encode.fill_held),
    Release: ("release", encode.fill_held),
    Extend: ("extend", encode.fill_held),
}


class Work:
    """The operations of one message on their way: `begin` sends them to the ledger, `finish` writes what became of them."""

    def __init__(self, operations: Operations, ledger: AnyLedger, sources: validate.Sources) -> None:
        self._operations = operations
        self._ledger = ledger
        self._sources = sources
        self._plan: list[Command | status_pb2.Status] = []
        self._answer: asyncio.Future[list[Outcome]] | None = None

    async def begin(self) -> None:
        """Queue what can stand, in order. Raises `RequestError` for too many, and what `Ledger.submit_all` raises."""
        count = len(self._operations)
        if count > OPERATIONS_MAX:
            raise RequestError(
                invalid_argument([Violation("operations", f"has more than {OPERATIONS_MAX} operations")])
            )
        if self._ledger.is_full():
            # To check them first would cost as much as carrying out a fifth of them, when there is least to spare.
            raise Overloaded
        for first in _steps(count):
            if first:
                await asyncio.sleep(0)
            self._plan += map(self._read, self._operations[first : first + _AT_A_TIME])
        commands = [step for step in self._plan if not isinstance(step, status_pb2.Status)]
        if commands:
            self._answer = self._ledger.submit_all(commands)

    async def finish(self, results: Results) -> None:
        """Wait for the ledger and add a result for each operation. Raises what `Ledger.submit_all`'s future raises."""
        outcomes = iter(await self._answer if self._answer else ())
        for first in _steps(len(self._plan)):
            if first:
                await asyncio.sleep(0)
            _write(results, self._plan[first : first + _AT_A_TIME], outcomes)

    def fail(self, error: Exception, results: Results) -> None:
        """Add the status of `error` as every operation's result."""
        status = from_exception(error)
        for _ in self._operations:
            results.add().status.CopyFrom(status)

    def _read(self, operation: metering_pb2.Operation) -> Command | status_pb2.Status:
        kind = operation.WhichOneof("operation")
        if kind is None:
            return invalid_argument([Violation("operation", "is missing, or of a kind that is not known here")])
        try:
            return _READ[kind](getattr(operation, kind), self._sources)
        except RequestError as error:
            return error.status


def _steps(count: int) -> range:
    return range(0, count, _AT_A_TIME)


def _write(results: Results, plan: Sequence[Command | status_pb2.Status], outcomes: Iterator[Outcome]) -> None:
    for step in plan:
        result = results.add()
        if isinstance(step, status_pb2.Status):
            result.status.CopyFrom(step)
            continue
        outcome = next(outcomes)
        if isinstance(outcome, Rejection):
            result.status.CopyFrom(from_rejection(outcome))
            continue
        name, fill = _WRITE[type(step)]
        fill(getattr(result, name), outcome)

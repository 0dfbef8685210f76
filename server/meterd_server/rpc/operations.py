"""Many operations in one message: what `Batch` and `Stream` have in common.

An operation is checked as its own call would be, all that can stand go to the ledger in one piece, and each gets its own result.
Reading and writing give the event loop away every few hundred operations, so that a large batch holds up nobody's small call for
long.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from google.rpc import status_pb2  # type: ignore[import-untyped, unused-ignore]

from meterd.v1 import metering_pb2
from meterd_server.errors import Overloaded
from meterd_server.model import (
    Capture,
    Check,
    Command,
    Extend,
    RecordCost,
    RecordedColumns,
    RecordFunding,
    Rejection,
    Release,
    Reserve,
    together,
)
from meterd_server.rpc import encode, validate
from meterd_server.rpc.decode import Undecodable
from meterd_server.rpc.plain_answers import is_plain, recorded_all, recorded_each
from meterd_server.rpc.plain_costs import CostReader, PlainCost, PlainCosts
from meterd_server.rpc.status import RequestError, Violation, from_exception, from_rejection, invalid_argument

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from meterd_server.ledger import AnyLedger
    from meterd_server.model import Applied, Outcome
    from meterd_server.rpc.decode import Operations

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


_Step: TypeAlias = PlainCost | Command | status_pb2.Status
"""What an operation came to by itself: one with a status goes no further."""

_Part: TypeAlias = PlainCosts | list[_Step]
"""Operations that were read in one go: costs that are all in the common form, or anything."""


class UnreadableError(RequestError):
    """An operation is not a message at all, so nothing is done of what came with it."""


class Work:
    """The operations of one message on their way: `begin` sends them to the ledger, `finish` tells what became of them."""

    def __init__(self, operations: Operations, ledger: AnyLedger, sources: validate.Sources) -> None:
        self._operations = operations
        self._ledger = ledger
        self._sources = sources
        self._plan: list[tuple[_Part, int]] = []
        """The parts, and how many commands each has."""
        self._answer: asyncio.Future[Sequence[Outcome]] | None = None

    async def begin(self) -> None:
        """Queue what can stand, in order. Raises `RequestError` for too many, and what `Ledger.submit_all` raises."""
        if len(self._operations.operations) > OPERATIONS_MAX:
            raise RequestError(
                invalid_argument([Violation("operations", f"has more than {OPERATIONS_MAX} operations")])
            )
        if self._ledger.is_full():
            # To check them first would cost as much as carrying out a fifth of them, when there is least to spare.
            raise Overloaded
        commands: list[Sequence[Command]] = []
        for places, text in self._operations.parts(_AT_A_TIME):
            if places.start:
                await asyncio.sleep(0)
            part = self._read(places, text)
            of_part = _commands_of(part)
            self._plan.append((part, len(of_part)))
            if of_part:
                commands.append(of_part)
        if commands:
            self._answer = self._ledger.submit_all(together(commands))

    async def finish(self) -> bytes:
        """Wait for the ledger; the message with a result for each operation. Raises what `Ledger.submit_all`'s future raises."""
        outcomes = await self._answer if self._answer else ()
        results = _Results()
        first = 0
        for number, (part, count) in enumerate(self._plan):
            if number:
                await asyncio.sleep(0)
            results.add_part(part, outcomes[first : first + count])
            first += count
        return results.message()

    def fail(self, error: Exception) -> bytes:
        """The message with the status of `error` as every operation's result."""
        result = metering_pb2.OperationResult(status=from_exception(error))
        return metering_pb2.BatchResponse(results=[result] * len(self._operations.operations)).SerializeToString()

    def _read(self, places: range, text: str) -> _Part:
        """Read a part of the operations."""
        reader = CostReader(self._sources.prices)
        if costs := reader.read_all(text, len(places)):
            return costs
        read = reader.read_each(self._operations.operations[places.start : places.stop])
        return [cost or self._read_message(place) for place, cost in zip(places, read, strict=True)]

    def _read_message(self, place: int) -> Command | status_pb2.Status:
        message = self._operations.message
        if isinstance(message, Undecodable):
            raise UnreadableError(invalid_argument([message.violation]))
        operation = message.operations[place]
        kind = operation.WhichOneof("operation")
        if kind is None:
            return invalid_argument([Violation("operation", "is missing, or of a kind that is not known here")])
        try:
            return _READ[kind](getattr(operation, kind), self._sources)
        except RequestError as error:
            return error.status


def _commands_of(part: _Part) -> Sequence[Command]:
    if isinstance(part, PlainCosts):
        return part.commands
    return [
        step.command if isinstance(step, PlainCost) else step
        for step in part
        if not isinstance(step, status_pb2.Status)
    ]


def _is_plain(pair: tuple[_Step, Outcome | None]) -> TypeGuard[tuple[PlainCost, Applied]]:
    step, outcome = pair
    return isinstance(step, PlainCost) and outcome is not None and is_plain(outcome)


class _Results:
    """Results on their way into one message, on the wire the same for a Batch as for a Stream."""

    def __init__(self) -> None:
        self._done: list[str] = []
        self._messages = metering_pb2.BatchResponse()
        self._has_messages = False

    def add_part(self, part: _Part, outcomes: Sequence[Outcome]) -> None:
        """Add the results of the next operations; `outcomes` are those of their commands."""
        if isinstance(part, PlainCosts) and isinstance(outcomes, RecordedColumns):
            self._add_text("".join(recorded_all(outcomes, part)))
            return
        left = iter(outcomes)
        steps = part.each() if isinstance(part, PlainCosts) else part
        told = [(step, None if isinstance(step, status_pb2.Status) else next(left)) for step in steps]
        plain = {place: pair for place, pair in enumerate(told) if _is_plain(pair)}
        texts = dict(zip(plain, recorded_each([*plain.values()]), strict=True))
        for place, pair in enumerate(told):
            if text := texts.get(place):
                self._add_text(text)
            else:
                self._add(*pair)

    def _add_text(self, text: str) -> None:
        if self._has_messages:
            self._write_messages()
        self._done.append(text)

    def _add(self, step: _Step, outcome: Outcome | None) -> None:
        """Add the result of the next operation."""
        if isinstance(step, status_pb2.Status):
            self._next().status.CopyFrom(step)
        elif isinstance(outcome, Rejection):
            self._next().status.CopyFrom(from_rejection(outcome))
        else:
            name, fill = _WRITE[type(step.command if isinstance(step, PlainCost) else step)]
            fill(getattr(self._next(), name), outcome)

    def message(self) -> bytes:
        """All of them."""
        self._write_messages()
        return "".join(self._done).encode("latin-1")

    def _next(self) -> metering_pb2.OperationResult:
        self._has_messages = True
        return self._messages.results.add()

    def _write_messages(self) -> None:
        self._done.append(str(self._messages.SerializeToString(), "latin-1"))
        self._messages.Clear()
        self._has_messages = False

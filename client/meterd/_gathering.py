"""What concurrent callers ask for, gathered into batches: which go together, and what each of them gets. Does no I/O.

A caller alone is never made to wait: its operation goes at once, as the unary call it is. While as many calls as may be
under way are, what is asked for meanwhile gathers, and goes as one batch when one of them is over.
"""

import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from itertools import accumulate, islice
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from meterd import _status, errors
from meterd._calls import Call
from meterd._parts import RESULT_TAGS, Operations
from meterd.v1 import metering_pb2

IN_FLIGHT_MAX = 2
"""How many calls may be under way: two, so that the daemon works on one while this side reads and writes another.

Measured with 256 tasks on 2026-11-24, calls/s: one 34,000, two 55,000, three 49,000, four 46,000.
"""

OPERATIONS_MAX = 1_000
"""What goes into one batch at most: beyond it a batch gets no cheaper an operation, only longer."""

BYTES_MAX = 1 << 20
"""Of a batch's operations; the answer may be 200 bytes an operation longer, and gRPC's limit is 4 MiB for either."""

SHARE_MIN = 32
"""The least that is worth a batch of its own when several could be sent at once."""


class _Heads(dict[int, bytes]):
    """What results of one kind begin with, by their length, if they are one field and nothing else, as nearly all are."""

    def __init__(self, tag: bytes) -> None:
        super().__init__()
        self._tag = tag

    def __missing__(self, result_bytes: int) -> bytes:
        rest_bytes = result_bytes - len(self._tag)
        if 1 <= rest_bytes <= 128:
            head = self._tag + bytes([rest_bytes - 1])
        elif 130 <= rest_bytes < 2 + (1 << 14):
            head = self._tag + bytes([rest_bytes - 2 & 127 | 128, rest_bytes - 2 >> 7])
        else:
            return bytes(result_bytes + 1)  # no result begins so: it has to be read
        self[result_bytes] = head
        return head


_HEADS = {kind: _Heads(tag) for kind, tag in RESULT_TAGS.items()}


class Signal(Enum):
    """What a caller may be told instead of an answer."""

    ALONE = "alone"
    """Send your operation by itself: this daemon does not take it in a batch."""
    CLOSED = "closed"
    """The client was closed before your operation was answered."""


Outcome = Message | bytes | errors.Error | Signal
"""What becomes of an operation: its answer, as a response or as a result of a Batch; the error to raise, or what to do about it."""


class Asking:
    """A caller whose operation is gathered; compared and hashed by identity."""

    __slots__ = ("call", "deadline", "leads", "operation")

    def __init__(self, call: Call[Any], operation: metering_pb2.Operation | bytes, deadline: float) -> None:
        self.call = call
        self.operation = operation if isinstance(operation, bytes) else operation.SerializeToString()
        self.deadline = deadline
        """By time.monotonic(): when the caller will have stopped waiting."""
        self.leads: list[Any] | None = None
        """The batch that this caller answers for, itself included: under way until it leaves."""

    def tell(self, outcome: Outcome) -> None:
        """Let the caller go on with this; does nothing when it knows already, or is gone."""
        raise NotImplementedError


AskingT = TypeVar("AskingT", bound=Asking)


class Gathering(Generic[AskingT]):
    """The operations that wait and the batches under way. Not for several threads at once: they hold a lock around it."""

    def __init__(self, in_flight_max: int = IN_FLIGHT_MAX) -> None:
        self._in_flight_max = in_flight_max
        self._bytes_max = BYTES_MAX
        self._waiting: dict[AskingT, None] = {}  # in the order they came; whoever gives up leaves from the middle
        self._under_way: list[list[AskingT]] = []
        self.batches = True
        """False once the daemon turned out to take no batches: every operation is then for its caller to send."""

    def add(self, asking: AskingT) -> None:
        """Let an operation wait for its turn."""
        self._waiting[asking] = None

    def leave(self, asking: AskingT) -> None:
        """Forget a caller who is gone: what it asked for, if not yet sent, and that the batch it leads is under way."""
        self._waiting.pop(asking, None)
        if asking.leads is not None:
            self.finish(asking.leads)
            asking.leads = None

    def take(self) -> list[AskingT]:
        """Return the next batch, now under way until `finish`; empty when nothing waits or enough is under way."""
        free = self._in_flight_max - len(self._under_way)
        if not (self._waiting and free > 0):
            return []
        # Shared out evenly, or all who were answered together would for ever ask together, and one side always idle.
        share = max(SHARE_MIN, -(-len(self._waiting) // free))
        batch = self._first(min(share, OPERATIONS_MAX))
        for asking in batch:
            del self._waiting[asking]
        self._under_way.append(batch)
        return batch

    def _first(self, operations: int) -> list[AskingT]:
        """Return the operations that wait, in order, while they fit a batch; the first one always does."""
        first = list(islice(self._waiting, operations))
        sizes_bytes = accumulate([len(asking.operation) for asking in first])
        return first[: max(1, bisect_right(list(sizes_bytes), self._bytes_max))]

    def finish(self, batch: list[AskingT]) -> None:
        """Note that a batch is no longer under way, whatever became of it."""
        self._under_way = [each for each in self._under_way if each is not batch]

    def unanswered(self) -> Iterator[AskingT]:
        """Yield everyone who waits or is under way; some of the latter may be gone."""
        yield from self._waiting
        for batch in self._under_way:
            yield from batch

    def close(self) -> None:
        """Tell everyone who waits that nothing will be sent any more."""
        waiting, self._waiting = self._waiting, {}
        tell_all(waiting, Signal.CLOSED)

    def refused(self, batch: Sequence[AskingT], rpc_error: grpc.RpcError) -> None:
        """Tell each in a batch what its failure means for it."""
        code = rpc_error.code()
        if code is grpc.StatusCode.UNIMPLEMENTED:
            self.batches = False
            tell_all(batch, Signal.ALONE)
        elif code is grpc.StatusCode.RESOURCE_EXHAUSTED and not _status.reason(rpc_error):
            # gRPC's own words for a message that is too long for one side: smaller ones from now on. A stream ends with it, so that
            # others who were under way are told as well, whose messages may have been short.
            size_bytes = _size_bytes(batch)
            if size_bytes >= max(map(_size_bytes, self._under_way), default=0):
                self._bytes_max = min(self._bytes_max, size_bytes // 2)
            tell_all(batch, Signal.ALONE)
        else:
            for asking in batch:
                asking.tell(_status.error_from(rpc_error, asking.call.request_id))


def _size_bytes(batch: Iterable[Asking]) -> int:
    return sum(len(asking.operation) for asking in batch)


def tell_all(batch: Iterable[Asking], outcome: Signal) -> None:
    """Tell everyone the same."""
    for asking in batch:
        asking.tell(outcome)


def interrupted(batch: Iterable[Asking]) -> None:
    """Tell everyone that who sent their batch is gone, and with it the answer."""
    for asking in batch:
        message = "the call that carried it was interrupted; the outcome is unknown"
        asking.tell(errors.UnavailableError(message, request_id=asking.call.request_id))


def answer_from(asking: Asking, outcome: Outcome | None) -> Message | bytes:
    """Return the answer that a caller was told; raise what it was told instead, or that it was told nothing in time."""
    if isinstance(outcome, (bytes, Message)):  # a union would be made anew each time
        return outcome
    if isinstance(outcome, errors.Error):
        raise outcome
    if outcome is None:
        raise timed_out(asking)
    raise RuntimeError("this client is closed; make a new one")


def timed_out(asking: Asking) -> errors.DeadlineExceededError:
    """Return the error of a caller who has waited long enough."""
    return errors.DeadlineExceededError("no answer within the timeout", request_id=asking.call.request_id)


def request_from(batch: Iterable[Asking]) -> Message:
    """Return the operations of a batch as one request."""
    request: Message = Operations(parts=[asking.operation for asking in batch])
    return request


def remaining_seconds(batch: Iterable[Asking]) -> float:
    """Return how long the call may take: as long as anyone in the batch would wait."""
    return max(0.0, max(asking.deadline for asking in batch) - time.monotonic())


def answered(batch: Sequence[Asking], response: Any) -> None:  # noqa: ANN401 -- of a class that is made at run time
    """Give everyone in a batch their own of the `Results` that the daemon answered."""
    results: list[bytes] = list(response.parts)
    if len(results) != len(batch):
        for asking in batch:
            asking.tell(_senseless(asking, f"the daemon answered {len(results)} of {len(batch)} operations"))
        return
    for asking, result in zip(batch, results, strict=True):
        asking.tell(_outcome(asking, result))


def _outcome(asking: Asking, result: bytes) -> Outcome:
    kind = asking.call.kind
    if result.startswith(_HEADS[kind][len(result)]):
        return result
    try:
        read = metering_pb2.OperationResult.FromString(result)
    except DecodeError:
        return _senseless(asking, "the daemon answered what is no result")
    answered_kind = read.WhichOneof("result")
    if answered_kind == kind:
        return result
    if answered_kind == "status":
        return _status.error_from_status(read.status, asking.call.request_id)
    return _senseless(asking, f"the daemon answered {kind} with {answered_kind}")


def _senseless(asking: Asking, message: str) -> errors.InternalError:
    return errors.InternalError(message, request_id=asking.call.request_id)

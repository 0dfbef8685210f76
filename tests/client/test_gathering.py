"""Which operations go together: all that wait, in order, within the limits, and never more than a few batches at a time."""

import grpc
import pytest

import meterd
from meterd import _calls
from meterd._gathering import (
    BYTES_MAX,
    IN_FLIGHT_MAX,
    OPERATIONS_MAX,
    SHARE_MIN,
    Asking,
    Gathering,
    Signal,
    answered,
    request_from,
)
from meterd._parts import Results
from meterd.v1 import metering_pb2


class Caller(Asking):
    """Writes down what it is told."""

    def __init__(self, name, labels=None):
        call = _calls.record_cost(
            name, 1, service="", labels=labels, request_id="r", reject_overdraft=False, occur_time=None
        )
        super().__init__(call, call.operation, 0.0)
        self.name = name
        self.told = []

    def tell(self, outcome):
        self.told.append(outcome)


@pytest.fixture
def gathering():
    """Make a gathering that sends one batch at a time."""
    return Gathering(1)


def add(gathering, count, labels=None):
    """Let callers wait, named by their numbers."""
    callers = [Caller(f"{number}", labels) for number in range(count)]
    for caller in callers:
        gathering.add(caller)
    return callers


def test_nothing_waits(gathering):
    """There is no empty batch."""
    assert [] == gathering.take()


def test_a_batch_is_what_waits_in_order(gathering):
    """All who wait go together, in the order they came."""
    callers = add(gathering, 3)
    assert callers == gathering.take()
    assert [] == gathering.take()


def test_what_comes_meanwhile_is_the_next_batch(gathering):
    """While one is under way nothing is sent, and what gathers goes when it is finished."""
    (first,) = add(gathering, 1)
    batch = gathering.take()
    later = add(gathering, 2)
    assert ([first], []) == (batch, gathering.take())
    gathering.finish(batch)
    assert later == gathering.take()


def test_a_caller_who_is_gone_is_not_sent(gathering):
    """Whoever leaves while it waits is forgotten, and so is the batch of a leader who leaves."""
    leader, gone, stays = add(gathering, 3)
    gathering.leave(gone)
    leader.leads = gathering.take()
    assert [leader, stays] == leader.leads
    (later,) = add(gathering, 1)
    gathering.leave(leader)
    assert [later] == gathering.take()


def test_a_batch_has_a_largest_number_of_operations(gathering):
    """What is more than that goes in the next batch."""
    callers = add(gathering, OPERATIONS_MAX + 1)
    batch = gathering.take()
    assert callers[:-1] == batch
    gathering.finish(batch)
    assert callers[-1:] == gathering.take()


def test_a_batch_has_a_largest_size(gathering):
    """What is longer than that goes in the next batch; an operation that is too long by itself goes by itself."""
    callers = add(gathering, 3, {f"{number}": "v" * 4_000 for number in range(200)})
    assert BYTES_MAX < 2 * len(callers[0].operation)
    for caller in callers:
        batch = gathering.take()
        assert [caller] == batch
        gathering.finish(batch)


def test_many_are_shared_out():
    """When several batches may be sent at once, many operations are divided evenly among them, and a few are not."""
    gathering = Gathering(2)
    add(gathering, 4 * SHARE_MIN)
    shares = [gathering.take(), gathering.take()]
    assert [2 * SHARE_MIN] * 2 == [len(share) for share in shares]
    for share in shares:
        gathering.finish(share)
    add(gathering, SHARE_MIN)
    assert SHARE_MIN == len(gathering.take())


def test_only_a_few_batches_are_under_way():
    """However many wait, no more than a few are sent before one is finished."""
    gathering = Gathering()
    add(gathering, OPERATIONS_MAX * (IN_FLIGHT_MAX + 1))
    assert [OPERATIONS_MAX] * IN_FLIGHT_MAX + [0] == [len(gathering.take()) for _ in range(IN_FLIGHT_MAX + 1)]


class TooLong(grpc.RpcError):
    """What gRPC says of a message that is too long for one side."""

    def code(self):
        return grpc.StatusCode.RESOURCE_EXHAUSTED

    def trailing_metadata(self):
        return ()


@pytest.mark.parametrize("long_first", [True, False])
def test_a_long_message_shortens_no_others(long_first):
    """When a stream ends because of one message, all who were under way go by themselves, and the long one is what is halved."""
    gathering = Gathering(2)
    short = add(gathering, 2)
    batches = [gathering.take()]
    long = add(gathering, 20)
    batches.append(gathering.take())
    for batch in reversed(batches) if long_first else batches:
        gathering.refused(batch, TooLong())
    assert [[Signal.ALONE]] * 22 == [each.told for each in (*short, *long)]
    for batch in batches:
        gathering.finish(batch)
    add(gathering, 20)
    assert 10 == len(gathering.take())


def test_closing_tells_those_who_wait(gathering):
    """Whoever waits is told, whoever is under way is not, and nothing is left to send."""
    (sent,) = add(gathering, 1)
    batch = gathering.take()
    waiting = add(gathering, 2)
    gathering.close()
    assert ([], [[Signal.CLOSED]] * 2) == (sent.told, [each.told for each in waiting])
    gathering.finish(batch)
    assert [] == gathering.take()


def test_a_request_is_a_batch_request(gathering):
    """What is sent reads as a BatchRequest with the callers' operations in order."""
    callers = add(gathering, 3, {"k": "v"})
    request = metering_pb2.BatchRequest.FromString(request_from(gathering.take()).SerializeToString())
    assert [caller.operation for caller in callers] == [each.SerializeToString() for each in request.operations]


RECORDED = metering_pb2.OperationResult(record_cost={"replayed": True}).SerializeToString()
LONG = metering_pb2.OperationResult(record_cost={"entry": {"labels": {"k": "v" * 300}}}).SerializeToString()
UNKNOWN = b"\xa2\x06\x01x"  # a field of a newer daemon


def told(result):
    """Return what a caller of RecordCost is told of a result."""
    caller = Caller("alice")
    answered([caller], Results(parts=[result]))
    return caller.told[0]


@pytest.mark.parametrize(
    "result",
    [RECORDED, LONG, UNKNOWN + RECORDED, RECORDED + UNKNOWN, b"\x92\x00" + RECORDED[1:], b"\x7a\x00" + RECORDED],
    ids=["short", "long", "something before", "something after", "a long tag", "a status before"],
)
def test_a_result_is_the_callers(result):
    """A result is told however it is written, if it is of the kind that was asked for."""
    assert result == told(result)


@pytest.mark.parametrize(
    "result",
    [b"", b"\xff", b"\x12", RECORDED[:-1], RECORDED + b"\n\x00", b"\n\x00", b"\x12\xff\x7f"],
    ids=["nothing", "no tag", "no length", "cut", "a check after", "a check", "a length only"],
)
def test_what_is_no_answer_is_an_error(result):
    """A result that cannot be one of the kind that was asked for is an error, not a value that fails when it is looked at."""
    error = told(result)
    assert (meterd.InternalError, "r") == (type(error), error.request_id)


def test_a_status_is_an_error():
    """A status is that caller's error, whatever else is in the result before it."""
    status = metering_pb2.OperationResult(status={"code": 14, "message": "no"}).SerializeToString()
    assert [meterd.UnavailableError] * 2 == [type(told(each)) for each in (status, RECORDED + status)]


def test_an_answer_that_cannot_be_read():
    """What is garbage inside a result is an error of this client's when it is looked at."""
    value = Caller("alice").call.parse(told(b"\x12\x01\xff"))
    with pytest.raises(meterd.InternalError):
        value.replayed  # noqa: B018


def test_an_answer_is_a_batch_response(gathering):
    """Each caller is told their own of a BatchResponse's results."""
    callers = add(gathering, 2)
    results = [metering_pb2.OperationResult(record_cost={"replayed": replayed}) for replayed in (True, False)]
    answered(callers, Results.FromString(metering_pb2.BatchResponse(results=results).SerializeToString()))
    assert [[result.SerializeToString()] for result in results] == [caller.told for caller in callers]

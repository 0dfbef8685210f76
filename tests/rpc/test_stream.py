"""Batches on one stream, pipelined: answered in order, held up by flow control, and not ended by what fails."""

import asyncio

import grpc
import pytest

from meterd.v1 import metering_pb2
from meterd_server.errors import Overloaded, StoreUnavailable
from meterd_server.rpc import streams
from meterd_server.rpc.handlers import CallerGone
from meterd_server.rpc.operations import OPERATIONS_MAX
from meterd_server.rpc.streams import MESSAGES_IN_FLIGHT_MAX, Streams

from .house import TIMEOUT_SECONDS, refused
from .operations import brief, check, cost, fund

Code = grpc.StatusCode


@pytest.fixture
def stream(house):
    """Open a stream."""
    return house.metering.Stream(timeout=TIMEOUT_SECONDS)


def message(*operations):
    """Return one message of a stream."""
    return metering_pb2.StreamRequest(operations=operations)


async def test_answers_come_in_the_order_sent(house, stream):
    """Each message is answered by one message, in order, and the stream ends OK when the caller is done."""
    await stream.write(message(fund("ada", 100)))
    await stream.write(message())
    await stream.write(message(cost("ada", 30), check("ada", 71)))
    await stream.write(message(cost("ada", 30)))
    await stream.done_writing()
    assert [[100], [], [70, False], [40]] == [[brief(each) for each in answer.results] async for answer in stream]
    assert Code.OK == await stream.code()
    assert 40 == (await house.balance("ada")).balance_microcents


async def test_an_answer_does_not_wait_for_the_next_message(stream):
    """A caller may wait for each answer before sending more: a stream is a conversation."""
    for number in range(1, 4):
        await stream.write(message(cost("ada", 1)))
        assert -number == brief((await stream.read()).results[0])
    await stream.done_writing()
    assert grpc.aio.EOF == await stream.read()


async def test_a_stream_survives_what_is_bad(stream):
    """Malformed operations, too many of them and a refusal are results; the next message is carried out."""
    await stream.write(message(cost("", 1), cost("ada", 1)))
    assert ["INVALID_ARGUMENT", -1] == [brief(each) for each in (await stream.read()).results]
    await stream.write(message(*[metering_pb2.Operation()] * (OPERATIONS_MAX + 1)))
    assert {"INVALID_ARGUMENT"} == {brief(each) for each in (await stream.read()).results}
    await stream.write(message(cost("ada", 1)))
    assert [-2] == [brief(each) for each in (await stream.read()).results]


async def test_a_stream_survives_a_failing_store(house, stream):
    """When the store fails, each operation of the message has that as its status, and the stream goes on when it is back."""
    house.store.error = StoreUnavailable("disk")
    operations = [cost("ada", 5, request_id="r1"), cost("ada", 6, request_id="r2")]
    await stream.write(message(*operations))
    assert ["STORE_UNAVAILABLE"] * 2 == [brief(each) for each in (await stream.read()).results]
    await house.until_serving()
    await stream.write(message(*operations))
    assert [-5, -11] == [brief(each) for each in (await stream.read()).results]


async def test_messages_in_flight_are_bounded(house, stream):
    """While nothing is answered only so many messages are read; the rest are carried out when there is room, in order."""
    house.store.commits_allowed.clear()
    sent = 3 * MESSAGES_IN_FLIGHT_MAX

    async def send():
        for number in range(sent):
            await stream.write(message(cost("ada", 1, request_id=f"r{number}")))
        await stream.done_writing()

    sending = asyncio.ensure_future(send())
    await house.store.commit_begun.wait()
    await house.until_queued(MESSAGES_IN_FLIGHT_MAX - 1)  # and one is being committed
    assert MESSAGES_IN_FLIGHT_MAX >= house.queued()
    house.store.commits_allowed.set()
    assert [f"r{number}" for number in range(sent)] == [
        answer.results[0].record_cost.entry.request_id async for answer in stream
    ]
    await sending
    assert -sent == (await house.balance("ada")).balance_microcents


@pytest.mark.parametrize("spoiled", [b"\x0a\xff", b"\x0a\x05\x12\x03\x0a\x01\xff"])
async def test_a_message_that_does_not_parse_ends_the_stream(house, spoiled):
    """What was sent before it is answered; then the stream ends with INVALID_ARGUMENT, whatever else is in the message."""
    path = "/meterd.v1.MeteringService/Stream"
    stream = house.channel.stream_stream(path)(timeout=TIMEOUT_SECONDS)
    await stream.write(message(cost("ada", 1)).SerializeToString())
    await stream.write(message(cost("ada", 1)).SerializeToString() + spoiled)
    answer = metering_pb2.StreamResponse.FromString(await stream.read())
    assert [-1] == [brief(each) for each in answer.results]
    assert Code.INVALID_ARGUMENT == (await refused(stream.read())).code
    assert -1 == (await house.balance("ada")).balance_microcents


async def test_a_caller_who_goes_away(house, stream):
    """A stream that is cancelled mid-commit leaves whole entries, and the server goes on."""
    house.store.commits_allowed.clear()
    await stream.write(message(cost("ada", 5, request_id="r1")))
    await house.store.commit_begun.wait()
    stream.cancel()
    house.store.commits_allowed.set()
    again = await house.cost("ada", 5, request_id="r1")
    assert -5 == again.balance.balance_microcents


async def test_stopping_ends_a_stream(house, stream):
    """A server that leaves answers what it has read and ends the stream with UNAVAILABLE, and a new stream as well."""
    await stream.write(message(cost("ada", 5)))
    assert [-5] == [brief(each) for each in (await stream.read()).results]
    await house.server.leave()
    assert "STORE_UNAVAILABLE" == (await refused(stream.read())).reason
    late = house.metering.Stream(timeout=TIMEOUT_SECONDS)
    assert Code.UNAVAILABLE == (await refused(late.read())).code


class Caller:
    """The context of a stream that sends what it is told to, and takes an answer when it is let."""

    def __init__(self, *messages):
        self._messages = [*messages, grpc.aio.EOF]
        self.taken = []
        self.takes = asyncio.Event()

    @property
    def sent(self):
        """How many messages were read."""
        return len(self._messages)

    async def read(self):
        """Send the next message."""
        return self._messages.pop(0)

    async def write(self, answer):
        """Take an answer, when let."""
        await self.takes.wait()
        self.taken.append(answer)


async def begin(message):
    """Answer a message with the number of its operations."""
    answer = asyncio.get_running_loop().create_future()
    answer.set_result(len(message.operations))
    return answer


async def rounds():
    """Let everything run that can run."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_who_does_not_read_holds_no_more(monkeypatch):
    """Where too many answers are not taken, a stream with one of them is not read on, and another a message at a time."""
    monkeypatch.setattr(streams, "UNTAKEN_OPERATIONS_MAX", 3)
    open_streams = Streams()
    standing, reading = Caller(*[message(cost("ada", 1))] * 8), Caller(*[message(cost("ada", 1))] * 8)
    reading.takes.set()
    tasks = [asyncio.ensure_future(open_streams.conduct(standing, begin))]
    await rounds()
    assert (6, 3) == (standing.sent, open_streams.untaken_operations)
    await open_streams.conduct(reading, begin)
    assert [1] * 8 == reading.taken
    standing.takes.set()
    await asyncio.gather(*tasks)
    assert ([1] * 8, 0) == (standing.taken, open_streams.untaken_operations)


async def test_too_much_that_is_not_taken(monkeypatch):
    """A message that would hold too much ends its stream with OVERLOADED, after what was read before it is answered."""
    monkeypatch.setattr(streams, "UNTAKEN_OPERATIONS_LIMIT", 3)
    caller = Caller(message(cost("ada", 1)), message(*[cost("ada", 1)] * 3))
    open_streams = Streams()
    caller.takes.set()
    with pytest.raises(Overloaded):
        await open_streams.conduct(caller, begin)
    assert ([1], 0) == (caller.taken, open_streams.untaken_operations)


async def test_a_stream_that_is_left_holds_nothing():
    """What a caller who goes away has not taken counts no more."""
    caller, open_streams = Caller(*[message(cost("ada", 1))] * 3), Streams()
    conducting = asyncio.ensure_future(open_streams.conduct(caller, begin))
    await rounds()
    assert 3 == open_streams.untaken_operations
    conducting.cancel()
    await asyncio.wait([conducting])
    assert 0 == open_streams.untaken_operations


async def test_too_many_streams(house, monkeypatch):
    """One more than may be open is told so, with a time to wait, and may come when another has ended."""
    monkeypatch.setattr(streams, "STREAMS_OPEN_MAX", 1)
    first = house.metering.Stream(timeout=TIMEOUT_SECONDS)
    await first.write(message(cost("ada", 1)))
    await first.read()
    refusal = await refused(house.metering.Stream(timeout=TIMEOUT_SECONDS).read())
    assert (Code.RESOURCE_EXHAUSTED, "OVERLOADED", 0.2) == (refusal.code, refusal.reason, refusal.retry_seconds)
    await first.done_writing()
    assert grpc.aio.EOF == await first.read()
    second = house.metering.Stream(timeout=TIMEOUT_SECONDS)
    await second.write(message(cost("ada", 1)))
    assert [-2] == [brief(each) for each in (await second.read()).results]


async def test_a_caller_who_hung_up():
    """An answer that cannot be written, for the connection is gone, is no fault of ours."""

    class Gone(Caller):
        async def write(self, answer):
            raise grpc.aio.InternalError("the connection is gone")

    with pytest.raises(CallerGone):
        await Streams().conduct(Gone(message(cost("ada", 1))), begin)

"""Batches on one stream, pipelined: answered in order, held up by flow control, and not ended by what fails."""

import asyncio

import grpc
import pytest

from meterd.v1 import metering_pb2
from meterd_server.errors import StoreUnavailable
from meterd_server.rpc.operations import OPERATIONS_MAX
from meterd_server.rpc.streams import MESSAGES_IN_FLIGHT_MAX

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
    await house.until_queued(MESSAGES_IN_FLIGHT_MAX)
    assert MESSAGES_IN_FLIGHT_MAX >= house.queued()
    house.store.commits_allowed.set()
    assert [f"r{number}" for number in range(sent)] == [
        answer.results[0].record_cost.entry.request_id async for answer in stream
    ]
    await sending
    assert -sent == (await house.balance("ada")).balance_microcents


async def test_a_message_that_does_not_parse_ends_the_stream(house):
    """What was sent before it is answered; then the stream ends with INVALID_ARGUMENT."""
    path = "/meterd.v1.MeteringService/Stream"
    stream = house.channel.stream_stream(path)(timeout=TIMEOUT_SECONDS)
    await stream.write(message(cost("ada", 1)).SerializeToString())
    await stream.write(b"\x0a\xff")
    answer = metering_pb2.StreamResponse.FromString(await stream.read())
    assert [-1] == [brief(each) for each in answer.results]
    assert Code.INVALID_ARGUMENT == (await refused(stream.read())).code


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

"""Answers that nobody takes: how many there may be, who is refused when there are too many, and who is not."""

import asyncio

import grpc
import pytest

from meterd.v1 import ledger_pb2, metering_pb2, pricing_pb2
from meterd_server.errors import Overloaded
from meterd_server.rpc import untaken
from meterd_server.rpc.untaken import LARGE, Untaken
from prove.http2 import Connection, message

from .house import TIMEOUT_SECONDS, refused
from .operations import cost

LIST = "/meterd.v1.LedgerService/ListEntries"
RESOURCE_EXHAUSTED = 8


class Call:
    """The context of a call from a connection, which is over when a test says so."""

    def __init__(self, connection):
        self.peer = lambda: connection
        self._callbacks = []

    def add_done_callback(self, callback):
        """Keep what is to be called."""
        self._callbacks.append(callback)

    def end(self):
        """Be over."""
        for callback in self._callbacks:
            callback(self)


def begun(counted, connection, operations):
    """Return a call that was counted."""
    call = Call(connection)
    counted.count(call, operations)
    return call


@pytest.fixture
def counted(monkeypatch):
    """Return what counts, with room for 10 operations, of which 4 are shared."""
    monkeypatch.setattr(untaken, "OPERATIONS_SHARED", 4)
    monkeypatch.setattr(untaken, "OPERATIONS_LIMIT", 10)
    return Untaken()


def test_a_connection_with_too_many_is_refused(counted):
    """From the shared number on, who has some is refused more, until what it has is over."""
    calls = [begun(counted, "a", 3), begun(counted, "a", 1)]
    with pytest.raises(Overloaded):
        begun(counted, "a", 1)
    calls[0].end()
    assert 1 == counted.operations
    begun(counted, "a", 1)


def test_another_connection_is_answered_a_call_at_a_time(counted):
    """Who has none is served whatever others hold, and refused a second call at the same time."""
    begun(counted, "a", 4)
    call = begun(counted, "b", 1)
    assert counted.is_full_for("b")
    with pytest.raises(Overloaded):
        begun(counted, "b", 1)
    call.end()
    assert not counted.is_full_for("b")
    begun(counted, "b", 1)


def test_there_is_a_limit(counted):
    """More than there may be in all is refused, whoever asks; a smaller call that fits is not."""
    begun(counted, "a", 8)
    with pytest.raises(Overloaded):
        begun(counted, "b", 3)
    assert not counted.is_full_for("b")
    begun(counted, "b", 2)
    assert counted.is_full_for("c")


def test_what_is_over_is_forgotten(counted):
    """A connection that has nothing any more leaves nothing behind."""
    calls = [begun(counted, f"connection {number}", 1) for number in range(3)]
    for call in calls:
        call.end()
    assert (0, 0) == (counted.operations, len(counted._by_connection))


def test_how_large_an_answer_may_be():
    """A batch has its operations, a page its rows, and neither more than is allowed."""
    batch = metering_pb2.BatchRequest(operations=[metering_pb2.Operation()] * 10_001)
    assert 10_000 == LARGE["Batch"](batch)
    assert [7, 100, 1_000] == [
        LARGE["ListEntries"](ledger_pb2.ListEntriesRequest(page_size=size)) for size in (7, 0, 5_000)
    ]
    assert 2 == LARGE["PutRateCard"](pricing_pb2.PutRateCardRequest(rate_cards=[pricing_pb2.RateCard()] * 2))


@pytest.fixture
async def who_does_not_read(house):
    """Return a connection to the house that takes no answer; like all of it, it is used beside the event loop."""
    connection = await asyncio.to_thread(Connection, house.address, window=0)
    yield connection
    connection.socket.close()


async def until(condition):
    """Wait until something holds that comes about by itself."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not condition():  # noqa: ASYNC110 -- nobody is told of it
            await asyncio.sleep(0.005)


async def test_on_the_wire(house, who_does_not_read, monkeypatch):
    """An answer counts until it is taken or its connection is gone; meanwhile its caller is OVERLOADED, and others are served."""
    monkeypatch.setattr(untaken, "OPERATIONS_SHARED", 100)
    await house.batch(cost("ada", 1), cost("ada", 1))
    await until(lambda: house.server._untaken.operations == 0)
    body = message(ledger_pb2.ListEntriesRequest(user_id="ada", page_size=100).SerializeToString())
    await asyncio.to_thread(who_does_not_read.call, LIST, body)
    await until(lambda: house.server._untaken.operations == 100)
    second = await asyncio.to_thread(who_does_not_read.call, LIST, message(b"not even read: \xff"))
    await asyncio.to_thread(who_does_not_read.wait, 1)
    assert RESOURCE_EXHAUSTED == who_does_not_read.answers[second].status
    assert 2 == len((await house.list()).entries)
    assert 2 == len((await house.batch(cost("ada", 1), cost("ada", 1))).results)
    who_does_not_read.socket.close()
    await until(lambda: house.server._untaken.operations == 0)


async def test_what_is_refused_is_told_when_to_come_again(house, monkeypatch):
    """The refusal of a large answer is an OVERLOADED like any other: nothing was begun."""
    monkeypatch.setattr(untaken, "OPERATIONS_LIMIT", 1)
    refusal = await refused(house.batch(cost("ada", 1), cost("ada", 1)))
    assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", 0.2) == (
        refusal.code,
        refusal.reason,
        refusal.retry_seconds,
    )
    assert 1 == len((await house.batch(cost("ada", 1))).results)
    assert 1 == (await house.balance()).version


async def test_a_page_of_a_negative_size(house):
    """What is wrong with a request is said as ever, and nothing stays counted."""
    assert "page_size" in (await refused(house.list(page_size=-1))).fields
    await until(lambda: house.server._untaken.operations == 0)

"""Batches of an AsyncClient go over a stream: one for many, each answer to its own, and no trouble of one is the others'."""

import asyncio

import grpc
import grpc.aio
import pytest

import meterd
from meterd import _aio_pipeline
from meterd._aio_pipeline import Pipeline
from meterd.v1 import metering_pb2

from .callers import Tasks, gathering, start_in_order, until

Code = grpc.StatusCode
GONE = grpc.aio.AioRpcError(Code.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "gone")


class Call:
    """A stream of which the test is the daemon: `written` is what was sent, and `answers` what is there to be read."""

    def __init__(self):
        self.written = []
        self.answers = asyncio.Queue()
        self.connected = asyncio.Event()
        self.connected.set()
        self.writable = asyncio.Event()
        self.writable.set()
        self.writing = False
        self.half_closed = asyncio.Event()
        self.over = self.cancelled = False

    async def wait_for_connection(self):
        await self.connected.wait()

    async def write(self, message):
        assert not self.writing, "gRPC takes one message at a time"
        self.writing = True
        await self.connected.wait()
        await self.writable.wait()
        self.writing = False
        if self.over or self.cancelled:
            raise asyncio.InvalidStateError
        self.written.append(message)

    async def read(self):
        answer = await self.answers.get()
        self.over = answer is grpc.aio.EOF or isinstance(answer, BaseException)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def done_writing(self):
        self.half_closed.set()
        self.answers.put_nowait(grpc.aio.EOF)

    def cancel(self):
        if not self.over:
            self.cancelled = True
            self.answers.put_nowait(asyncio.CancelledError())


class Calls:
    """What opens them, and every one that was opened; they connect at once, unless told otherwise."""

    def __init__(self):
        self.opened = []
        self.connects = True

    def __call__(self):
        call = Call()
        if not self.connects:
            call.connected.clear()
        self.opened.append(call)
        return call


@pytest.fixture
def calls():
    """Return what opens streams."""
    return Calls()


@pytest.fixture
async def pipeline(calls):
    """Make a pipeline, and end it."""
    pipeline = Pipeline(calls)
    yield pipeline
    await pipeline.close()
    assert {asyncio.current_task()} == asyncio.all_tasks()


async def turns(count=5):
    """Let the event loop go round."""
    for _ in range(count):
        await asyncio.sleep(0)


async def exchanging(pipeline, *messages):
    """Send messages, each in a task of its own, in this order."""
    tasks = []
    for message in messages:
        tasks.append(asyncio.create_task(pipeline.exchange(message)))
        await turns()
    return tasks


async def answered_once(pipeline, calls):
    """Send a message and have it answered; the stream that it went over is at rest."""
    (task,) = await exchanging(pipeline, "a")
    (call,) = calls.opened
    call.answers.put_nowait("A")
    assert "A" == await task
    return call


async def outcomes(tasks):
    """What became of them, in order."""
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_each_gets_the_answer_to_its_own_message(pipeline, calls):
    """Messages go over one stream at once, and are answered in the order in which they were sent."""
    tasks = await exchanging(pipeline, "a", "b", "c")
    (call,) = calls.opened
    assert ["a", "b", "c"] == call.written
    for answer in ("A", "B", "C"):
        call.answers.put_nowait(answer)
    assert ["A", "B", "C"] == await outcomes(tasks)


async def test_one_message_is_written_at_a_time(pipeline, calls):
    """While flow control holds one up, the next waits, and they keep their order."""
    call = await answered_once(pipeline, calls)
    call.writable.clear()
    tasks = await exchanging(pipeline, "b", "c")
    assert ["a"] == call.written
    call.writable.set()
    await turns()
    call.answers.put_nowait("B")
    call.answers.put_nowait("C")
    assert ["B", "C"] == await outcomes(tasks)


async def test_who_gives_up_disturbs_nobody(pipeline, calls):
    """An answer that nobody waits for is left out; those behind it get theirs; what comes later does not go behind it."""
    gone, stays = await exchanging(pipeline, "gone", "stays")
    gone.cancel()
    await turns()
    (later,) = await exchanging(pipeline, "later")
    old, new = calls.opened
    assert (["gone", "stays"], ["later"]) == (old.written, new.written)
    new.answers.put_nowait("LATER")
    old.answers.put_nowait("GONE")
    old.answers.put_nowait("STAYS")
    assert ["STAYS", "LATER"] == await outcomes([stays, later])
    await turns()
    assert (True, False) == (old.half_closed.is_set(), new.half_closed.is_set())


async def test_a_stream_that_all_have_given_up_is_cancelled(pipeline, calls):
    """The daemon then knows that it need not begin what it has not begun."""
    tasks = await exchanging(pipeline, "a", "b")
    (call,) = calls.opened
    tasks[0].cancel()
    await turns()
    assert not call.cancelled
    tasks[1].cancel()
    await turns()
    assert (True, False) == (call.cancelled, call.half_closed.is_set())


async def test_who_gives_up_while_others_are_written(pipeline, calls):
    """A message that was not written has no answer: the next answer is that of the next message."""
    call = await answered_once(pipeline, calls)
    call.writable.clear()
    held_up, waits, stays = await exchanging(pipeline, "b", "c", "d")
    waits.cancel()
    await turns()
    call.writable.set()
    await turns()
    call.answers.put_nowait("B")
    call.answers.put_nowait("D")
    assert ["B", "D"] == await outcomes([held_up, stays])
    assert ["a", "b", "d"] == call.written


@pytest.mark.parametrize("gone", [0, 1, 2])
async def test_who_gives_up_while_the_stream_connects(pipeline, calls, gone):
    """What was not sent has no answer: each of the others gets theirs."""
    calls.connects = False
    tasks = await exchanging(pipeline, "a", "b", "c")
    (call,) = calls.opened
    tasks.pop(gone).cancel()
    await turns()
    call.connected.set()
    await turns()
    for message in call.written:
        call.answers.put_nowait(message.upper())
    expected = ["a", "b", "c"]
    del expected[gone]
    assert (expected, [each.upper() for each in expected]) == (call.written, await outcomes(tasks))


async def test_who_gives_up_while_their_message_is_written(pipeline, calls):
    """Half a message cannot be taken back: the stream is over, and nobody is told somebody else's answer."""
    (first,) = await exchanging(pipeline, "a")
    (call,) = calls.opened
    call.writable.clear()
    gone, waits = await exchanging(pipeline, "b", "c")
    gone.cancel()
    await turns()
    assert call.cancelled
    assert [EOFError] * 2 == [type(each) for each in await outcomes([first, waits])]
    (later,) = await exchanging(pipeline, "later")
    calls.opened[1].answers.put_nowait("LATER")
    assert "LATER" == await later


async def test_a_message_that_cannot_be_written(pipeline, calls):
    """Nothing more goes over a stream that is over, though it is not known yet why."""
    (first,) = await exchanging(pipeline, "a")
    (call,) = calls.opened
    call.over = True
    second, third = await exchanging(pipeline, "b", "c")
    assert (["a"], ["c"]) == (call.written, calls.opened[1].written)
    call.answers.put_nowait(GONE)
    calls.opened[1].answers.put_nowait("C")
    assert [GONE, GONE, "C"] == await outcomes([first, second, third])


async def test_what_ends_the_stream_is_everyones(pipeline, calls):
    """All who wait are told, and so is who was about to write; the next message goes over another stream."""
    tasks = await exchanging(pipeline, "a", "b")
    (call,) = calls.opened
    call.writable.clear()
    tasks += await exchanging(pipeline, "c", "d")
    call.answers.put_nowait(GONE)
    await turns()
    call.writable.set()
    assert [GONE] * 4 == await outcomes(tasks)
    (later,) = await exchanging(pipeline, "later")
    calls.opened[1].answers.put_nowait("LATER")
    assert "LATER" == await later


@pytest.mark.parametrize("what", ["an end without a reason", "an answer that nobody asked for"])
async def test_a_senseless_daemon(pipeline, calls, what):
    """A stream that ends while somebody waits is an EOFError, and one that says too much is used no more."""
    (task,) = await exchanging(pipeline, "a")
    (call,) = calls.opened
    if what == "an end without a reason":
        call.answers.put_nowait(grpc.aio.EOF)
        assert [EOFError] == [type(each) for each in await outcomes([task])]
        assert call.over
    else:
        call.answers.put_nowait("A")
        call.answers.put_nowait("B")
        assert ["A"] == await outcomes([task])
        await turns()
        assert call.cancelled
    (later,) = await exchanging(pipeline, "later")
    assert ["later"] == calls.opened[1].written
    later.cancel()


async def test_a_stream_at_rest_ends(pipeline, calls, monkeypatch):
    """After a while, in good order."""
    monkeypatch.setattr(_aio_pipeline, "STREAM_SECONDS", 0.05)
    call = await answered_once(pipeline, calls)
    await asyncio.wait_for(call.half_closed.wait(), 30)
    assert not call.cancelled


async def test_a_stream_in_use_ends(pipeline, calls, monkeypatch):
    """After a while it takes no more, and ends when all is answered."""
    monkeypatch.setattr(_aio_pipeline, "STREAM_SECONDS", 0)
    old_task, new_task = await exchanging(pipeline, "a", "b")
    old, new = calls.opened
    assert (["a"], ["b"], False) == (old.written, new.written, old.half_closed.is_set())
    old.answers.put_nowait("A")
    new.answers.put_nowait("B")
    assert ["A", "B"] == await outcomes([old_task, new_task])
    await turns()
    assert (True, False) == (old.half_closed.is_set(), old.cancelled)


async def test_a_stream_that_the_daemon_does_not_end(pipeline, calls, monkeypatch):
    """It is cancelled, rather than kept for ever."""
    monkeypatch.setattr(_aio_pipeline, "STREAM_SECONDS", 0.01)
    monkeypatch.setattr(Call, "done_writing", lambda _: asyncio.sleep(0))
    call = await answered_once(pipeline, calls)
    async with asyncio.timeout(30):
        await asyncio.wait([pipeline._current._reading])
    assert call.cancelled


async def test_closing_ends_a_stream_at_rest_in_good_order(calls):
    """The daemon is told that nothing more comes, rather than that the call is cancelled."""
    pipeline = Pipeline(calls)
    call = await answered_once(pipeline, calls)
    await pipeline.close()
    assert (True, False) == (call.half_closed.is_set(), call.cancelled)


async def test_closing_waits_for_no_daemon_that_hangs(calls, monkeypatch):
    """A stream whose end is not answered is cancelled."""
    monkeypatch.setattr(_aio_pipeline, "GOODBYE_SECONDS_MAX", 0.01)
    monkeypatch.setattr(Call, "done_writing", lambda _: asyncio.sleep(0))
    pipeline = Pipeline(calls)
    call = await answered_once(pipeline, calls)
    await pipeline.close()
    assert call.cancelled


async def test_a_pipeline_that_is_closed_at_once(calls):
    """A stream that has not begun to be read leaves nothing behind either."""
    pipeline = Pipeline(calls)
    task = asyncio.create_task(pipeline.exchange("a"))
    await asyncio.sleep(0)
    task.cancel()
    await pipeline.close()
    await outcomes([task])
    assert {asyncio.current_task()} == asyncio.all_tasks()


def cost(user_id, **options):
    """Return a record_cost call, to be started."""
    return "record_cost", (user_id, 5), options


def test_many_batches_share_a_stream(daemon):
    """A busy client opens one stream, and a client of threads none: its batches are calls."""
    callers = Tasks(daemon.address)
    for _ in range(3):
        with gathering(callers, daemon):
            futures = start_in_order(callers, cost("alice"), cost("bob"))
        assert ["alice", "bob"] == [future.result().entry.user_id for future in futures]
        until(lambda: not list(callers.exchange()._gathering.unanswered()))
        while daemon.calls.acquire(blocking=False):
            pass
    assert (3, 1) == (len(daemon.batches), daemon.streams)
    callers.end()


def test_a_client_at_rest_has_no_stream(daemon, monkeypatch):
    """The daemon sees its end, though the client stays open."""
    monkeypatch.setattr(_aio_pipeline, "STREAM_SECONDS", 0.05)
    callers = Tasks(daemon.address)
    with gathering(callers, daemon):
        futures = start_in_order(callers, cost("alice"), cost("bob"))
    assert ["alice", "bob"] == [future.result().entry.user_id for future in futures]
    until(lambda: daemon.streams_ended == 1)
    assert callers.start("check", "alice").result().allowed
    callers.end()


@pytest.mark.parametrize("code", [Code.CANCELLED, Code.UNAVAILABLE])
def test_a_stream_that_the_daemon_ends_is_tried_again(daemon, code):
    """Also where gRPC says CANCELLED of a call that reaches a server in the moment it stops: the client itself is not closed."""
    callers = Tasks(daemon.address, retry=meterd.RetryPolicy(initial_backoff_seconds=0))
    daemon.batch_script.append(daemon.Failure(code))
    with gathering(callers, daemon):
        futures = start_in_order(callers, cost("alice", request_id="r-1"), cost("bob", request_id="r-2"))
    assert ["r-1", "r-2"] == [future.result().entry.request_id for future in futures]
    callers.end()


def test_an_operation_with_the_status_of_its_message(daemon):
    """What fails a message of a stream is each operation's status, and is tried again as theirs."""
    callers = Tasks(daemon.address, retry=meterd.RetryPolicy(initial_backoff_seconds=0))
    status = metering_pb2.OperationResult(status={"code": Code.UNAVAILABLE.value[0], "message": "no"})
    daemon.batch_script.append(metering_pb2.BatchResponse(results=[status] * 2))
    with gathering(callers, daemon):
        futures = start_in_order(callers, cost("alice", request_id="r-1"), cost("bob", request_id="r-2"))
    assert ["r-1", "r-2"] == [future.result().entry.request_id for future in futures]
    callers.end()

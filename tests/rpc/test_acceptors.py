"""Calls of some methods are taken from gRPC many at a time, and end as they would otherwise."""

import asyncio
import gc
import logging
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc._cython import cygrpc

from meterd_server.rpc import acceptors
from meterd_server.rpc.acceptors import ASKED_MIN, Acceptors, Route, are_possible
from meterd_server.rpc.admission import ServerCounts

METHOD = "/test.Test/Ask"
TIMEOUT_SECONDS = 20
WAIT = 1
"""What is asked to have a method wait for ever."""


def _read(message):
    return int(message)


def _write(number):
    return b"%d" % number


class Service(grpc.GenericRpcHandler):
    """Answers one method as a test wants it; counts who took the calls."""

    def __init__(self, answer, *, refuses=False):
        self._answer = answer
        self._refuses = refuses
        self.taken = self.handed_over = 0
        self.takes = asyncio.Event()
        self.server = None
        """The server, once it serves."""

    def service(self, handler_call_details):
        if self._answer is None:
            raise LookupError
        if type(handler_call_details) is Route:
            self.taken += 1
            self.takes.set()
        else:
            self.handed_over += 1
        if self._refuses:
            return grpc.stream_stream_rpc_method_handler(self._answer)
        return grpc.unary_unary_rpc_method_handler(self._answer, _read, _write)


@pytest.fixture
def serve():
    """Return a function that serves what a method answers, and gives the service, the channel and what asks the method."""

    @asynccontextmanager
    async def serve(answer, **options):
        complaints = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        service = Service(answer, **options)
        service.server = server = grpc.aio.server(handlers=[service], options=[("grpc.enable_channelz", 1)])
        taking = Acceptors(server, {METHOD: service})
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        taking.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield service, channel, channel.unary_unary(METHOD, _write, _read)
        finally:
            await server.stop(None)
            await asyncio.wait_for(taking.stop(), TIMEOUT_SECONDS)
        assert [] == complaints

    return serve


async def _echo(request, _context):
    return request


async def _status_of(call):
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code(), raised.value.details()


def test_the_parts_are_there():
    """The grpcio that is locked has the parts that this builds on, as it knows them."""
    assert are_possible()


async def test_calls_are_taken(serve):
    """Nearly all calls are taken: gRPC's own turn comes once in so many."""
    async with serve(_echo) as (service, _, ask):
        answers = [await ask(number, timeout=TIMEOUT_SECONDS) for number in range(2 * (ASKED_MIN + 1))]
    assert [*range(2 * (ASKED_MIN + 1))] == answers
    assert (2 * ASKED_MIN, 2) == (service.taken, service.handed_over)


async def test_many_at_once(serve):
    """However many come together, each gets its own answer, whether it has to wait or not."""

    async def answer(request, _context):
        for _ in range(request % 5):
            await asyncio.sleep(0)
        return request

    async with serve(answer) as (_, _, ask):
        asked = [ask(number, timeout=TIMEOUT_SECONDS) for number in range(300)]
        assert [*range(300)] == await asyncio.gather(*asked)


@pytest.mark.parametrize("waits", [False, True])
async def test_aborted(serve, waits):
    """Whoever is told a status gets it, before and after the method had to wait."""

    async def answer(_request, context):
        if waits:
            await asyncio.sleep(0.001)
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no", (("reason", "none"),))

    async with serve(answer) as (_, _, ask):
        for _ in range(2 * ASKED_MIN):
            assert (grpc.StatusCode.FAILED_PRECONDITION, "no") == await _status_of(ask(0, timeout=TIMEOUT_SECONDS))


async def test_refused_before_it_is_read(serve):
    """A handler that takes a stream is not given the message."""
    asked = []

    async def refuse(request, context):
        asked.append(request)
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "later")

    async with serve(refuse, refuses=True) as (service, _, ask):
        assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "later") == await _status_of(ask(0, timeout=TIMEOUT_SECONDS))
        assert 1 == service.handed_over
        assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "later") == await _status_of(ask(0, timeout=TIMEOUT_SECONDS))
        assert 1 == service.taken
    assert asked[1] is None


@pytest.mark.parametrize("seconds", [None, 0.1])
async def test_a_caller_who_hangs_up(serve, seconds):
    """A method that waits is cancelled when its caller hangs up or its time is over, and the next call is served."""
    cancelled = asyncio.Queue()
    begun = asyncio.Queue()

    async def answer(request, _context):
        if request != WAIT:
            return request
        begun.put_nowait(request)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.put_nowait(asyncio.current_task().cancelling())
            raise

    async with serve(answer) as (_, _, ask):
        await ask(0, timeout=TIMEOUT_SECONDS)
        asked = ask(WAIT, timeout=seconds)
        await asyncio.wait_for(begun.get(), TIMEOUT_SECONDS)
        if seconds is None:
            asked.cancel()
        assert 1 == await asyncio.wait_for(cancelled.get(), TIMEOUT_SECONDS)
        assert 7 == await ask(7, timeout=TIMEOUT_SECONDS)


async def test_an_answer_that_takes_long(serve, monkeypatch):
    """A call that was watched for a while is answered like any other."""
    monkeypatch.setattr(acceptors, "WATCH_SECONDS", 0.001)

    async def answer(request, _context):
        await asyncio.sleep(0.02)
        return request

    async with serve(answer) as (_, _, ask):
        asked = [ask(number, timeout=TIMEOUT_SECONDS) for number in range(2 * ASKED_MIN)]
        assert [*range(2 * ASKED_MIN)] == await asyncio.gather(*asked)


@asynccontextmanager
async def _nothing_kept():
    """Hold that all calls in the block are over for gRPC at its end, and none is kept in memory, without the collector."""
    counts = ServerCounts()
    gc.disable()
    try:
        yield
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while counts.calls() or _kept():  # noqa: ASYNC110 -- gRPC tells nobody
                await asyncio.sleep(0.001)
    finally:
        gc.enable()


@pytest.mark.parametrize("ends", ["answered", "aborted", "failed"])
async def test_what_is_over(serve, caplog, ends):
    """However a method ends its calls, whoever asks is told, gRPC counts them as over, and nothing of them is kept."""
    # pytest keeps what is logged, and so what an exception has passed through.
    caplog.set_level(logging.CRITICAL, acceptors.__name__)
    codes = {
        "answered": grpc.StatusCode.OK,
        "aborted": grpc.StatusCode.FAILED_PRECONDITION,
        "failed": grpc.StatusCode.UNKNOWN,
    }

    over = []

    async def answer(request, context):
        context.add_done_callback(lambda _: over.append(request))
        if ends == "failed":
            raise LookupError
        if ends == "aborted":
            await context.abort(codes[ends], "no")
        return request

    async with serve(answer) as (_, _, ask), _nothing_kept():
        for number in range(2 * ASKED_MIN):
            assert codes[ends] == await ask(number, timeout=TIMEOUT_SECONDS).code()
    assert [*range(2 * ASKED_MIN)] == over


@pytest.mark.parametrize("is_early", [False, True])
async def test_who_hung_up_is_over(serve, is_early):
    """When callers hang up, before or after they have said what is asked, their calls are over as well."""
    begun, over = asyncio.Queue(), []

    async def answer(request, context):
        context.add_done_callback(lambda _: over.append(request))
        begun.put_nowait(request)
        await asyncio.Event().wait()

    async with serve(answer) as (_, channel, ask), _nothing_kept():
        for _ in range(2 * ASKED_MIN):
            if is_early:
                asked = channel.stream_unary(METHOD, _write, _read)()
                await asked.wait_for_connection()
            else:
                asked = ask(0, timeout=TIMEOUT_SECONDS)
                await asyncio.wait_for(begun.get(), TIMEOUT_SECONDS)
            asked.cancel()
    assert len(over) == (0 if is_early else 2 * ASKED_MIN)


async def test_who_hung_up_and_is_refused_is_over(serve):
    """A caller who hangs up just before being told a status leaves nothing behind, either."""
    begun = asyncio.Queue()

    async def refuse(_request, context):
        begun.put_nowait(context)
        await asyncio.sleep(0.01)
        try:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "later")
        except grpc.aio.InternalError:
            raise asyncio.CancelledError from None

    async with serve(refuse, refuses=True) as (_, _, ask), _nothing_kept():
        for _ in range(2 * ASKED_MIN):
            asked = ask(0, timeout=TIMEOUT_SECONDS)
            await asyncio.wait_for(begun.get(), TIMEOUT_SECONDS)
            asked.cancel()


def _kept():
    """How many calls are in memory that were taken."""
    return sum(type(each) is acceptors._Call for each in gc.get_objects())


async def test_a_service_that_fails(serve):
    """A service that raises fails the call, and those after it are taken."""
    async with serve(None) as (_, _, ask):
        for _ in range(2 * ASKED_MIN):
            assert grpc.StatusCode.UNKNOWN == await ask(0, timeout=TIMEOUT_SECONDS).code()


@pytest.mark.parametrize("waits", [False, True])
async def test_an_abort_is_not_cancelled(serve, monkeypatch, waits):
    """Who is being told a status is not cancelled any more, whatever its caller does."""
    monkeypatch.setattr(acceptors, "WATCH_SECONDS", 0.001)
    ended = asyncio.Queue()

    async def answer(_request, context):
        is_taken = type(context) is acceptors._Call
        if waits:
            await asyncio.sleep(0.02)  # it is watched by then
            assert not is_taken or context.task
        with pytest.raises(grpc.aio.AbortError) as raised:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no")
        ended.put_nowait(is_taken and context.task is None)
        raise raised.value

    async with serve(answer) as (_, _, ask):
        for _ in range(2):
            assert (grpc.StatusCode.FAILED_PRECONDITION, "no") == await _status_of(ask(0, timeout=TIMEOUT_SECONDS))
        assert [False, True] == [await asyncio.wait_for(ended.get(), TIMEOUT_SECONDS) for _ in range(2)]


async def test_a_call_without_a_message(serve):
    """A caller who hangs up before saying what is asked leaves nothing behind."""
    async with serve(_echo) as (service, channel, ask):
        await ask(0, timeout=TIMEOUT_SECONDS)
        silent = channel.stream_unary(METHOD, _write, _read)()
        await silent.wait_for_connection()
        await asyncio.wait_for(service.takes.wait(), TIMEOUT_SECONDS)
        silent.cancel()
        assert 7 == await ask(7, timeout=TIMEOUT_SECONDS)


async def test_a_call_that_ends_without_a_message(serve):
    """A caller who ends a call without saying what is asked is told so."""
    async with serve(_echo) as (service, channel, ask), _nothing_kept():
        await ask(0, timeout=TIMEOUT_SECONDS)
        for _ in range(3):
            silent = channel.stream_unary(METHOD, _write, _read)(timeout=TIMEOUT_SECONDS)
            await silent.done_writing()
            assert grpc.StatusCode.UNIMPLEMENTED == await silent.code()
    assert 3 == service.taken


async def _for_ever():
    await asyncio.Event().wait()


async def _in_turns():
    while True:  # noqa: ASYNC110 -- this is what is tested
        await asyncio.sleep(0)


@pytest.mark.parametrize("wait", [_for_ever, _in_turns])
async def test_what_a_method_catches(serve, wait):
    """What is thrown into a method that waits arrives there, and it may go on."""

    async def answer(request, _context):
        try:
            async with asyncio.timeout(0.001):
                await wait()
        except TimeoutError:
            return request

    async with serve(answer) as (_, _, ask):
        for _ in range(2):
            assert 7 == await ask(7, timeout=TIMEOUT_SECONDS)


def _tasks():
    """How many tasks take calls, or answer them."""
    return sum(each.get_name().startswith("accept ") for each in asyncio.all_tasks())


async def test_tasks_are_used_again(serve):
    """Calls one after the other need no more tasks than those that ask for calls, and one that answers."""
    async with serve(_echo) as (_, _, ask):
        for number in range(5 * ASKED_MIN):
            await ask(number, timeout=TIMEOUT_SECONDS)
        assert ASKED_MIN <= _tasks() <= ASKED_MIN + 1


@pytest.mark.parametrize("hang_up", [False, True])
async def test_tasks_after_a_crowd(serve, monkeypatch, hang_up):
    """However many calls waited together, and however they ended, enough tasks ask for calls after it, none that was cancelled."""
    monkeypatch.setattr(acceptors, "ASKED_MAX", 2 * ASKED_MIN)
    monkeypatch.setattr(acceptors, "WATCH_SECONDS", 0.001)
    crowd, waiting, go_on = 5 * ASKED_MIN, asyncio.Semaphore(0), asyncio.Event()
    cancelled_before = []

    async def answer(request, _context):
        cancelled_before.append(asyncio.current_task().cancelling())
        waiting.release()
        await go_on.wait()
        return request

    async with serve(answer) as (_, _, ask):
        for _ in range(2):
            asked = [ask(number, timeout=TIMEOUT_SECONDS) for number in range(crowd)]
            for _ in asked:
                await asyncio.wait_for(waiting.acquire(), TIMEOUT_SECONDS)
            if hang_up:
                assert all(each.cancel() for each in asked)
            else:
                go_on.set()
            await asyncio.gather(*asked, return_exceptions=True)
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while not ASKED_MIN <= _tasks() <= 2 * ASKED_MIN:  # noqa: ASYNC110 -- nobody is told
                    await asyncio.sleep(0.001)
        go_on.set()
        assert 7 == await ask(7, timeout=TIMEOUT_SECONDS)
    assert not any(cancelled_before)


async def test_who_is_late(serve, monkeypatch):
    """A method that is done only after the server has stopped does no harm: nothing is asked of a server that is gone."""
    monkeypatch.setattr(acceptors, "WATCH_SECONDS", TIMEOUT_SECONDS)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def answer(request, _context):
        if request == WAIT:
            begun.set()
            await go_on.wait()
        return request

    async with serve(answer) as (service, _, ask):
        await ask(0, timeout=TIMEOUT_SECONDS)
        asked = ask(WAIT, timeout=TIMEOUT_SECONDS)
        await asyncio.wait_for(begun.wait(), TIMEOUT_SECONDS)
        await service.server.stop(None)
        go_on.set()
        assert grpc.StatusCode.OK != await asked.code()
    assert 1 == service.taken


async def test_nothing_stays(serve):
    """When the server has stopped, no task of its is left."""
    before = asyncio.all_tasks()
    async with serve(_echo) as (_, _, ask):
        await ask(0, timeout=TIMEOUT_SECONDS)
        assert len(asyncio.all_tasks() - before) > ASKED_MIN
    assert {each.get_name() for each in asyncio.all_tasks() - before} == set()


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("execute_batch", lambda call, operations: None),
        ("execute_batch", None),
        ("ReceiveMessageOperation", None),
    ],
)
async def test_another_grpcio(serve, monkeypatch, name, part):
    """Where a part is missing or different, calls go the public way."""
    if part is None:
        monkeypatch.delattr(cygrpc, name)
    else:
        monkeypatch.setattr(cygrpc, name, part)
    assert not are_possible()
    async with serve(_echo) as (service, _, ask):
        monkeypatch.undo()
        assert 7 == await ask(7, timeout=TIMEOUT_SECONDS)
        assert (0, 1) == (service.taken, service.handed_over)

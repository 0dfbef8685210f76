"""A hold captures once, gives back what was not captured, keeps itself alive, and hides nobody's exception."""

import asyncio

import grpc
import pytest

import meterd
from meterd.v1 import account_pb2, reservation_pb2

from .echoes import TTL_SECONDS

Code = grpc.StatusCode
Release, Capture, Extend = (
    reservation_pb2.ReleaseRequest,
    reservation_pb2.CaptureRequest,
    reservation_pb2.ExtendRequest,
)


class WorkError(Exception):
    """The user's own."""


class Timer:
    """A timer that goes off when a test says so."""

    def __init__(self, seconds, callback):
        self.seconds, self.callback, self.cancelled = seconds, callback, False

    def cancel(self):
        self.cancelled = True


@pytest.fixture
def once(connect):
    """Make a client that never retries."""
    return connect(retry=meterd.RetryPolicy(attempts=1))


@pytest.fixture
def timers(client):
    """Collect the timers that the client's holds start."""
    timers = []

    def later(seconds, callback):
        timers.append(Timer(seconds, callback))
        return timers[-1]

    client.client._later = later
    return timers


def sent(daemon):
    """Return the kinds of what was sent after the reservation."""
    return [type(request) for request in daemon.requests[1:]]


def test_a_captured_hold_is_left_alone(client, daemon):
    """Who captures is charged what it cost, and nothing is released."""
    with client.reserve("alice", 5_000, request_id="r-1") as hold:
        captured = hold.capture(3_000)
    assert ("r-1", 3_000) == (daemon.requests[1].reservation_id, daemon.requests[1].cost_microcents)
    assert [Capture] == sent(daemon)
    assert -3_000 == captured.entry.amount_microcents
    assert meterd.ReservationState.CAPTURED is hold.reservation.state


def test_a_hold_tells_what_it_is(client):
    """The reservation, whose it is and whether it is new can be read off."""
    hold = client.reserve("alice", 5_000, request_id="r-1", service="chat")
    assert ("alice", "r-1", "chat", 5_000, False) == (
        hold.user_id,
        hold.reservation_id,
        hold.reservation.service,
        hold.reservation.amount_microcents,
        hold.replayed,
    )
    assert "Hold 'r-1' of 'alice': OPEN, 5000 held>" in repr(hold)


def test_what_nobody_captured_is_released(client, daemon):
    """A block without a capture costs nothing."""
    with client.reserve("alice", 5_000):
        pass
    assert [Release] == sent(daemon)


@pytest.mark.parametrize("error", [WorkError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_exception_releases(client, daemon, error):
    """Work that fails, or is interrupted, costs nothing, and its exception goes on."""
    with pytest.raises(error), client.reserve("alice", 5_000):
        raise error
    assert [Release] == sent(daemon)


def test_an_exception_after_the_capture_releases_nothing(client, daemon):
    """What was captured stays captured."""
    hold = client.reserve("alice", 5_000)
    hold.capture(1)
    with pytest.raises(WorkError), hold:
        raise WorkError
    assert [Capture] == sent(daemon)


def test_partial_captures(client, daemon):
    """After partial captures the rest is released; each is a charge of its own."""
    with client.reserve("alice", 5_000) as hold:
        hold.capture(1, final=False)
        hold.capture(1, final=False)
    first, second, _ = daemon.requests[1:]
    assert [Capture, Capture, Release] == sent(daemon)
    assert first.request_id != second.request_id


def test_released_by_hand(client, daemon):
    """Who releases in the block need not be helped."""
    with client.reserve("alice", 5_000) as hold:
        hold.release()
    assert [Release] == sent(daemon)


def test_without_a_block(client, daemon):
    """A hold is of use without `with`, too: nothing happens by itself."""
    hold = client.reserve("alice", 5_000)
    hold.extend(ttl_seconds=60)
    hold.capture(5)
    assert [Extend, Capture] == sent(daemon)


@pytest.mark.parametrize(
    ("code", "reason"), [(Code.UNAVAILABLE, "STORE_UNAVAILABLE"), (Code.NOT_FOUND, "UNKNOWN_RATE")]
)
def test_a_failed_capture_gives_nothing_back(once, daemon, code, reason):
    """The work did cost something, so the money stays held until the expiry, or until it is captured after all."""
    hold = once.reserve("alice", 5_000)
    daemon.script.append(daemon.failure(code, reason))
    with pytest.raises(meterd.Error) as info, hold:
        hold.capture(7)
    assert [Capture] == sent(daemon)
    hold.capture(7)
    first, second = daemon.requests[1:]
    assert first == second
    assert info.value.request_id == first.request_id


def test_a_mistaken_capture_gives_nothing_back(client, daemon):
    """A float is a TypeError, but the work was done."""
    with pytest.raises(TypeError), client.reserve("alice", 5_000) as hold:
        hold.capture(7.5)
    with pytest.raises(TypeError), client.reserve("alice", 5_000) as hold:
        hold.capture_usage("scan", pages=0.5)
    assert [] == [request for request in daemon.requests if isinstance(request, Release)]


def test_captures_once(client, daemon):
    """However often the final capture is called, it is one request."""
    hold = client.reserve("alice", 5_000)
    hold.capture(7)
    hold.capture(7)
    first, second = daemon.requests[1:]
    assert first == second


def test_capture_usage_is_of_what_was_reserved_for(client, daemon):
    """Service and model need not be said again, and may be."""
    hold = client.reserve_usage("alice", "mistral", model="large", input_tokens=10, output_tokens=500)
    hold.capture_usage(input_tokens=10, output_tokens=2, final=False)
    hold.capture_usage("scan", model="", pages=1)
    assert [
        account_pb2.Usage(service="mistral", model="large", quantities={"input_tokens": 10, "output_tokens": 2}),
        account_pb2.Usage(service="scan", quantities={"pages": 1}),
    ] == [request.usage for request in daemon.requests[1:]]


def test_a_release_that_fails_hides_no_exception(once, daemon, caplog):
    """The user's exception goes on, with a note of what became of the reservation."""
    hold = once.reserve("alice", 5_000, request_id="r-1")
    daemon.script.append(daemon.failure(Code.UNAVAILABLE, "STORE_UNAVAILABLE"))
    with pytest.raises(WorkError) as info, hold:
        raise WorkError
    assert ["meterd: the reservation r-1 was not released and ends by its expiry: STORE_UNAVAILABLE: no"] == (
        info.value.__notes__
    )
    assert info.value.__notes__ == caplog.messages


def test_a_release_that_fails_is_not_hidden(once, daemon):
    """Without another exception it is raised."""
    hold = once.reserve("alice", 5_000)
    with pytest.raises(meterd.UnavailableError), hold:
        daemon.script.append(daemon.failure(Code.UNAVAILABLE, "STORE_UNAVAILABLE"))


def test_a_hold_that_is_over_is_not_missed(once, daemon):
    """What expired meanwhile, or was ended elsewhere, needs no release."""
    with once.reserve("alice", 5_000):
        daemon.script.append(daemon.failure(Code.FAILED_PRECONDITION, "RESERVATION_CLOSED", {"state": "EXPIRED"}))


def test_a_client_closed_in_the_block_hides_no_exception(client):
    """RuntimeError of a closed client is a note, too."""
    hold = client.reserve("alice", 5_000)
    client.close()
    with pytest.raises(WorkError) as info, hold:
        raise WorkError
    assert "is closed" in info.value.__notes__[0]


def test_a_block_extends_itself(client, daemon, timers):
    """At each third of its ttl it is kept for as long again, until the block ends."""
    with client.reserve("alice", 5_000) as hold:
        for number in range(1, 4):
            assert [TTL_SECONDS / 3] * number == [timer.seconds for timer in timers]
            client.fire(timers[-1].callback)
        hold.capture(5)
        assert timers[-1].cancelled
    extensions = daemon.requests[1:4]
    assert [Extend] * 3 + [Capture] == sent(daemon)
    assert {(TTL_SECONDS, 0)} == {(request.ttl.seconds, request.add_microcents) for request in extensions}
    assert 3 == len({request.request_id for request in extensions})
    assert hold.extension_error is None


def test_the_end_of_the_block_stops_the_timer(client, timers):
    """Nothing goes off after the block, and what is on its way starts nothing new."""
    with client.reserve("alice", 5_000, ttl_seconds=60):
        pass
    assert [(20, True)] == [(timer.seconds, timer.cancelled) for timer in timers]
    client.fire(timers[0].callback)
    assert 1 == len(timers)


def test_an_extension_that_fails_is_tried_again(once, daemon, caplog):
    """The work goes on; why it failed can be seen until one succeeds."""
    timers = []
    once.client._later = lambda *timer: timers.append(Timer(*timer)) or timers[-1]
    with once.reserve("alice", 5_000, request_id="r-1") as hold:
        daemon.script.append(daemon.failure(Code.UNAVAILABLE, "STORE_UNAVAILABLE"))
        once.fire(timers[-1].callback)
        assert isinstance(hold.extension_error, meterd.UnavailableError)
        assert [TTL_SECONDS / 3] * 2 == [timer.seconds for timer in timers]
        once.fire(timers[-1].callback)
        assert hold.extension_error is None
        hold.capture(1)
    assert ["the reservation r-1 of alice was not extended: STORE_UNAVAILABLE: no"] == caplog.messages


def test_an_extension_of_what_is_over_is_not_tried_again(client, daemon, timers):
    """A reservation that expired stays so; the capture is late, and says it."""
    with client.reserve("alice", 5_000) as hold:
        daemon.script.append(daemon.failure(Code.FAILED_PRECONDITION, "RESERVATION_CLOSED", {"state": "EXPIRED"}))
        client.fire(timers[-1].callback)
        entry = account_pb2.Entry(late=True, version=9, reservation={"state": "RESERVATION_STATE_SETTLED"})
        daemon.script.append(reservation_pb2.CaptureResponse(entry=entry))
        assert hold.capture(5).entry.late
    assert isinstance(hold.extension_error, meterd.ReservationClosedError)
    assert [Extend, Capture] == sent(daemon)
    assert 1 == len(timers)


def test_a_reservation_made_before_is_extended_at_once(client, daemon, timers):
    """How much is left of it is not known."""
    reserved = client.reserve("alice", 5_000, request_id="r-1")
    reservation = account_pb2.Reservation(
        reservation_id="r-1", state="RESERVATION_STATE_OPEN", expire_time={"seconds": 60}
    )
    entry = account_pb2.Entry(version=1, reservation=reservation)
    daemon.script.append(reservation_pb2.ReserveResponse(entry=entry, replayed=True))
    reserved = client.reserve("alice", 5_000, request_id="r-1")
    with reserved:
        assert [0.0] == [timer.seconds for timer in timers]
        client.fire(timers[0].callback)
        assert 60 == daemon.requests[-1].ttl.seconds
    assert reserved.replayed


def test_an_extension_by_hand_sets_the_pace(client, daemon, timers):
    """A block goes on with the ttl that it was given last."""
    with client.reserve("alice", 5_000) as hold:
        hold.extend(ttl_seconds=30)
        assert [(True, 100), (False, 10)] == [(timer.cancelled, timer.seconds) for timer in timers]
        client.fire(timers[-1].callback)
    assert [Extend, Extend, Release] == sent(daemon)
    assert [30, 30] == [request.ttl.seconds for request in daemon.requests[1:3]]


def test_a_late_answer_does_not_undo_a_newer_one(client, daemon):
    """What the hold knows goes by the version of the entry, not by the order of the answers."""
    hold = client.reserve("alice", 5_000)
    hold.capture(5)
    hold.extend(add_microcents=7)
    assert meterd.ReservationState.CAPTURED is hold.reservation.state


async def test_awaited_or_entered(daemon):
    """A reservation is awaited, entered, or entered after it was awaited."""
    async with meterd.AsyncClient(daemon.address) as client:
        hold = await client.reserve("alice", 1)
        assert isinstance(hold, meterd.AsyncHold)
        async with client.reserve("alice", 1) as hold:
            assert isinstance(hold, meterd.AsyncHold)
        async with await client.reserve("alice", 1) as hold:
            assert isinstance(hold, meterd.AsyncHold)


async def test_a_cancelled_task_releases(daemon):
    """Cancellation is an exception as any other: the money is given back before the task ends."""
    began = asyncio.Event()

    async def work(client):
        async with client.reserve("alice", 5_000):
            began.set()
            await asyncio.Event().wait()

    async with meterd.AsyncClient(daemon.address) as client:
        task = asyncio.create_task(work(client))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [Release] == sent(daemon)


def test_many_holds_at_once_travel_together(daemon):
    """Reservations and captures of many tasks are gathered as other calls are."""

    async def work(client, number):
        async with client.reserve("alice", 5_000) as hold:
            return (await hold.capture(number)).entry.amount_microcents

    async def work_at_once():
        async with meterd.AsyncClient(daemon.address) as client:
            return await asyncio.gather(*(work(client, number) for number in range(100)))

    assert [-number for number in range(100)] == asyncio.run(work_at_once())
    assert 200 == len(daemon.requests)
    assert sum(len(batch.operations) for batch in daemon.batches) > 100

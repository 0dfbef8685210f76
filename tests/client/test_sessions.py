"""A metered session: what is sent, when to stop, and what a broken stream costs."""

import asyncio

import grpc
import pytest

import meterd
from meterd.v1 import account_pb2, reservation_pb2

Code = grpc.StatusCode


class WorkError(Exception):
    """The user's own."""


@pytest.fixture
def once(connect):
    """Make a client that never retries."""
    return connect(retry=meterd.RetryPolicy(attempts=1))


def stop(reason="INSUFFICIENT_FUNDS", granted=0):
    """Return the answer that tells a session to stop."""
    return reservation_pb2.MeterResponse(stop={"reason": reason, "granted_microcents": granted})


def kinds(daemon):
    """Return which messages were sent."""
    return [request.WhichOneof("message") for request in daemon.requests]


def test_a_session_opens_reports_and_closes(client, daemon):
    """Every argument reaches its field; each report has a request id of its own and returns what is granted."""
    options = {"ttl_seconds": 60, "floor_microcents": 7, "service": "chat", "labels": {"k": "v"}}
    with client.meter("alice", 5_000, request_id="s-1", **options) as session:
        assert 5_000 == session.granted_microcents
        assert 1_000 == session.report(40)
        assert 1_000 == session.report(50, request_id="x-1")
    opened, first, second, closed = daemon.requests
    expected = reservation_pb2.MeterOpen(
        user_id="alice",
        request_id="s-1",
        slice_microcents=5_000,
        ttl={"seconds": 60},
        on_expiry=account_pb2.ON_EXPIRY_CAPTURE_FLOOR,
        floor_microcents=7,
        service="chat",
        labels={"k": "v"},
    )
    assert expected == opened.open
    assert (40, 50, "x-1") == (first.report.cost_microcents, second.report.cost_microcents, second.report.request_id)
    assert 36 == len(first.report.request_id)
    assert "close" == closed.WhichOneof("message")
    assert (0, "", "s-1", "alice") == (session.granted_microcents, session.stopped, session.session_id, session.user_id)


def test_report_usage_is_of_the_session_s_service(client, daemon):
    """The service need not be said again, and may be."""
    with client.meter("alice", 5_000, service="mistral") as session:
        session.report_usage(model="large", output_tokens=20)
        session.report_usage("scan", quantities={"pages": 1})
    assert [
        account_pb2.Usage(service="mistral", model="large", quantities={"output_tokens": 20}),
        account_pb2.Usage(service="scan", quantities={"pages": 1}),
    ] == [request.report.usage for request in daemon.requests[1:3]]


def test_state_is_what_the_daemon_said_last(client, daemon):
    """Reservation and balance come with each answer."""
    session = client.meter("alice", 5_000)
    granted = {
        "granted_microcents": 9,
        "reservation": {"reservation_id": "s-1", "captured_microcents": 40},
        "balance": {"user_id": "alice", "balance_microcents": 3},
    }
    daemon.script.append(reservation_pb2.MeterResponse(granted=granted))
    assert 9 == session.report(40)
    assert (40, 3) == (session.reservation.captured_microcents, session.balance.balance_microcents)
    assert "9 granted" in repr(session)
    session.close()


def test_nothing_to_hold(client, daemon):
    """A session that cannot open raises what a reservation would."""
    amounts = {"available_microcents": "0", "required_microcents": "5", "shortfall_microcents": "5"}
    daemon.script.append(daemon.failure(Code.FAILED_PRECONDITION, "INSUFFICIENT_FUNDS", amounts))
    with pytest.raises(meterd.InsufficientFundsError):
        client.meter("alice", 5)


def test_stop_is_said_by_the_report_that_learns_it(client, daemon):
    """It returns what is left, and `stopped` is the reason; the last piece is reported as final, and closes the session."""
    with client.meter("alice", 5_000) as session:
        daemon.script.append(stop(granted=3))
        assert 3 == session.report(5_000)
        assert "INSUFFICIENT_FUNDS" == session.stopped
        daemon.script.append(stop())
        assert 0 == session.report(3, final=True)
    assert ["open", "report", "report", "close"] == kinds(daemon)


def test_who_does_not_stop_is_stopped(client, daemon):
    """A report that goes on after a stop is recorded, and raises."""
    session = client.meter("alice", 5_000)
    daemon.script.extend([stop("ACCOUNT_FROZEN"), stop("ACCOUNT_FROZEN")])
    session.report(1)
    with pytest.raises(meterd.MeteringStoppedError) as info, session:
        session.report(2, request_id="x-2")
    assert ("ACCOUNT_FROZEN", "x-2") == (info.value.reason, info.value.request_id)
    assert ["open", "report", "report", "close"] == kinds(daemon)


def test_a_top_up_lets_a_stopped_session_go_on(client, daemon):
    """When a report after the stop is granted something again, there is nothing to raise."""
    with client.meter("alice", 5_000) as session:
        daemon.script.append(stop())
        session.report(5_000)
        assert 1_000 == session.report(1)
        assert "" == session.stopped


def test_iterating_ends_at_the_stop(client, daemon):
    """Each turn gets what is granted, until there is nothing more."""
    seen = []
    with client.meter("alice", 5_000) as session:
        daemon.script.extend([reservation_pb2.MeterResponse(granted={"granted_microcents": 700}), stop()])
        for granted in session:
            seen.append(granted)
            session.report(granted)
    assert [5_000, 700] == seen


def test_a_closed_session_says_so(client, daemon):
    """After the close nothing is sent, and a second close does nothing."""
    session = client.meter("alice", 5_000)
    session.report(5, final=True)
    session.close()
    with pytest.raises(RuntimeError, match="session is over"):
        session.report(5)
    assert [] == list(session)
    assert ["open", "report", "close"] == kinds(daemon)


def test_an_exception_closes(client, daemon):
    """Work that fails costs what it reported; the rest is given back."""
    session = client.meter("alice", 5_000)
    session.report(5)
    with pytest.raises(WorkError), session:
        raise WorkError
    assert ["open", "report", "close"] == kinds(daemon)


def test_a_session_goes_on_after_its_connection_broke(client, daemon):
    """It is opened again by the same id, and the same report is sent again: charged once."""
    with client.meter("alice", 5_000, request_id="s-1") as session:
        daemon.script.append(daemon.Failure(Code.UNAVAILABLE))
        assert 1_000 == session.report(40)
    assert ["open", "report", "open", "report", "close"] == kinds(daemon)
    assert daemon.requests[0] == daemon.requests[2]
    assert daemon.requests[1] == daemon.requests[3]
    assert 1 == len(client.pauses)


def test_a_stream_that_just_ends_is_a_broken_one(client, daemon):
    """A daemon that stops in good order ends the stream without a word."""
    with client.meter("alice", 5_000) as session:
        daemon.script.append(None)
        assert 1_000 == session.report(40)
    assert ["open", "report", "open", "report", "close"] == kinds(daemon)


def test_a_session_whose_money_expired_is_over(client, daemon):
    """The report tells so, with the id under which it may have been recorded; nothing is closed."""
    session = client.meter("alice", 5_000)
    daemon.script.append(daemon.Failure(Code.UNAVAILABLE))
    daemon.script.append(daemon.failure(Code.FAILED_PRECONDITION, "RESERVATION_CLOSED", {"state": "EXPIRED"}))
    with pytest.raises(meterd.ReservationClosedError) as info, session:
        session.report(40, request_id="x-1")
    assert "x-1" == info.value.request_id
    assert ["open", "report", "open"] == kinds(daemon)


def test_a_report_that_failed_leaves_the_rest_to_the_expiry(once, daemon):
    """The work did cost something that is not recorded, so the session is not closed as if it had not."""
    session = once.meter("alice", 5_000)
    daemon.script.append(daemon.failure(Code.NOT_FOUND, "UNKNOWN_RATE"))
    with pytest.raises(meterd.UnknownRateError), session:
        session.report_usage("mistral", tokens=1)
    assert ["open", "report"] == kinds(daemon)


def test_a_report_that_is_not_answered_in_time(once, daemon):
    """It raises DeadlineExceededError with the id to repeat it with; a session without an answer is not closed."""
    session = once.meter("alice", 5_000)
    daemon.released.clear()
    with pytest.raises(meterd.DeadlineExceededError) as info, session:
        session.report(40, request_id="x-1", timeout_seconds=0.05)
    daemon.released.set()
    assert "x-1" == info.value.request_id
    assert "close" not in kinds(daemon)


def test_a_close_that_fails_hides_no_exception(once, daemon):
    """The user's exception goes on, with a note; without one the failure is raised."""
    session = once.meter("alice", 5_000, request_id="s-1")
    daemon.script.append(daemon.failure(Code.UNAVAILABLE, "STORE_UNAVAILABLE"))
    with pytest.raises(WorkError) as info, session:
        raise WorkError
    assert [
        "meterd: the session s-1 was not closed and ends by its expiry: STORE_UNAVAILABLE: no"
    ] == info.value.__notes__
    session = once.meter("alice", 5_000)
    daemon.script.append(daemon.failure(Code.UNAVAILABLE, "STORE_UNAVAILABLE"))
    with pytest.raises(meterd.UnavailableError), session:
        pass


def test_a_closed_client_says_so(client):
    """A session of a closed client raises RuntimeError, and nothing of gRPC's."""
    session = client.meter("alice", 5_000)
    client.close()
    with pytest.raises(RuntimeError, match="is closed"):
        session.report(5)


async def test_a_client_closed_under_a_report(daemon):
    """A report under way raises RuntimeError when the client is closed, not CancelledError."""
    client = meterd.AsyncClient(daemon.address)
    session = await client.meter("alice", 5_000)
    daemon.arrived.clear()
    daemon.released.clear()
    report = asyncio.create_task(session.report(5))
    await asyncio.to_thread(daemon.arrived.wait)
    await client.close()
    with pytest.raises(RuntimeError, match="is closed"):
        await report


async def test_a_cancelled_report_leaves_the_rest_to_the_expiry(daemon):
    """What became of the report is not known, so the session is not closed; the cancellation goes on."""
    opened = asyncio.Event()

    async def work(client):
        async with client.meter("alice", 5_000) as session:
            daemon.arrived.clear()
            daemon.released.clear()
            opened.set()
            await session.report(5)

    async with meterd.AsyncClient(daemon.address) as client:
        task = asyncio.create_task(work(client))
        await opened.wait()
        await asyncio.to_thread(daemon.arrived.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        daemon.released.set()
    assert "close" not in kinds(daemon)


async def test_iterating_in_asyncio(daemon):
    """`async for` goes over what is granted."""
    seen = []
    async with meterd.AsyncClient(daemon.address) as client, client.meter("alice", 5_000) as session:
        daemon.script.append(stop())
        async for granted in session:
            seen.append(granted)
            await session.report(granted)
    assert [5_000] == seen

"""A function that has a price: reserved before, captured after, released when it raises."""

import asyncio

import grpc
import pytest

import meterd
from meterd.v1 import reservation_pb2


@pytest.fixture
def speak(client):
    """Make a function that costs 2,000 microcents, or raises."""

    @client.costs(2_000, user=lambda _, user_id: user_id, service="tts", labels={"k": "v"}, ttl_seconds=60)
    def speak(text, user_id):
        """Speak."""
        return f"{user_id} hears {text.upper()}"

    return speak


def test_a_call_is_reserved_and_captured(speak, daemon):
    """The work is done between the two, and its result returned."""
    assert "alice hears HI" == speak("hi", user_id="alice")
    reserved, captured = daemon.requests
    expected = reservation_pb2.ReserveRequest(
        user_id="alice",
        request_id=reserved.request_id,
        amount_microcents=2_000,
        ttl={"seconds": 60},
        service="tts",
        labels={"k": "v"},
    )
    assert expected == reserved
    assert (2_000, reserved.request_id) == (captured.cost_microcents, captured.reservation_id)


def test_a_call_that_raises_is_released(speak, daemon):
    """What failed costs nothing."""
    with pytest.raises(AttributeError):
        speak(None, "alice")
    assert [reservation_pb2.ReserveRequest, reservation_pb2.ReleaseRequest] == [*map(type, daemon.requests)]


def test_who_cannot_pay_is_not_served(speak, daemon):
    """Nothing is done before the money is held."""
    amounts = {"available_microcents": "0", "required_microcents": "5", "shortfall_microcents": "5"}
    daemon.script.append(daemon.failure(grpc.StatusCode.FAILED_PRECONDITION, "INSUFFICIENT_FUNDS", amounts))
    with pytest.raises(meterd.InsufficientFundsError):
        speak(None, "alice")  # would raise AttributeError


def test_each_call_is_one_of_its_own(speak, daemon):
    """Two calls are two reservations."""
    speak("a", "alice")
    speak("b", "bob")
    assert 4 == len({request.request_id for request in daemon.requests})
    assert ["alice", "alice", "bob", "bob"] == [request.user_id for request in daemon.requests]


def test_a_floor_makes_a_crash_cost_something(client, daemon):
    """It is passed on to the reservation."""
    client.costs(2_000, user=lambda: "alice", floor_microcents=2_000)(lambda: None)()
    assert 2_000 == daemon.requests[0].floor_microcents


async def test_names_are_kept(daemon):
    """The decorated function looks like its own self, and a coroutine function stays one."""
    async with meterd.AsyncClient(daemon.address) as client:

        @client.costs(1, user=lambda: "alice")
        async def work():
            """Work."""
            return 7

        assert ("work", "Work.", True) == (work.__name__, work.__doc__, asyncio.iscoroutinefunction(work))
        assert 7 == await work()


async def coroutine_function():
    """Do nothing."""


async def asynchronous_generator():
    """Yield nothing."""
    yield


def generator():
    """Yield nothing."""
    yield


def plain():
    """Do nothing."""


@pytest.mark.parametrize(
    ("kind", "function"),
    [
        (meterd.Client, coroutine_function),
        (meterd.Client, asynchronous_generator),
        (meterd.Client, generator),
        (meterd.AsyncClient, asynchronous_generator),
        (meterd.AsyncClient, generator),
        (meterd.AsyncClient, plain),
    ],
)
def test_a_function_of_another_kind_is_refused(kind, function):
    """What would block the event loop, or be charged before it works, is refused where it is decorated."""
    with pytest.raises(TypeError, match="functions only"):
        kind().costs(1, user=lambda: "alice")(function)


def test_a_cost_that_is_no_integer_is_refused():
    """Where it is written, not at the first call."""
    with pytest.raises(TypeError, match="cost_microcents must be an int, not float"):
        meterd.Client().costs(0.5, user=lambda: "alice")

"""Clients open, share, close and fail as they promise; both kinds promise the same."""

import asyncio
import inspect
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

import meterd

METHODS = [
    "check",
    "record_cost",
    "record_funding",
    "update_funding",
    "get_balance",
    "list_entries",
    "list_entries_page",
    "record_usage",
    "check_usage",
    "quote",
    "put_rate_cards",
    "list_rate_cards",
    "reserve",
    "reserve_usage",
    "capture",
    "capture_usage",
    "release",
    "extend",
    "set_account_policy",
    "reverse_entry",
    "get_account",
    "list_balances",
    "meter",
    "costs",
]


@pytest.mark.parametrize("method", METHODS)
def test_both_clients_have_the_same_methods(method):
    """A method has the same parameters, defaults and documentation in both clients."""
    blocking, awaited = getattr(meterd.Client, method), getattr(meterd.AsyncClient, method)
    assert inspect.signature(blocking).parameters == inspect.signature(awaited).parameters
    assert inspect.getdoc(blocking) == inspect.getdoc(awaited)


def test_both_clients_are_made_the_same_way():
    """The constructors agree."""
    assert inspect.signature(meterd.Client) == inspect.signature(meterd.AsyncClient)


def test_everything_public_is_documented():
    """Every name that the package offers exists and says what it is."""
    assert all(inspect.getdoc(getattr(meterd, name)) for name in meterd.__all__)


def test_nobody_listens(connect, daemon, tmp_path):
    """A daemon that went away is an UnavailableError, with the request_id to go on with."""
    gone = type(daemon)(f"unix:{tmp_path}/d.sock")  # a port could be another daemon's by now
    client = connect(gone.address)
    assert client.check("alice")
    gone.stop()
    with pytest.raises(meterd.UnavailableError) as info:
        client.record_cost("alice", 5, request_id="r-1")
    assert "r-1" == info.value.request_id


def test_unix_socket(connect, daemon, tmp_path):
    """A daemon can be reached at the path of a socket."""
    on_socket = type(daemon)(f"unix:{tmp_path}/d.sock")
    assert connect(on_socket.address).check("alice").allowed
    on_socket.stop()


def test_a_web_address_is_refused(connect):
    """An address that gRPC would look up as a strange host name is refused with the form it should have."""
    with pytest.raises(ValueError, match="host:port"):
        connect("http://127.0.0.1:50051")


def test_a_closed_client_says_so(client, daemon):
    """A call on a closed client, used before or not, is a RuntimeError and not a gRPC riddle."""
    client.check("alice")
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="is closed"):
        client.check("alice")
    assert 1 == len(daemon.requests)


def test_a_with_block_closes(daemon):
    """Leaving the block closes the client, and it cannot be entered again."""
    with meterd.Client(daemon.address) as client:
        assert client.check("alice")
    with pytest.raises(RuntimeError, match="Client is closed"), client:
        pass


async def test_an_async_with_block_closes(daemon):
    """Leaving the block closes the client, and it cannot be entered again."""
    async with meterd.AsyncClient(daemon.address) as client:
        assert await client.check("alice")
    with pytest.raises(RuntimeError, match="AsyncClient is closed"):
        await client.__aenter__()


def test_closed_while_a_retry_waits(connect, daemon):
    """A client that is closed during a pause does not try again."""
    client = connect()
    client.client._sleep = lambda _: client.client.close()
    daemon.script.append(daemon.Failure(grpc.StatusCode.UNAVAILABLE))
    with pytest.raises(RuntimeError, match="is closed"):
        client.check("alice")


def test_threads_share_a_client(daemon):
    """One client serves many threads at once, over one connection; each gets its own answer."""
    with meterd.Client(daemon.address) as client, ThreadPoolExecutor(8) as threads:
        answers = threads.map(lambda cost: client.record_cost("alice", cost).entry.amount_microcents, range(200))
        assert [-cost for cost in range(200)] == list(answers)


async def test_tasks_share_a_client(daemon):
    """One client serves many tasks at once; each gets its own answer."""
    async with meterd.AsyncClient(daemon.address) as client:
        answers = await asyncio.gather(*(client.record_cost("alice", cost) for cost in range(200)))
    assert [-cost for cost in range(200)] == [answer.entry.amount_microcents for answer in answers]


async def test_cancellation_passes_through(daemon):
    """A cancelled task ends as cancelled, not with an error of ours, and the client still works."""
    daemon.released.clear()
    async with meterd.AsyncClient(daemon.address) as client:
        task = asyncio.create_task(client.record_cost("alice", 5))
        await asyncio.to_thread(daemon.arrived.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        daemon.released.set()
        assert await client.check("alice")


def test_a_second_event_loop_is_refused(daemon):
    """An AsyncClient made outside a loop belongs to the first loop that it is used in."""
    client = meterd.AsyncClient(daemon.address)
    with asyncio.Runner() as first:
        assert first.run(client.check("alice"))
        with asyncio.Runner() as second, pytest.raises(RuntimeError, match="another event loop"):
            second.run(client.check("alice"))
        first.run(client.close())

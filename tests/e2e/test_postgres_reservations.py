"""Reservations and sessions on two daemons of one PostgreSQL: one is killed in the midst of it, and the other goes on."""

import asyncio
import signal
from contextlib import ExitStack

import grpc
import pytest

from meterd.v1 import account_pb2
from store.engines import postgres_url

from .process import Daemon
from .reserving import Caller, ask, holding_client

CLIENTS, FUNDED_FOR = 200, 50
Kind = account_pb2.EntryKind


@pytest.fixture
def daemons(tmp_path):
    """Start two daemons on one database."""
    with ExitStack() as stack:
        folders = [tmp_path / name for name in ("one", "two")]
        for folder in folders:
            folder.mkdir()
        options = ["--db-connections", "4"]
        yield [stack.enter_context(Daemon(each, db=postgres_url(tmp_path), options=options)) for each in folders]


def test_two_hundred_reserve_on_two_daemons_of_which_one_is_killed(daemons):
    """Half of the clients ask each daemon: as many as there is money for have it, whoever was told so before the kill, too."""
    killed, other = daemons
    with Caller(other.address) as caller:
        caller.fund(FUNDED_FOR * 7)

    async def ask_and_kill():
        answered = asyncio.Event()
        calls = [
            asyncio.ensure_future(
                ask(daemons[number % 2].address, number, answered if number % 2 == 0 else asyncio.Event())
            )
            for number in range(CLIENTS)
        ]
        await answered.wait()
        killed.signal(signal.SIGKILL)
        return await asyncio.gather(*calls)

    async def ask_the_other():
        return await asyncio.gather(*(ask(other.address, number, asyncio.Event()) for number in range(CLIENTS)))

    first = asyncio.run(ask_and_kill())
    assert set(first[1::2]) <= {grpc.StatusCode.OK, grpc.StatusCode.FAILED_PRECONDITION}
    second = asyncio.run(ask_the_other())
    assert {grpc.StatusCode.OK, grpc.StatusCode.FAILED_PRECONDITION} == set(second)
    assert FUNDED_FOR == second.count(grpc.StatusCode.OK)
    lost = [each for each in range(CLIENTS) if first[each] == grpc.StatusCode.OK != second[each]]
    assert [] == lost
    with Caller(other.address) as caller:
        balance, entries = caller.balance(), caller.entries()
    assert (350, 350, 0) == (balance.balance_microcents, balance.held_microcents, balance.available_microcents)
    assert list(range(1, FUNDED_FOR + 2)) == [entry.version for entry in entries]
    assert 350 == sum(entry.held_microcents for entry in entries)
    assert 0 == other.stop()


@pytest.mark.parametrize(
    ("on_expiry", "reported", "costs"),
    [
        ("ON_EXPIRY_RELEASE", 30, 30),
        ("ON_EXPIRY_CAPTURE_FLOOR", 30, 200),
        ("ON_EXPIRY_CAPTURE_FLOOR", 230, 230),
    ],
)
@pytest.mark.parametrize("which", [0, 1], ids=["of the first", "of the second"])
def test_a_session_whose_daemon_and_client_are_killed(daemons, which, on_expiry, reported, costs):
    """The other daemon ends it, once, whichever of them had the lease: it costs what was reported, or the floor."""
    killed, other = daemons[which], daemons[1 - which]
    with Caller(other.address) as caller:
        caller.fund(1_000)
        with holding_client(killed, on_expiry, reported, ttl_seconds=1) as client:
            assert ["granted\n", "granted\n"] == [client.stdout.readline() for _ in range(2)]
            killed.signal(signal.SIGKILL)
            killed.wait()
            client.kill()
        caller.wait_until_nothing_is_held()
        other.wait_for_log("1 reservations expired")
        assert 1_000 - costs == caller.balance().balance_microcents
        assert 1 == [entry.kind for entry in caller.entries()].count(Kind.ENTRY_KIND_EXPIRY)
    assert 0 == other.stop()

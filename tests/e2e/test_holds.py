"""Holds and metered sessions with the real daemon: what is given back, kept alive, expired, and gone on with."""

import asyncio
import signal
import subprocess
import sys

import pytest

import meterd
from store.engines import postgres_url

from .process import Daemon, wait_until

FUNDED = 1_000_000


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def daemon(request, tmp_path_factory):
    """Start one daemon on each engine for all tests that leave it running; each takes users of its own."""
    folder = tmp_path_factory.mktemp("daemon")
    with Daemon(folder, db=postgres_url(folder) if request.param == "postgres" else None) as daemon:
        yield daemon


KILLED_IN_A_BLOCK = """
import os, signal, sys, meterd
with meterd.Client(sys.argv[1]).reserve("killed", 1_000, ttl_seconds=1, floor_microcents=400):
    os.kill(os.getpid(), signal.SIGKILL)
"""
KILLED_IN_A_SESSION = """
import os, signal, sys, meterd
with meterd.Client(sys.argv[1]).meter("killed in a session", 1_000) as session:
    session.report(300)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_block_that_raises_costs_nothing(client):
    """What was held is available again, and the exception goes on."""
    client.record_funding("raises", FUNDED)
    hold = client.reserve("raises", 5_000)
    assert FUNDED - 5_000 == client.get_balance("raises").available_microcents == hold.balance.available_microcents
    with pytest.raises(ZeroDivisionError), hold:
        1 / 0  # noqa: B018
    balance = client.get_balance("raises")
    assert (FUNDED, 0, 0) == (balance.available_microcents, balance.held_microcents, balance.spent_microcents)


def test_a_block_outlives_its_ttl(client):
    """It extends itself while the work runs: when others that were made with it have long expired, it is captured in time."""
    client.record_funding("outlives", FUNDED)
    with client.reserve("outlives", 5_000, ttl_seconds=1) as hold:
        other = client.reserve("outlives", 7, ttl_seconds=1)
        wait_until(lambda: client.get_balance("outlives").held_microcents == 5_000, "the other one expired")
        with pytest.raises(meterd.ReservationClosedError) as info:
            other.release()
        captured = hold.capture(3_000)
    assert meterd.ReservationState.EXPIRED is info.value.state
    assert (False, False, 3_000) == (captured.entry.late, captured.entry.overrun, captured.balance.spent_microcents)


def test_a_late_capture_is_charged_once(client):
    """What the expiry charged in its place is not charged again."""
    client.record_funding("late", FUNDED)
    hold = client.reserve("late", 5_000, ttl_seconds=1, floor_microcents=500)
    wait_until(lambda: client.get_balance("late").spent_microcents == 500, "it expired at its floor")
    captured = hold.capture(600)
    assert (True, -100, 600) == (
        captured.entry.late,
        captured.entry.amount_microcents,
        captured.balance.spent_microcents,
    )
    assert hold.capture(600).replayed


def test_a_client_killed_in_its_block_costs_the_floor(client, daemon):
    """Nobody releases and nobody captures: the expiry charges what was agreed on."""
    client.record_funding("killed", FUNDED)
    killed = subprocess.run([sys.executable, "-c", KILLED_IN_A_BLOCK, daemon.address], check=False)
    assert -signal.SIGKILL == killed.returncode
    wait_until(lambda: client.get_balance("killed").spent_microcents == 400, "it expired at its floor")
    assert FUNDED - 400 == client.get_balance("killed").available_microcents


def test_a_client_killed_in_its_session_costs_what_it_reported(client, daemon):
    """The stream breaks, and the rest is available again."""
    client.record_funding("killed in a session", FUNDED)
    killed = subprocess.run([sys.executable, "-c", KILLED_IN_A_SESSION, daemon.address], check=False)
    assert -signal.SIGKILL == killed.returncode
    wait_until(lambda: client.get_balance("killed in a session").held_microcents == 0, "the session was settled")
    balance = client.get_balance("killed in a session")
    assert (300, FUNDED - 300) == (balance.spent_microcents, balance.available_microcents)


async def test_a_session_is_metered_to_the_last_microcent(daemon):
    """Granted slice by slice, until nothing is left."""
    async with meterd.AsyncClient(daemon.address) as client:
        await client.record_funding("streams", 25_000)
        async with client.meter("streams", 10_000) as session:
            grants = []
            async for granted in session:
                grants.append(granted)
                await session.report(granted)
        balance = await client.get_balance("streams")
    assert ([10_000, 10_000, 5_000], "INSUFFICIENT_FUNDS") == (grants, session.stopped)
    assert (0, 0, 25_000) == (balance.balance_microcents, balance.held_microcents, balance.spent_microcents)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_session_goes_on_after_a_restart(tmp_path, db, number):
    """Whether the daemon stopped in good order or was killed, the next report is charged, once."""
    address = f"unix:{tmp_path}/d.sock"
    with Daemon(tmp_path, db=db, listen=address) as daemon, meterd.Client(address) as client:
        client.record_funding("goes on", FUNDED)
        with client.meter("goes on", 1_000) as session:
            session.report(300)
            daemon.signal(number)
            daemon.wait()
            daemon.start()
            assert 1_000 == session.report(200)
        balance = client.get_balance("goes on")
        assert (500, 0, FUNDED - 500) == (
            balance.spent_microcents,
            balance.held_microcents,
            balance.available_microcents,
        )


def test_many_holds_against_money_for_some(daemon):
    """200 tasks reserve at once; as many succeed as there is money for."""

    async def tries(client):
        try:
            async with client.reserve("crowd", 1_000) as hold:
                await hold.capture(1_000)
        except meterd.InsufficientFundsError:
            return False
        return True

    async def all_try():
        async with meterd.AsyncClient(daemon.address) as client:
            await client.record_funding("crowd", 50_000)
            succeeded = sum(await asyncio.gather(*(tries(client) for _ in range(200))))
            return succeeded, await client.get_balance("crowd")

    succeeded, balance = asyncio.run(all_try())
    assert (50, 0, 50_000) == (succeeded, balance.balance_microcents, balance.spent_microcents)


def test_all_accounts_are_listed(client):
    """Whoever has an entry is there once, as the account is now, and who has none is not."""
    users = [f"listed {number}" for number in range(5)]
    for number, user_id in enumerate(users, 1):
        client.record_funding(user_id, number * 100)
        client.reserve(user_id, number)
    found = [each for each in client.list_balances(page_size=2) if each.user_id.startswith("listed ")]
    assert [client.get_balance(user_id) for user_id in users] == sorted(found, key=lambda each: each.user_id)

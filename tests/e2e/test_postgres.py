"""Real daemons on one PostgreSQL: they are equals, and their log never shows the password."""

import asyncio
from contextlib import AsyncExitStack, ExitStack

import pytest

import meterd
from store.engines import postgres_url

from .process import Daemon


@pytest.fixture
def daemons(request, tmp_path):
    """Return daemons on one database: two, or as many as a test asks for."""
    with ExitStack() as stack:
        started = []
        for name in map(str, range(getattr(request, "param", 2))):
            folder = tmp_path / name
            folder.mkdir()
            started.append(
                stack.enter_context(Daemon(folder, db=postgres_url(tmp_path), options=["--db-connections", "4"]))
            )
        yield started


def test_two_daemons_are_one_ledger(daemons):
    """What one has acknowledged the other knows, and a retry may go to either."""
    with meterd.Client(daemons[0].address) as one, meterd.Client(daemons[1].address) as two:
        funded = one.record_funding("alice", 1_000, request_id="f")
        assert 1_000 == two.check("alice", 1_000).available_microcents
        assert two.record_funding("alice", 1_000, request_id="f").replayed
        assert two.record_cost("alice", 400, request_id="c", reject_overdraft=True).entry.version == 2
        with pytest.raises(meterd.InsufficientFundsError):
            one.record_cost("alice", 601, reject_overdraft=True)
        assert [funded.entry, two.record_cost("alice", 400, request_id="c", reject_overdraft=True).entry] == list(
            one.list_entries("alice", oldest_first=True)
        )
    assert [0, 0] == [daemon.stop() for daemon in daemons]


def test_the_log_shows_no_password(daemons):
    """The daemon says which database it serves, without the password and without parameters."""
    (line,) = [line for line in daemons[0].log() if line["event"].startswith("serving on")]
    assert "database postgresql://" in line["event"]
    assert "schema=" not in line["event"]


def test_a_wrong_address_stops_the_daemon(tmp_path):
    """A database that cannot be reached is exit code 5 and one line, without the password."""
    daemon = Daemon(tmp_path, db=f"postgresql://ada:hunter2@/x?host={tmp_path}")
    with pytest.raises(AssertionError, match="nobody answers there"):
        daemon.start()
    assert "hunter2" not in daemon.log_text()


@pytest.mark.parametrize("daemons", [4], indirect=True)
async def test_four_daemons_with_64_writers_each_on_ten_users(daemons):
    """What 256 callers of four processes change at the same time is there once, in one order for each user."""
    users, writers, turns = [f"user-{number}" for number in range(10)], 64, 4

    async def write(client, number):
        for turn in range(turns):
            user_id, request_id = users[(number + turn) % len(users)], f"{number}-{turn}"
            # Every daemon is sent the same request ids: three of four are told that it was done.
            told.append((await client.record_funding(user_id, 7, request_id=request_id)).replayed)
            await client.record_cost(user_id, 3)

    told = []
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(meterd.AsyncClient(daemon.address)) for daemon in daemons]
        await asyncio.gather(*[write(client, number) for client in clients for number in range(writers)])
        assert writers * turns == told.count(False)
        assert 3 * writers * turns == told.count(True)
        versions = 0
        for user_id in users:
            entries = [entry async for entry in clients[0].list_entries(user_id, oldest_first=True)]
            balance = await clients[1].get_balance(user_id)
            assert list(range(1, balance.version + 1)) == [entry.version for entry in entries]
            assert balance.balance_microcents == sum(entry.amount_microcents for entry in entries)
            versions += balance.version
        assert writers * turns * (1 + len(daemons)) == versions

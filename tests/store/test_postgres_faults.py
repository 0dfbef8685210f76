"""Connections that break at any point: what was acknowledged is there once; what is unknown is found out, or settled by a retry."""

import asyncio

import asyncpg
import pytest

from meterd_server.errors import StoreUnavailable
from meterd_server.model import Applied, Lapse
from meterd_server.store.postgres.engine import PostgresStore
from rules.commands import capture, cost, funding, grant, reserve, strict_cost
from store.engines import DistributedStore, private_server
from store.model import entries_of
from store.proxy import Proxy


@pytest.fixture
async def proxy():
    """Return a proxy before the private server."""
    async with Proxy(private_server().socket) as proxy:
        yield proxy


@pytest.fixture
def schema(request):
    """Return a schema for this test."""
    return f"faults_{abs(hash(request.node.nodeid)) % 10**12}"


@pytest.fixture(params=[PostgresStore, DistributedStore])
async def store(request, proxy, schema):
    """Return an open store behind the proxy, in which alice has money."""
    store = request.param(f"{private_server().url(proxy.folder)}&schema={schema}", connections=8)
    await store.open()
    await store.commit([funding("alice", 100, "first")], 1)
    yield store
    await store.close()


@pytest.fixture
async def direct(store, schema):
    """Return a store on the same database that no proxy comes between."""
    direct = PostgresStore(f"{private_server().url()}&schema={schema}", connections=2)
    await direct.open()
    yield direct
    await direct.close()


def answers(*what):
    """Return what a proxy does with the next COMMITs; it passes on those that follow."""
    left = list(what)
    return lambda: left.pop(0) if left else "pass"


async def locked_out():
    """Wait until somebody waits for a lock that somebody else holds."""
    connection = await asyncpg.connect(private_server().url())
    async with asyncio.timeout(20):
        while not await connection.fetchval(  # noqa: ASYNC110 -- it is the database's event
            "SELECT count(*) FROM pg_locks WHERE NOT granted"
        ):
            await asyncio.sleep(0.005)
    await connection.close()


@pytest.mark.parametrize("user_id", ["alice", "somebody new"])
@pytest.mark.parametrize("what", ["lose", "drop"])
async def test_a_commit_without_an_answer(store, direct, proxy, what, user_id):
    """Whether the COMMIT was carried out or never arrived, the store finds out, and the caller is told the one outcome."""
    proxy.on_commit, proxy.commits = answers(what), 0
    commands = [cost(user_id, 5, "r"), strict_cost(user_id, 999), cost(user_id, 6)]
    outcomes = await store.commit(commands, 1)
    assert [True, False, True] == [isinstance(outcome, Applied) for outcome in outcomes]
    assert not any(outcome.replayed for outcome in outcomes if isinstance(outcome, Applied))
    assert [outcomes[0].entry, outcomes[2].entry] == (await entries_of(direct, user_id))[-2:]
    assert outcomes[2].account == await direct.account(user_id)
    assert {"lose": 1, "drop": 2}[what] == proxy.commits


@pytest.mark.parametrize("what", ["lose", "drop"])
async def test_a_commit_of_ids_that_nobody_else_has(store, direct, proxy, what):
    """Entries under ids that are new, or the daemon's own, are found as well as others if the answer to their COMMIT is lost."""
    now_us = 1_000_000
    await store.commit([grant("alice", 10, 2 * now_us), reserve("alice", 50, "r", ttl_us=1)], now_us)
    due = await direct.due(now_us + 10, 9)
    proxy.on_commit, proxy.commits = answers(what), 0
    batch = [*due, cost("alice", 5, "new", request_id_is_new=True), capture("alice", "r", 7), Lapse("alice")]
    outcomes = await store.commit(batch, 3 * now_us)
    assert {"lose": 1, "drop": 2}[what] == proxy.commits
    made = [outcome.entry for outcome in outcomes if isinstance(outcome, Applied) and not outcome.replayed]
    listed = await entries_of(direct, "alice")
    assert ["expiry 3", "new", batch[2].request_id] == [entry.request_id for entry in made]
    assert "lapse 2" == listed[3].request_id
    assert made == [listed[number] for number in (4, 5, 6)]
    assert 7 == len(listed)
    assert outcomes[-1].account == await direct.account("alice")


@pytest.mark.parametrize("user_id", ["alice", "somebody new"])
@pytest.mark.parametrize("arrives", [True, False])
async def test_a_commit_that_is_still_under_way(store, direct, proxy, arrives, user_id):
    """While a lost connection's transaction is not over, the store waits for it; then it knows which way it went."""
    proxy.on_commit = answers("hold")
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        commit = group.create_task(store.commit([cost(user_id, 5, "r")], 1))
        await locked_out()
        assert not commit.done()
        assert "r" not in {entry.request_id for entry in await entries_of(direct, user_id)}
        proxy.released.set() if arrives else proxy.abandon()
    (outcome,) = commit.result()
    assert not outcome.replayed
    assert [outcome.entry] == [entry for entry in await entries_of(direct, user_id) if entry.request_id == "r"]
    assert outcome.account == await direct.account(user_id)


async def test_answers_that_are_lost_again_and_again(store, direct, proxy):
    """A store that cannot find out says so; after reopening, a retry is told that its entry was there."""
    proxy.on_commit = lambda: "lose"
    command = cost("alice", 5, "r")

    async def refuse_after_commit():
        await proxy.committed.wait()
        await proxy.refuse()

    proxy.committed.clear()
    refusing = asyncio.create_task(refuse_after_commit())
    with pytest.raises(StoreUnavailable):
        await store.commit([command], 1)
    await refusing
    for call in (store.account("alice"), store.commit([command], 1), store.reopen()):
        with pytest.raises(StoreUnavailable):
            await call
    await proxy.listen()
    proxy.on_commit = lambda: "pass"
    await store.reopen()
    (again,) = await store.commit([command], 1)
    assert (True, 95) == (again.replayed, again.account.balance_microcents)
    assert ["first", "r"] == [entry.request_id for entry in await entries_of(direct, "alice")]


async def test_a_cancelled_commit_is_carried_through(store, direct, proxy):
    """Cancelling a commit, at whatever point, cancels nothing in the database: the batch is there, whole."""
    for turns in range(0, 40, 3):
        commands = [cost("alice", 1, f"r{turns}"), cost("alice", 1, f"s{turns}")]
        commit = asyncio.create_task(store.commit(commands, 1))
        for _ in range(turns):
            await asyncio.sleep(0)
        commit.cancel()
        await asyncio.wait([commit])
        # Whichever of the two comes first writes both entries, and the other is told of them.
        first, second = await store.commit(commands, 1)
        assert first.replayed == second.replayed
        assert 1 == second.entry.version - first.entry.version
    await store.close()
    assert 1 + 2 * len(range(0, 40, 3)) == (await direct.account("alice")).version


async def test_a_store_closes_behind_its_commits(store, direct):
    """Closing waits for a commit that is under way, which is then answered as any other."""
    commit = asyncio.create_task(store.commit([cost("alice", 5, "r")], 1))
    await asyncio.sleep(0)
    await store.close()
    (outcome,) = await commit
    assert [outcome.entry] == (await entries_of(direct, "alice"))[-1:]


async def test_idle_connections_that_were_closed(store, direct):
    """Connections that the server has closed meanwhile are replaced without anyone noticing."""
    for _ in range(3):
        connection = await asyncpg.connect(private_server().url())
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        await connection.close()
        (outcome,) = await store.commit([cost("alice", 5)], 1)
        assert not outcome.replayed
        assert outcome.account == await store.account("alice")


async def test_reads_that_find_the_server_away(store, proxy):
    """When nobody answers reads, the store says that it has to be opened anew, however many they are, and then it works."""
    await proxy.refuse()
    told = await asyncio.gather(*[store.account("alice") for _ in range(12)], return_exceptions=True)
    assert [StoreUnavailable] * 12 == [type(answer) for answer in told]
    assert store.needs_reopening
    await proxy.listen()
    await store.reopen()
    assert not store.needs_reopening
    assert 100 == (await store.account("alice")).balance_microcents


@pytest.mark.parametrize("error", [asyncpg.DataCorruptedError, TimeoutError])
async def test_a_read_that_failed_by_itself(store, monkeypatch, error):
    """A row that cannot be read, and a wait that was in vain, leave the store as it is: the next read may well succeed."""
    borrow = store._open.connections.borrow

    def fail():
        raise error("by itself")

    monkeypatch.setattr(store._open.connections, "borrow", fail)
    with pytest.raises(StoreUnavailable):
        await store.account("alice")
    assert not store.needs_reopening
    monkeypatch.setattr(store._open.connections, "borrow", borrow)
    assert 100 == (await store.account("alice")).balance_microcents


async def test_a_rival_that_hangs(store):
    """A daemon that stops in the midst of a transaction holds its users up for some seconds only: its lock is taken away."""
    begin = store._open.writer._begin.replace(
        "idle_in_transaction_session_timeout = '10s'", "idle_in_transaction_session_timeout = '200ms'"
    )
    rival = await asyncpg.connect(private_server().url())
    await rival.execute(begin)
    await rival.fetch(f'SELECT * FROM "{store._address.schema}".account FOR UPDATE')
    (outcome,) = await store.commit([cost("alice", 5)], 1)
    assert 95 == outcome.account.balance_microcents
    rival.terminate()


async def test_a_caller_who_leaves_in_the_midst_of_a_commit(store, direct):
    """A commit that is cancelled is carried through: it is there when the store is closed."""
    committing = asyncio.ensure_future(store.commit([cost("alice", 5, "r")], 1))
    await asyncio.sleep(0)  # it has begun; nothing is sent yet
    committing.cancel()
    await asyncio.wait([committing])
    assert committing.cancelled()
    await store.close()
    assert ["first", "r"] == [entry.request_id for entry in await entries_of(direct, "alice")]


async def test_a_commit_that_failed_fails_the_store(store, direct, monkeypatch):
    """After a commit that raised, nothing is answered before the store is opened again: what it knew may be untrue."""
    active = store._active()

    async def fail(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(active.writer, "commit", fail)
    with pytest.raises(StoreUnavailable):
        await store.commit([cost("alice", 5, "r")], 1)
    with pytest.raises(StoreUnavailable):
        await store.account("alice")
    await store.reopen()
    assert 1 == (await store.account("alice")).version

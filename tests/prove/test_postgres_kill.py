"""PostgreSQL killed under load, beneath two daemons: `POSTGRES_KILLS=20 pytest tests/prove` does it more often."""

import asyncio
import os
import random
from contextlib import ExitStack

import asyncpg
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import meterd
from e2e.process import Daemon
from prove.harness import Load, audit
from store.postgres_server import PostgresServer

KILLS = int(os.environ.get("POSTGRES_KILLS", "2"))
EVENTS_MAX = 1_500
DAEMONS = 2
SECONDS_MAX = 60
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def stack():
    """Return a stack of what ends with the test."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def server(stack):
    """Return a server that is this test's to kill."""
    server = PostgresServer()
    stack.callback(server.stop)
    return server


@pytest.fixture
def start(stack, tmp_path):
    """Return a function that starts two daemons on an address, each with a folder of its own."""

    def start(url):
        folders = [tmp_path / f"daemon-{number}" for number in range(DAEMONS)]
        for folder in folders:
            folder.mkdir()
        options = ["--log-level", "error", "--db-connections", "4"]
        return [stack.enter_context(Daemon(folder, db=url, options=options)) for folder in folders]

    return start


async def execute(url, statement):
    """Give a statement to a server."""
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


async def until_synchronous(url):
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

    def kill(event):
        if event == at_event:
            server.kill()

    loads = [Load(seed=seed, on_event=kill), *(Load(seed=seed + number) for number in range(1, len(daemons)))]
    async with asyncio.timeout(SECONDS_MAX):
        await asyncio.gather(*[load.run(daemon.address) for load, daemon in zip(loads, daemons, strict=True)])
    await asyncio.gather(*[until(NOT_SERVING, daemon) for daemon in daemons])
    return loads


async def until(status, daemon):
    """Wait until the daemon's health is what is said."""
    async with grpc.aio.insecure_channel(daemon.address) as channel, asyncio.timeout(SECONDS_MAX):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        async for told in watch:
            if told.status == status:
                return


@pytest.mark.timeout(60 + 30 * KILLS)
async def test_nothing_acknowledged_is_lost_when_the_server_is_killed(server, start):
    """After kill -9 of PostgreSQL at any moment both daemons come back; what they acknowledged is there, the rest is settled."""
    rng = random.Random(5)
    daemons = start(server.url())
    loads = []
    for life in range(KILLS):
        this = await write_until_killed(server, daemons, life * DAEMONS, rng.randrange(1, EVENTS_MAX))
        loads += this
        await asyncio.to_thread(server.start)
        await asyncio.gather(*[until(SERVING, daemon) for daemon in daemons])
        async with meterd.AsyncClient(daemons[life % DAEMONS].address) as client:
            await audit(client, *loads)
            for load in this:
                await load.settle(client)
            await audit(client, *loads)
    assert any(load.failures for load in loads)
    assert [0] * DAEMONS == [daemon.stop() for daemon in daemons]


async def test_nothing_acknowledged_is_lost_when_a_replica_takes_over(server, start, stack):
    """With synchronous replication, a replica that is promoted after the primary was killed has all that was acknowledged."""
    replica = PostgresServer(of=server)
    stack.callback(replica.stop)
    await execute(server.url(), "ALTER SYSTEM SET synchronous_standby_names = '*'")
    await execute(server.url(), "SELECT pg_reload_conf()")
    await until_synchronous(server.url())
    daemons = start(server.url(f"{server.folder},{replica.folder}"))
    loads = await write_until_killed(server, daemons, 7, 900)
    async with asyncio.timeout(SECONDS_MAX):
        await execute(replica.url(), "SELECT pg_promote()")
        await asyncio.gather(*[until(SERVING, daemon) for daemon in daemons])
        async with meterd.AsyncClient(daemons[1].address) as client:
            await audit(client, *loads)
            for load in loads:
                await load.settle(client)
            await audit(client, *loads)
    assert [0] * DAEMONS == [daemon.stop() for daemon in daemons]

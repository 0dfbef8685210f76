"""PostgreSQL killed under load, beneath two daemons: `POSTGRES_KILLS=20 pytest tests/prove` does it more often."""

import asyncio
import os
import random
from contextlib import ExitStack

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import meterd
from e2e.process import Daemon
from store.postgres_server import PostgresServer

from .harness import Load, audit

KILLS = int(os.environ.get("POSTGRES_KILLS", "2"))
EVENTS_MAX = 1_500
DAEMONS = 2
SECONDS_MAX = 60
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def server():
    """Return a server that is this test's to kill."""
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture
def daemons(server, tmp_path):
    """Return two daemons on it, each with a folder of its own."""
    with ExitStack() as stack:
        yield [stack.enter_context(_daemon(tmp_path / f"daemon-{number}", server)) for number in range(DAEMONS)]


def _daemon(folder, server):
    folder.mkdir()
    return Daemon(folder, db=server.url(), options=["--log-level", "error", "--db-connections", "4"])


async def until(status, daemon):
    """Wait until the daemon's health is what is said."""
    async with grpc.aio.insecure_channel(daemon.address) as channel, asyncio.timeout(SECONDS_MAX):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        async for told in watch:
            if told.status == status:
                return


@pytest.mark.timeout(60 + 30 * KILLS)
async def test_nothing_acknowledged_is_lost_when_the_server_is_killed(server, daemons):
    """After kill -9 of PostgreSQL at any moment both daemons come back; what they acknowledged is there, the rest is settled."""
    rng = random.Random(5)
    loads = []
    for life in range(KILLS):
        at_event = rng.randrange(1, EVENTS_MAX)

        def kill(event, at_event=at_event):
            if event == at_event:
                server.kill()

        this = [Load(seed=life * DAEMONS, on_event=kill), *(Load(seed=life * DAEMONS + n) for n in range(1, DAEMONS))]
        loads += this
        async with asyncio.timeout(SECONDS_MAX):
            await asyncio.gather(*[load.run(daemon.address) for load, daemon in zip(this, daemons, strict=True)])
        await asyncio.gather(*[until(NOT_SERVING, daemon) for daemon in daemons])
        await asyncio.to_thread(server.start)
        await asyncio.gather(*[until(SERVING, daemon) for daemon in daemons])
        async with meterd.AsyncClient(daemons[life % DAEMONS].address) as client:
            await audit(client, *loads)
            for load in this:
                await load.settle(client)
            await audit(client, *loads)
    assert any(load.failures for load in loads)
    assert [0] * DAEMONS == [daemon.stop() for daemon in daemons]

"""Stopping: SIGTERM, SIGINT, twice, and under load."""

import asyncio
import signal
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

import meterd
from meterd.v1 import metering_pb2
from prove.harness import Load, audit
from prove.http2 import Connection, message

QUICK_SECONDS = 10


@pytest.fixture(params=[0, 2], ids="{}-workers".format)
def run_daemon(run_daemon, request):
    """Return a function that starts a daemon, alone or with workers: it stops in the same way."""
    return lambda options=(): run_daemon(options=["--workers", str(request.param), *options])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it(run_daemon, number):
    """SIGTERM or SIGINT is an orderly stop: exit 0, nothing in the log but information, one file left, no logs of SQLite's."""
    daemon = run_daemon()
    with meterd.Client(daemon.address) as client:
        client.record_funding("ada", 5)
    daemon.signal(number)
    assert 0 == daemon.wait()
    assert {"info"} == {line["level"] for line in daemon.log()}
    assert {"ledger.sqlite3", "ledger.sqlite3.lock"} == {path.name for path in daemon.db.parent.glob("ledger*")}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_all(run_daemon, number):
    """Ctrl-C and some service managers tell every process of the daemon at once; it is the same orderly stop."""
    daemon = run_daemon()
    with meterd.Client(daemon.address) as client:
        client.record_funding("ada", 5)
        daemon.signal_group(number)
        assert 0 == daemon.wait()
    assert {"info"} == {line["level"] for line in daemon.log()}


def test_a_call_after_the_stop(run_daemon):
    """A client of a daemon that has stopped is told that it is not there."""
    daemon = run_daemon()
    with meterd.Client(daemon.address, retry=meterd.RetryPolicy(attempts=1)) as client:
        client.record_funding("ada", 5)
        assert 0 == daemon.stop()
        with pytest.raises(meterd.UnavailableError):
            client.record_funding("ada", 5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_under_load(run_daemon, number):
    """A daemon that is stopped while it is busy exits 0 and loses nothing that it acknowledged."""
    daemon = run_daemon()
    load = Load(seed=number, on_event=lambda event: daemon.signal(number) if event == 700 else None)
    await load.run(daemon.address)
    assert 0 == await asyncio.to_thread(daemon.wait)
    assert load.acknowledged
    assert load.failures
    daemon.start()
    async with meterd.AsyncClient(daemon.address) as client:
        await audit(client, load)
        await load.settle(client)
        await audit(client, load)


async def test_what_callers_of_a_stopping_daemon_are_told(run_daemon):
    """A call that a stopping daemon does not take is UNAVAILABLE, which every client knows how to retry."""
    daemon = run_daemon()
    load = Load(seed=0, on_event=lambda event: daemon.signal(signal.SIGTERM) if event == 700 else None)
    await load.run(daemon.address)
    assert {meterd.UnavailableError} == {type(error) for error in load.failures}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_second_signal(run_daemon, number, code):
    """A daemon that waits for a call under way ends at once on the second signal, with 128 and its number."""
    daemon = run_daemon(options=["--shutdown-grace-seconds", "300"])
    connection = _call_that_stays_open(daemon.address)
    daemon.signal(number)
    await asyncio.to_thread(daemon.wait_for_log, "stopping: waiting")
    daemon.signal(number)
    assert code == await asyncio.to_thread(daemon.wait)
    connection.socket.close()


async def test_a_call_that_never_ends(run_daemon):
    """A call that stays open holds up the stop for the grace and no longer."""
    daemon = run_daemon(options=["--shutdown-grace-seconds", "0.2"])
    connection = _call_that_stays_open(daemon.address)
    daemon.signal(signal.SIGTERM)
    assert 0 == await asyncio.to_thread(daemon.wait)
    connection.socket.close()


async def test_calls_that_only_wait(run_daemon):
    """Who watches health, or has a stream open on which nothing is asked, does not hold up the stop."""
    daemon = run_daemon(options=["--shutdown-grace-seconds", "300"])
    async with grpc.aio.insecure_channel(daemon.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        await reflection.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        assert health_pb2.HealthCheckResponse.SERVING == (await watch.read()).status
        assert (await reflection.read()).list_services_response.service
        began = time.monotonic()
        daemon.signal(signal.SIGTERM)
        assert health_pb2.HealthCheckResponse.NOT_SERVING == (await watch.read()).status
        assert [grpc.StatusCode.UNAVAILABLE] * 2 == [await call.code() for call in (watch, reflection)]
        assert 0 == await asyncio.to_thread(daemon.wait)
        # On an idle machine it takes a fifth of a second; the grace is what it must not take.
        assert time.monotonic() - began < QUICK_SECONDS


def _call_that_stays_open(address):
    """Ask the daemon at `address` for something whose answer is never taken; return the connection to close in the end."""
    connection = Connection(address, window=0)
    body = metering_pb2.CheckRequest(user_id="ada").SerializeToString()
    connection.call("/meterd.v1.MeteringService/Check", message(body))
    assert connection.is_heard()
    return connection

"""A daemon with workers: many processes on one port, one ledger behind them."""

import asyncio
import itertools
import resource
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import meterd as client_package
from meterd.v1 import ledger_pb2, ledger_pb2_grpc, metering_pb2, metering_pb2_grpc
from prove.harness import Load, audit

from .process import is_running, meterd, wait_until

TIMEOUT_SECONDS = 20
CONNECTIONS = 24
"""So many that all of them at one of two workers would be a coin that falls the same way 23 times."""

WORKERS = ("--workers", "2")
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
async def connect():
    """Return a function that opens a number of channels to an address, each a connection of its own."""
    async with AsyncExitStack() as stack:

        async def connect(address, count=CONNECTIONS):
            options = [("grpc.use_local_subchannel_pool", 1)]
            channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(count)]
            for channel in channels:
                await stack.enter_async_context(channel)
                await channel.channel_ready()
            return channels

        yield connect


def _connections(pid, address):
    """How many established connections of clients to an address a process has."""
    port = f":{int(address.rpartition(':')[2]):04X}"
    tables = [Path(f"/proc/net/{table}").read_text().splitlines()[1:] for table in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table]
    inodes = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(port) and row[3] == "01"}
    return sum(str(path.readlink()) in inodes for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink())


async def _write_until_it_fails(stub):
    for number in range(1_000):
        await stub.RecordCost(_cost("ada", str(number)), timeout=TIMEOUT_SECONDS)


def _cost(user_id, request_id):
    return metering_pb2.RecordCostRequest(user_id=user_id, request_id=request_id, cost_microcents=1)


async def test_calls_land_on_every_worker(run_daemon, connect):
    """Connections are spread over the workers, and what comes in through any of them adds up in one ledger."""
    daemon = run_daemon(options=WORKERS)
    channels = await connect(daemon.address)
    assert [True, True] == [_connections(pid, daemon.address) > 0 for pid in daemon.workers().values()]
    assert 0 == _connections(daemon.pid, daemon.address)
    stubs = [metering_pb2_grpc.MeteringServiceStub(channel) for channel in channels]
    requests = [_cost("ada", f"{number}-{time}") for number in range(CONNECTIONS) for time in range(20)]
    answers = await asyncio.gather(
        *(stub.RecordCost(request) for stub, request in zip(itertools.cycle(stubs), requests, strict=False))
    )
    assert sorted(range(1, len(requests) + 1)) == sorted(answer.entry.version for answer in answers)
    for channel in channels:
        balance = await ledger_pb2_grpc.LedgerServiceStub(channel).GetBalance(
            ledger_pb2.GetBalanceRequest(user_id="ada")
        )
        assert (len(requests), len(requests)) == (balance.balance.spent_microcents, balance.balance.version)


async def test_a_check_sees_what_any_worker_acknowledged(run_daemon, connect):
    """A check by way of any worker, sent after a change was answered by any other, sees that change."""
    daemon = run_daemon(options=WORKERS)
    stubs = [metering_pb2_grpc.MeteringServiceStub(channel) for channel in await connect(daemon.address, 8)]

    async def change_and_check(number):
        user_id = f"user-{number % 3}"
        answer = await stubs[number % 8].RecordCost(_cost(user_id, str(number)))
        checks = [stub.Check(metering_pb2.CheckRequest(user_id=user_id)) for stub in stubs]
        for check in await asyncio.gather(*checks):
            assert check.balance.version >= answer.balance.version

    await asyncio.gather(*(change_and_check(number) for number in range(60)))


async def test_the_same_request_at_two_workers(run_daemon, connect):
    """A request that reaches two workers at once is carried out once, and both answer with the one entry."""
    daemon = run_daemon(options=WORKERS)
    stubs = [metering_pb2_grpc.MeteringServiceStub(channel) for channel in await connect(daemon.address)]
    answers = await asyncio.gather(*(stub.RecordCost(_cost("ada", "once")) for stub in stubs))
    assert [1] * CONNECTIONS == [answer.entry.version for answer in answers]
    assert 1 == [answer.replayed for answer in answers].count(False)


async def test_a_worker_that_is_killed_comes_back(run_daemon):
    """Callers of a killed worker are told UNAVAILABLE, nothing acknowledged is lost, and another takes its place."""
    daemon = run_daemon(options=WORKERS)
    before = daemon.workers()

    def kill(event):
        if event == 300:
            for pid in before.values():
                daemon.signal_worker(pid, signal.SIGKILL)

    load = Load(seed=1, on_event=kill)
    await load.run(daemon.address)
    assert {client_package.UnavailableError} == {type(error) for error in load.failures}
    wait_until(lambda: not {*before.values()} & {*daemon.workers().values()}, "other workers")
    async with client_package.AsyncClient(daemon.address) as client:
        await audit(client, load)
        await load.settle(client)
        await audit(client, load)
    assert {1, 2} == daemon.workers().keys()
    ends = [line["event"] for line in daemon.log() if line["level"] == "error"]
    assert {f"worker {number} ended with code -9; starting another in 0.1 s" for number in (1, 2)} == set(ends)
    assert 0 == daemon.stop()


def test_a_worker_that_is_hung_is_replaced(run_daemon):
    """A worker that stands still is ended and another one started, and those that are well, idle as they are, go on."""
    daemon = run_daemon(options=WORKERS, module="e2e.impatient_daemon", variables={"PYTHONPATH": "tests"})
    hung, well = daemon.workers()[1], daemon.workers()[2]
    daemon.signal_worker(hung, signal.SIGSTOP)
    wait_until(lambda: daemon.workers()[1] != hung, "another worker")
    assert f"worker process {hung} is hung" in daemon.log_text()
    assert well == daemon.workers()[2]
    with client_package.Client(daemon.address) as client:
        assert 1 == client.record_funding("ada", 5).entry.version
    assert 0 == daemon.stop()


def test_the_parent_is_killed(run_daemon):
    """When the ledger's process is killed no worker stays, the port is free, and a restart has all that was acknowledged."""
    daemon = run_daemon(options=WORKERS)
    with client_package.Client(daemon.address) as client:
        client.record_funding("ada", 5)
    workers = daemon.workers().values()
    daemon.end()
    for pid in workers:
        wait_until(lambda pid=pid: not is_running(pid), f"the end of worker {pid}")
    again = run_daemon(listen=daemon.address, options=WORKERS)
    assert daemon.address == again.address
    with client_package.Client(again.address) as client:
        assert 5 == client.get_balance("ada").balance_microcents
    assert 0 == again.stop()


async def test_a_store_that_fails_is_told_by_every_worker(run_daemon, connect):
    """While the store fails, health is NOT_SERVING at every worker; when it is back, SERVING again at every one."""
    daemon = run_daemon(options=WORKERS)
    channels = await connect(daemon.address)
    watches = [health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()) for channel in channels]
    assert [SERVING] * CONNECTIONS == [(await watch.read()).status for watch in watches]
    # The kernel refuses to let a file grow beyond this: to the store, a disk that is full.
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    stub = metering_pb2_grpc.MeteringServiceStub(channels[0])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _write_until_it_fails(stub)
    assert grpc.StatusCode.UNAVAILABLE == caught.value.code()
    assert [NOT_SERVING] * CONNECTIONS == [(await watch.read()).status for watch in watches]
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert [SERVING] * CONNECTIONS == [(await watch.read()).status for watch in watches]
    assert (await stub.RecordCost(_cost("ada", "after"), timeout=TIMEOUT_SECONDS)).entry.version > 1


async def test_more_than_may_wait(run_daemon):
    """What the ledger's process has no room for is OVERLOADED to its callers, who may try again."""
    daemon = run_daemon(options=[*WORKERS, "--max-queued-operations", "1", "--commit-window-ms", "100"])
    # Each call by itself: what a client puts into one message may come when there is room, all of it.
    once = client_package.RetryPolicy(attempts=1)
    async with client_package.AsyncClient(daemon.address, retry=once, coalesce=False) as client:
        calls = (client.record_funding(f"user-{number}", 1) for number in range(500))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        refused = sum(isinstance(answer, client_package.OverloadedError) for answer in answers)
        assert 0 < refused
        assert 500 == refused + sum(isinstance(answer, client_package.Recorded) for answer in answers)


@pytest.mark.parametrize("first", [(), WORKERS])
@pytest.mark.parametrize("second", [(), WORKERS])
def test_a_port_of_another_daemon(run_daemon, tmp_path, first, second):
    """Two daemons never share a port, whether they have workers or not."""
    daemon = run_daemon(options=first)
    result = meterd(tmp_path, "serve", "--listen", daemon.address, "--db", ":memory:", *second)
    assert 5 == result.returncode
    (line,) = result.stderr.splitlines()
    assert "in use" in line
    assert 0 == daemon.stop()


def test_a_worker_that_cannot_serve(run_daemon, tmp_path):
    """What keeps a worker from serving is told as if there were none: exit 5 and one line."""
    daemon = run_daemon(listen=f"unix:{tmp_path}/s")
    arguments = ("--listen", daemon.address, "--db", ":memory:", "--workers", "1", "--log-level", "error")
    result = meterd(tmp_path, "serve", *arguments)
    assert 5 == result.returncode
    assert f"meterd: cannot listen on {daemon.address}: another server answers there" == result.stderr.strip()


def test_a_unix_address_for_two(tmp_path):
    """Workers cannot share a unix: address: exit 2, and the line says what can be done."""
    result = meterd(tmp_path, "serve", "--listen", f"unix:{tmp_path}/s", *WORKERS)
    assert 2 == result.returncode
    assert (
        "meterd: --workers: 2 processes cannot share a unix: address: give 1, or --listen HOST:PORT"
        == result.stderr.strip()
    )


def test_a_worker_takes_no_signal_of_its_own(run_daemon):
    """SIGTERM to a worker alone does nothing: it leaves when the ledger's process says so."""
    daemon = run_daemon(options=WORKERS)
    for pid in daemon.workers().values():
        daemon.signal_worker(pid, signal.SIGTERM)
        daemon.signal_worker(pid, signal.SIGINT)
    with client_package.Client(daemon.address) as client:
        assert 1 == client.record_funding("ada", 5).entry.version
    assert 0 == daemon.stop()
    assert {"info"} == {line["level"] for line in daemon.log()}

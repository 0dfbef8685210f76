"""The daemon's way to its file fails at named points, under live load, in each way in which it can."""

import asyncio
import json
import random
import signal
from typing import NamedTuple

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

import meterd
from e2e.process import Daemon
from meterd.v1 import metering_pb2, metering_pb2_grpc
from prove.harness import NO_RETRY, Load, read, settled
from prove.invariants import check_file
from prove.proofs import Round, proof


class Point(NamedTuple):
    """A step on the way to the disk, and the latest time of it that a short load is sure to reach."""

    what: str
    file: str
    last: int


POINTS = {
    "a write to the log": Point("write", "-wal", 60),
    "the sync of a commit": Point("sync", "-wal", 15),
    "copying a page from the log": Point("write", "", 8),
    "the sync after copying": Point("sync", "", 1),
    "emptying the log at the end": Point("truncate", "-wal", 1),
    "removing the log at the end": Point("delete", "-wal", 1),
    "the sync of a new file's journal": Point("sync", "-journal", 5),
    "removing a new file's journal": Point("delete", "-journal", 3),
}
HOW = ("kill", "EIO", "ENOSPC", "stall")
KINDS = [(name, how) for how in HOW for name in POINTS]
OPERATIONS = 800
READ_KINDS = [
    (name, how) for name in ("the sync after copying", "copying a page from the log") for how in ("EIO", "ENOSPC")
]
READ_SECONDS = 30
COST = metering_pb2.Operation(record_cost=metering_pb2.RecordCostRequest(user_id="ada", cost_microcents=1))
SERVING, NOT_SERVING = (getattr(health_pb2.HealthCheckResponse, name) for name in ("SERVING", "NOT_SERVING"))


# Nine has no factor in common with the number of kinds: the first rounds differ in both.
@proof("failpoints", "the daemon's way to the disk, under live gRPC load", rounds=(6, 64, 1_600))
async def failpoints(round_: Round) -> None:
    """Whatever fails and however, the daemon comes back or is started again, and every caller was told the truth."""
    dice = random.Random(round_.seed)
    name, how = KINDS[round_.seed * 9 % len(KINDS)]
    what, file, last = POINTS[name]
    times = 1 if how in ("kill", "stall") else dice.choice((1, 1, 4))
    fault = {"what": what, "file": file, "number": dice.randint(1, last), "times": times, "how": how}
    fired = round_.folder / "fired"
    variables = {"PROVE_FAULT": json.dumps(fault), "PROVE_FIRED": str(fired), "PYTHONPATH": "tests"}
    daemon = Daemon(round_.folder, options=["--log-level", "error"], module="prove.faulty_daemon", variables=variables)
    loads = [Load(seed=round_.seed * 3 + number, operations_max=OPERATIONS) for number in range(2)]
    with round_.fault(f"{how} at {name}", str(fault)):
        try:
            if start(daemon):
                await loads[0].run(daemon.address)
                if how == "kill" and fired.exists():
                    assert -signal.SIGKILL == daemon.wait()
                else:
                    await settled(daemon.address, loads[:1])
                    assert daemon.stop() in (0, -signal.SIGKILL)
            assert fired.exists(), "the load did not come to that point"
            if how == "stall":
                assert not loads[0].failures, f"a slow disk is no failure: {loads[0].failures}"
            daemon.module = "meterd_server"
            daemon.start()
            await settled(daemon.address, loads[:1])
            await loads[1].run(daemon.address)
            await settled(daemon.address, loads)
            assert 0 == daemon.stop()
        finally:
            daemon.end()
        await check_file(daemon.db)


@proof("failpoints-read", "copying the log fails, and nobody writes any more", rounds=(2, 16, 400))
async def failpoints_read(round_: Round) -> None:
    """A daemon that is only read from says NOT_SERVING, comes back by itself, and answers what was acknowledged."""
    dice = random.Random(round_.seed)
    name, how = READ_KINDS[round_.seed % len(READ_KINDS)]
    what, file, _ = POINTS[name]
    workers = round_.seed % 2
    fault = {"what": what, "file": file, "number": 1, "times": dice.choice((1, 4)), "how": how}
    fired = round_.folder / "fired"
    variables = {"PROVE_FAULT": json.dumps(fault), "PROVE_FIRED": str(fired), "PYTHONPATH": "tests"}
    options = ["--log-level", "error", "--workers", str(workers)]
    with (
        round_.fault(f"{how} at {name}, {'a worker' if workers else 'no workers'}", str(fault)),
        Daemon(round_.folder, options=options, module="prove.faulty_daemon", variables=variables) as daemon,
    ):
        async with grpc.aio.insecure_channel(daemon.address) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            states = [(await watch.read()).status]
            # In one piece: it is copied when all of it is committed, and nothing is written after that.
            batch = metering_pb2.BatchRequest(operations=[COST] * OPERATIONS)
            await metering_pb2_grpc.MeteringServiceStub(channel).Batch(batch)
            async with asyncio.timeout(READ_SECONDS):
                states += [(await watch.read()).status for _ in range(2)]
                versions = [entry.version for entry in await read_alone(daemon.address)]
            watch.cancel()
        assert fired.exists(), "the log was not copied"
        assert [SERVING, NOT_SERVING, SERVING] == states
        assert [*range(1, OPERATIONS + 1)] == versions
        assert 0 == daemon.stop()
        await check_file(daemon.db)


async def read_alone(address: str) -> list[meterd.Entry]:
    """The entries of the one user; asked for once, with no retry."""
    async with meterd.AsyncClient(address, retry=NO_RETRY) as client:
        return await read(client, "ada")


def start(daemon: Daemon) -> bool:
    """Start a daemon; False if the fault kept it from that."""
    try:
        daemon.start()
    except AssertionError:
        return False
    return True

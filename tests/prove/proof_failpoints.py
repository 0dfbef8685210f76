"""The daemon's way to its file fails at named points, under live load, in each way in which it can."""

import json
import random
import signal
from typing import NamedTuple

from e2e.process import Daemon
from prove.harness import Load, settled
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


def start(daemon: Daemon) -> bool:
    """Start a daemon; False if the fault kept it from that."""
    try:
        daemon.start()
    except AssertionError:
        return False
    return True

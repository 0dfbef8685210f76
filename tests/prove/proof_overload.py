"""Ten times as much is asked as can be done: as much is done as ever, and the rest is told when to come again."""

import itertools
import random

from e2e.process import Daemon
from meterd.v1 import metering_pb2
from prove.open_loop import NOT_ANSWERED, Came, run
from prove.proof_hostile import memory_mib
from prove.proofs import Round, proof

BATCH = "/meterd.v1.MeteringService/Batch"
OPERATIONS = 1_000
IN_FLIGHT = 16
SECONDS = 3
TIMES = 10
GOODPUT_MIN = 0.9
GROWTH_MIB_MAX = 512
ATTEMPTS = 4
RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED = 8, 4


def bodies(prefix: str):
    """Batches of costs under request ids of their own. What differs between them is put in by hand: the sender is to be quick."""
    operations = [
        metering_pb2.Operation(
            record_cost=metering_pb2.RecordCostRequest(
                user_id=f"user-{number}", cost_microcents=1, request_id=f"{prefix}-00000000-{number:04}"
            )
        )
        for number in range(OPERATIONS)
    ]
    raw = metering_pb2.BatchRequest(operations=operations).SerializeToString()
    for number in itertools.count():
        yield raw.replace(f"{prefix}-00000000-".encode(), f"{prefix}-{number:08}-".encode())


def overload(address: str, pid: int, name: str) -> tuple[Came, Came, float]:
    """What was done at the best, and when ten times that is asked; and how much memory there was in use at most."""
    peak = run(address, BATCH, bodies(f"{name}p"), seconds=SECONDS, in_flight=IN_FLIGHT)
    most_mib = [0.0]

    def look() -> None:
        most_mib[0] = max(most_mib[0], memory_mib(pid))

    asked = TIMES * peak.good_per_second
    return peak, run(address, BATCH, bodies(f"{name}o"), seconds=SECONDS, per_second=asked, each=look), most_mib[0]


@proof("overload", "ten times as much is asked as can be done", rounds=(0, 2, 20), alone=True)
def overloaded(round_: Round) -> None:
    """What is carried out in time stays the same, nothing else is left open, and memory is bounded."""
    name = f"{random.Random(round_.seed).randrange(10**6):06}"
    with Daemon(round_.folder, options=["--log-level", "warning"]) as daemon:
        run(daemon.address, BATCH, bodies(f"{name}w"), seconds=1, in_flight=IN_FLIGHT)
        before_mib = memory_mib(daemon.pid)
        with round_.fault(f"{TIMES} times as many batches of {OPERATIONS}"):
            ratios = []
            for attempt in range(ATTEMPTS):
                peak, came, most_mib = overload(daemon.address, daemon.pid, f"{name}{attempt}")
                refused = came.ended[RESOURCE_EXHAUSTED]
                ratios.append(came.good_per_second / peak.good_per_second)
                assert most_mib - before_mib < GROWTH_MIB_MAX, f"it has grown by {most_mib - before_mib:.0f} MiB"
                assert came.without_delay == 0, f"{came.without_delay} of {refused} were not told when to come again"
                assert came.ended[NOT_ANSWERED] == 0, f"{came.ended[NOT_ANSWERED]} of {came.sent} got no answer"
                if ratios[-1] >= GOODPUT_MIN:
                    break
            assert max(ratios) >= GOODPUT_MIN, f"goodput is {ratios} of the peak; {came.ended}"
            round_.note(
                f"{peak.good_per_second * OPERATIONS:,.0f} operations/s at the best, {ratios[-1]:.2f} times that when "
                f"{came.sent / came.seconds / peak.good_per_second:.1f} times that is asked; {refused} of {came.sent} OVERLOADED, "
                f"{came.sent - refused - came.ended[0]} else; +{most_mib - before_mib:.0f} MiB"
            )
        assert daemon.stop() == 0

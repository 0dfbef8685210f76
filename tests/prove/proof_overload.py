"""Ten times as much is asked as can be done: as much is done as ever, and the rest is told when to come again."""

import itertools
import random
from statistics import median

from e2e.process import Daemon
from meterd.v1 import metering_pb2
from prove.goodput import goodput
from prove.open_loop import NOT_ANSWERED, Came, run
from prove.proof_hostile import memory_mib
from prove.proofs import Round, proof

BATCH = "/meterd.v1.MeteringService/Batch"
OPERATIONS = 1_000
IN_FLIGHT = 16
SECONDS = 3
TIMES = 10
GROWTH_MIB_MAX = 512
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
        peaks, overloads, grown_mib = [], [], []

        def pair(number: int) -> float:
            peak, came, most_mib = overload(daemon.address, daemon.pid, f"{name}{number}")
            refused = came.ended[RESOURCE_EXHAUSTED]
            peaks.append(peak)
            overloads.append(came)
            grown_mib.append(most_mib - before_mib)
            assert grown_mib[-1] < GROWTH_MIB_MAX, f"it has grown by {grown_mib[-1]:.0f} MiB"
            assert came.without_delay == 0, f"{came.without_delay} of {refused} were not told when to come again"
            assert came.ended[NOT_ANSWERED] == 0, f"{came.ended[NOT_ANSWERED]} of {came.sent} got no answer"
            return came.good_per_second / peak.good_per_second

        with round_.fault(f"{TIMES} times as many batches of {OPERATIONS}"):
            came_to = goodput(pair)
            sent, refused, carried_out = (
                sum(counted)
                for counted in zip(
                    *((came.sent, came.ended[RESOURCE_EXHAUSTED], came.ended[0]) for came in overloads), strict=True
                )
            )
            round_.note(
                f"{median(came.good_per_second for came in peaks) * OPERATIONS:,.0f} operations/s at the best, {came_to}, when "
                f"{TIMES} times as many are asked; {refused} of {sent} OVERLOADED, {sent - refused - carried_out} else; "
                f"+{max(grown_mib):.0f} MiB"
            )
        assert daemon.stop() == 0

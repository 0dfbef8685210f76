"""Ten times as many callers as keep a daemon busy, a call each: as much is done, and the others know when to come."""

import itertools
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from e2e.process import Daemon
from meterd.v1 import metering_pb2
from meterd_server.rpc.admission import CALLS_UNDER_WAY_MAX
from prove.goodput import goodput
from prove.many_callers import NO_DELAY, RESOURCE_EXHAUSTED, Came, run
from prove.proof_hostile import memory_mib
from prove.proofs import Round, proof

RECORD_COST = "/meterd.v1.MeteringService/RecordCost"
CALLERS = 200
TIMES = 10
SECONDS = 3
WARMUP_SECONDS = 2
GROWTH_MIB_MAX = 256
PAIRS = 7
QUEUES_MAX = 3
"""What a call waits for at most, in times of what may be under way, done at the best rate: connections do not spread evenly over
workers, and one that has most of them has half of the processor."""

WORKERS = (0, 2)


def bodies(prefix: str) -> Iterator[bytes]:
    """Costs under request ids of their own, of ten thousand users."""
    raw = metering_pb2.RecordCostRequest(
        user_id="user-0000", cost_microcents=1, request_id=f"{prefix}-0000000000"
    ).SerializeToString()
    for number in itertools.count():
        yield raw.replace(b"-0000000000", b"-%010d" % number).replace(b"r-0000", b"r-%04d" % (number % 10_000))


@contextmanager
def apart(daemon: Daemon) -> Iterator[None]:
    """The daemon on one processor and this process, which is the load, on another: what one takes is not the other's loss."""
    before = os.sched_getaffinity(0)
    first, *others = sorted(before)
    if others:
        for pid in (daemon.pid, *daemon.workers().values()):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), {first})
        os.sched_setaffinity(0, set(others))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def check(came: Came) -> None:
    """Nobody is left without an answer that says what to do."""
    assert set(came.ended) <= {0, RESOURCE_EXHAUSTED}, f"calls ended with {came.ended}"
    assert came.delays_seconds[NO_DELAY] == 0, f"{came.delays_seconds[NO_DELAY]} were not told when to come again"


@proof("overload-unary", "ten times as many callers, with a call each, as keep it busy", rounds=(0, 2, 20), alone=True)
def overloaded(round_: Round) -> None:
    """What is carried out stays the same, the others are told when to come again, and memory is bounded."""
    name = f"{random.Random(round_.seed).randrange(10**6):06}"
    workers = WORKERS[round_.seed % len(WORKERS)]
    with Daemon(round_.folder, options=["--log-level", "info", "--workers", str(workers)]) as daemon, apart(daemon):
        before_mib = memory_mib(daemon.pid)
        peaks, overloads = [], []

        def pair(number: int) -> float:
            both = [(peaks, CALLERS), (overloads, TIMES * CALLERS)]
            # Every other one the other way round: a machine that grows slower, or faster, is no merit of the daemon's.
            for results, callers in both if number % 2 else reversed(both):
                came = run(daemon.address, RECORD_COST, bodies(f"{name}{number}{callers}"), callers=callers, seconds=SECONDS,
                           warmup_seconds=WARMUP_SECONDS)  # fmt: skip
                check(came)
                results.append(came)
            grown_mib = memory_mib(daemon.pid) - before_mib
            assert grown_mib < GROWTH_MIB_MAX, f"it has grown by {grown_mib:.0f} MiB"
            p99_seconds_max = QUEUES_MAX * CALLS_UNDER_WAY_MAX * max(workers, 1) / peaks[-1].good_per_second
            assert overloads[-1].p99_seconds < p99_seconds_max, (
                f"one call in a hundred took {overloads[-1].p99_seconds:.1f} s"
            )
            return overloads[-1].good_per_second / peaks[-1].good_per_second

        with round_.fault(f"{TIMES} times as many callers, {workers} workers"):
            came_to = goodput(pair, PAIRS)
            round_.note(
                f"{workers} workers: {CALLERS} callers {median(came.good_per_second for came in peaks):,.0f}/s, {TIMES * CALLERS} "
                f"callers {came_to}, p99 {1000 * max(came.p99_seconds for came in overloads):.0f} ms at most; "
                f"{sum(came.ended[RESOURCE_EXHAUSTED] for came in overloads)} OVERLOADED; "
                f"+{memory_mib(daemon.pid) - before_mib:.0f} MiB"
            )
        assert daemon.stop() == 0

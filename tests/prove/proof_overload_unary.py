"""Ten times as many callers as keep a daemon busy, a call each: as much is done, and the others know when to come."""

import itertools
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.process import Daemon
from meterd.v1 import metering_pb2
from prove.many_callers import NO_DELAY, RESOURCE_EXHAUSTED, Came, run
from prove.proof_hostile import memory_mib
from prove.proofs import Round, proof

RECORD_COST = "/meterd.v1.MeteringService/RecordCost"
CALLERS = 200
TIMES = 10
SECONDS = 3
WARMUP_SECONDS = 2
GOODPUT_MIN = 0.9
GROWTH_MIB_MAX = 256
P99_SECONDS_MAX = 2.5
ATTEMPTS = 4
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
    assert came.p99_seconds < P99_SECONDS_MAX, f"one call in a hundred took {came.p99_seconds:.1f} s"


@proof("overload-unary", "ten times as many callers, with a call each, as keep it busy", rounds=(0, 2, 20), alone=True)
def overloaded(round_: Round) -> None:
    """What is carried out stays the same, the others are told when to come again, and memory is bounded."""
    name = f"{random.Random(round_.seed).randrange(10**6):06}"
    workers = WORKERS[round_.seed % len(WORKERS)]
    with Daemon(round_.folder, options=["--log-level", "info", "--workers", str(workers)]) as daemon, apart(daemon):
        before_mib = memory_mib(daemon.pid)
        with round_.fault(f"{TIMES} times as many callers, {workers} workers"):
            ratios = []
            for attempt in range(ATTEMPTS):
                peak, came = (
                    run(daemon.address, RECORD_COST, bodies(f"{name}{attempt}{callers}"), callers=callers,
                        seconds=SECONDS, warmup_seconds=WARMUP_SECONDS)
                    for callers in (CALLERS, TIMES * CALLERS)
                )  # fmt: skip
                check(came)
                grown_mib = memory_mib(daemon.pid) - before_mib
                assert grown_mib < GROWTH_MIB_MAX, f"it has grown by {grown_mib:.0f} MiB"
                ratios.append(came.good_per_second / peak.good_per_second)
                if ratios[-1] >= GOODPUT_MIN:
                    break
            assert max(ratios) >= GOODPUT_MIN, f"goodput is {ratios} of the peak; {came.ended}"
            round_.note(
                f"{workers} workers: {CALLERS} callers {peak.good_per_second:,.0f}/s, {TIMES * CALLERS} callers "
                f"{ratios[-1]:.2f} times that, p99 {1000 * came.p99_seconds:.0f} ms; {came.ended[RESOURCE_EXHAUSTED]} OVERLOADED; "
                f"+{grown_mib:.0f} MiB"
            )
        assert daemon.stop() == 0

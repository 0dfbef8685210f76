"""Callers that stand still, a thousand at a time: what they hold is bounded, and nobody else waits for them."""

import statistics
import time

import meterd
from e2e.process import Daemon
from meterd.v1 import metering_pb2
from prove.http2 import Connection, message
from prove.proof_hostile import is_served, memory_mib
from prove.proofs import Round, proof

STREAM = "/meterd.v1.MeteringService/Stream"
STREAMS = 1_000
CONNECTIONS = 10
CALLS = 1_000
WINDOWS = 3
ATTEMPTS = 4
SLOWER_MAX = 1.5
GROWTH_MIB_MAX = 256
HALF_BYTES = 16_384
OPERATIONS = 100


def p99_seconds(client: meterd.Client) -> float:
    """What one call in a hundred takes at least, one after the other: the middle one of a few such figures."""
    figures = []
    for _ in range(WINDOWS):
        took = []
        for _ in range(CALLS):
            began = time.perf_counter()
            client.record_cost("witness", 1)
            took.append(time.perf_counter() - began)
        figures.append(sorted(took)[CALLS * 99 // 100])
    return statistics.median(figures)


def half_a_message(connection: Connection) -> None:
    """A call whose message begins and does not go on."""
    connection.call(STREAM, message(b"x" * HALF_BYTES, length=2 * HALF_BYTES), end=False)


def nothing_at_all(connection: Connection) -> None:
    """A call without a message."""
    connection.call(STREAM, b"", end=False)


def never_read(connection: Connection) -> None:
    """Messages whose answers are never taken: the window is 0."""
    operation = metering_pb2.Operation(check=metering_pb2.CheckRequest(user_id="ada", minimum_microcents=1))
    body = message(metering_pb2.StreamRequest(operations=[operation] * OPERATIONS).SerializeToString())
    connection.call(STREAM, body * 20, end=False)


KINDS = {
    "half a message": (half_a_message, {}),
    "no message": (nothing_at_all, {}),
    "answers never read": (never_read, {"window": 0}),
}


@proof("stalled", "1,000 streams stand still", rounds=(3, 3, 60), alone=True)
def stalled(round_: Round) -> None:
    """What a thousand standing streams take is bounded, and a call beside them takes hardly longer than without."""
    name = [*KINDS][round_.seed % len(KINDS)]
    stall, options = KINDS[name]
    with Daemon(round_.folder, options=["--log-level", "warning"]) as daemon, meterd.Client(daemon.address) as client:
        p99_seconds(client)
        before_mib = memory_mib(daemon.pid)
        with round_.fault(name):
            ratios = []
            for _ in range(ATTEMPTS):
                before_seconds = p99_seconds(client)
                connections = [Connection(daemon.address, **options) for _ in range(CONNECTIONS)]
                for number in range(STREAMS):
                    stall(connections[number % CONNECTIONS])
                for connection in connections:
                    assert connection.is_heard(), "the daemon neither answers a ping nor hangs up"
                during_seconds = p99_seconds(client)
                grown = memory_mib(daemon.pid) - before_mib
                assert grown < GROWTH_MIB_MAX, f"it has grown by {grown:.0f} MiB"
                for connection in connections:
                    connection.socket.close()
                is_served(client, daemon)
                ratios.append(during_seconds / before_seconds)
                if ratios[-1] <= SLOWER_MAX:
                    break
            assert min(ratios) <= SLOWER_MAX, f"others' p99 is {ratios} times what it was"
            round_.note(
                f"{name}: +{grown:.0f} MiB, others' p99 {1000 * during_seconds:.1f} ms, {ratios[-1]:.2f} times that before"
            )
        assert daemon.stop() == 0

"""Callers that stand still, a thousand at a time: what they hold is bounded, and nobody else waits for them.

Others' times are held against those before where nothing is run beside it; in the suite only what is held is.
"""

import statistics
import time

import meterd
from e2e.process import Daemon
from meterd.v1 import ledger_pb2, metering_pb2
from prove.http2 import Connection, message, receive_any
from prove.proof_hostile import is_served, memory_mib
from prove.proofs import Round, proof

STREAM = "/meterd.v1.MeteringService/Stream"
BATCH = "/meterd.v1.MeteringService/Batch"
LIST = "/meterd.v1.LedgerService/ListEntries"
CALLERS = 1_000
CONNECTIONS = 10
CALLS = 1_000
WINDOWS = 3
ATTEMPTS = 4
SLOWER_MAX = 1.5
GROWTH_MIB_MAX = 256
HALF_BYTES = 16_384
OPERATIONS = 100
BATCH_OPERATIONS = 10_000
ENTRIES = 1_000
QUIET_SECONDS = 1
CHECK = metering_pb2.Operation(check=metering_pb2.CheckRequest(user_id="ada", minimum_microcents=1))


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
    body = message(metering_pb2.StreamRequest(operations=[CHECK] * OPERATIONS).SerializeToString())
    connection.call(STREAM, body * 20, end=False)


_BATCH_BODY = message(metering_pb2.BatchRequest(operations=[CHECK] * BATCH_OPERATIONS).SerializeToString())
_LIST_BODY = message(ledger_pb2.ListEntriesRequest(user_id="witness", page_size=ENTRIES).SerializeToString())


def batch_never_read(connection: Connection) -> None:
    """A call for the largest answer that there is."""
    connection.call(BATCH, _BATCH_BODY)


def page_never_read(connection: Connection) -> None:
    """A small request for the largest page that there is."""
    connection.call(LIST, _LIST_BODY)


KINDS = {
    "half a message": (half_a_message, {}),
    "no message": (nothing_at_all, {}),
    "answers never read": (never_read, {"window": 0}),
    "batches never read": (batch_never_read, {"window": 0}),
    "pages never read": (page_never_read, {"window": 0}),
}


@proof("stalled", "1,000 calls stand still", rounds=(5, 5, 100), alone=True)
def stalled(round_: Round) -> None:
    """What a thousand standing calls take is bounded, and a call beside them takes hardly longer than without."""
    name = [*KINDS][round_.seed % len(KINDS)]
    with Daemon(round_.folder, options=["--log-level", "warning"]) as daemon, meterd.Client(daemon.address) as client:
        for _ in range(ENTRIES):
            client.record_cost("witness", 1)
        with round_.fault(name):
            before_mib, ratios = memory_mib(daemon.pid), []
            for _ in range(ATTEMPTS):
                before_seconds = p99_seconds(client) if round_.alone else 0
                connections = stand_still(daemon.address, name)
                during_seconds = p99_seconds(client) if round_.alone else 0
                grown = memory_mib(daemon.pid) - before_mib
                assert grown < GROWTH_MIB_MAX, f"it has grown by {grown:.0f} MiB"
                is_served(client, daemon)
                for connection in connections:
                    connection.socket.close()
                is_served(client, daemon)
                if not round_.alone:
                    break
                ratios.append(during_seconds / before_seconds)
                if ratios[-1] <= SLOWER_MAX:
                    round_.note(
                        f"{name}: +{grown:.0f} MiB, others' p99 {1000 * during_seconds:.1f} ms, "
                        f"{ratios[-1]:.2f} times that before"
                    )
                    break
            else:
                raise AssertionError(f"others' p99 is {ratios} times what it was")
        assert daemon.stop() == 0


def stand_still(address: str, name: str) -> list[Connection]:
    """Have a thousand callers stand still over a few connections, and wait until the daemon has dealt with what it can."""
    stall, options = KINDS[name]
    connections = [Connection(address, **options) for _ in range(CONNECTIONS)]
    for number in range(CALLERS):
        stall(connections[number % CONNECTIONS])
    for connection in connections:
        assert connection.is_heard(), "the daemon neither answers a ping nor hangs up"
    while [*receive_any(connections, QUIET_SECONDS)]:
        pass
    return connections

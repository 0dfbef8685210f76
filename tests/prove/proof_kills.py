"""The daemon is ended under live load: killed at seeded points, or asked to stop."""

import random
import signal

from e2e.process import Daemon
from prove.harness import Load, settled
from prove.invariants import check_file
from prove.proofs import Round, proof

EVENTS_MAX = 1_500


class Sender:
    """Sends a signal to a daemon at the event whose number it was given."""

    def __init__(self, daemon, signal_number, at_event):
        self._daemon = daemon
        self._signal_number = signal_number
        self._at_event = at_event
        self.has_sent = False

    def __call__(self, event):
        if event == self._at_event:
            self._daemon.signal(self._signal_number)
            self.has_sent = True


async def end_under_load(round_: Round, kind: str, signal_number: int, exit_code: int) -> None:
    """End a daemon twice, the second time with a file that was recovered before, and audit what every caller was told.

    Every other daemon has workers: it is the ledger's process that is told, and they go with it.
    """
    rng = random.Random(round_.seed)
    loads = []
    workers = round_.seed % 2 * 2
    with Daemon(round_.folder, options=["--log-level", "error", "--workers", str(workers)]) as daemon:
        for life in range(2):
            sender = Sender(daemon, signal_number, rng.randrange(1, EVENTS_MAX))
            load = Load(seed=round_.seed * 2 + life, on_event=sender)
            loads.append(load)
            with round_.fault(f"{kind}, {workers} workers"):
                await load.run(daemon.address)
                assert sender.has_sent
                assert exit_code == daemon.wait()
                daemon.start()
                await settled(daemon.address, loads)
        assert 0 == daemon.stop()
    await check_file(daemon.db)


@proof("kill", "the daemon is killed under live gRPC load", rounds=(5, 25, 1_000))
async def kill(round_: Round) -> None:
    """Whatever was acknowledged before a SIGKILL is there once, and a retry settles the rest once."""
    await end_under_load(round_, "SIGKILL", signal.SIGKILL, -signal.SIGKILL)


@proof("stop", "the daemon is asked to stop under live gRPC load", rounds=(1, 10, 200))
async def stop(round_: Round) -> None:
    """SIGTERM ends a daemon with exit code 0 whatever is asked of it meanwhile, and every caller was told the truth."""
    await end_under_load(round_, "SIGTERM", signal.SIGTERM, 0)

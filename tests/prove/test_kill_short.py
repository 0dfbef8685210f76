"""SIGKILL under load, at seeded points: `PROVE_ROUNDS=500 pytest tests/prove` makes many more of them."""

import os
import random
import signal

import pytest

import meterd
from e2e.process import Daemon

from .harness import Load, audit

ROUNDS = int(os.environ.get("PROVE_ROUNDS", "5"))
KILLS = 2
"""How often the daemon of one round is killed: the second time with a file that was recovered before."""
EVENTS_MAX = 1_500


class Killer:
    """Kills a daemon at the event whose number it was given."""

    def __init__(self, daemon, at_event):
        self._daemon = daemon
        self._at_event = at_event
        self.has_killed = False

    def __call__(self, event):
        if event == self._at_event:
            self._daemon.signal(signal.SIGKILL)
            self.has_killed = True


@pytest.mark.parametrize("round_number", range(ROUNDS))
async def test_nothing_acknowledged_is_lost_or_doubled(tmp_path, round_number):
    """After a SIGKILL at any moment, what was acknowledged is there once, and a retry settles the rest once.

    Every other daemon has workers: it is the ledger's process that is killed, and they go with it.
    """
    rng = random.Random(round_number)
    loads = []
    with Daemon(tmp_path, options=["--log-level", "error", "--workers", str(round_number % 2 * 2)]) as daemon:
        for life in range(KILLS):
            killer = Killer(daemon, rng.randrange(1, EVENTS_MAX))
            load = Load(seed=round_number * KILLS + life, on_event=killer)
            loads.append(load)
            await load.run(daemon.address)
            assert killer.has_killed
            assert -signal.SIGKILL == daemon.wait()
            daemon.start()
            async with meterd.AsyncClient(daemon.address) as client:
                await audit(client, *loads)
                await load.settle(client)
                await audit(client, *loads)
        assert 0 == daemon.stop()

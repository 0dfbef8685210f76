"""What the processes of a daemon have in common: signals, the garbage collector, and leaving in the right order."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from meterd_server.ledger import AnyLedger
    from meterd_server.rpc.server import Server

log = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_LEAVE_SECONDS = 0.1


def clock_us() -> int:
    """Microseconds since the epoch: the one clock that money sees."""
    return time.time_ns() // 1000


async def take_down(server: Server, ledger: AnyLedger, grace_seconds: float) -> None:
    """Take no new calls and end when those under way are answered, or after `grace_seconds`."""
    try:
        await server.leave()
        await ledger.stop()
        # A moment in which callers are told UNAVAILABLE and turn away: gRPC drops what arrives while it stops, without a word.
        await asyncio.sleep(_LEAVE_SECONDS)
    finally:
        await server.stop(grace_seconds)


def collect_garbage_rarely() -> None:
    """Keep the collector from walking through every account in memory, time and again, in the midst of calls.

    Hardly anything here is in a cycle, and what is, is young. With Python's own thresholds one call in a hundred took three times
    as long as the others. A batch of 1,000 makes some 10,000 objects that are gone when it is answered: the collector is not to
    walk through those either, which took up to a fourth of a batch's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 1_000)


class Background:
    """Work that nobody waits for: kept alive until it is done, as asyncio itself does not."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, work: Coroutine[None, None, None]) -> None:
        """Run it beside everything else."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def stop_on_signals() -> asyncio.Event:
    """An event that the first SIGINT or SIGTERM sets; the second one exits."""
    stopping = asyncio.Event()

    def receive(number: signal.Signals) -> None:
        if stopping.is_set():
            log.warning("stopping at once")
            os._exit(128 + number)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, receive, number)
    return stopping

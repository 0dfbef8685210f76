"""How the thread with which gRPC waits for the network shares a processor with the event loop.

It reads what arrives and tells the event loop of each piece. As soon as a piece is there, the system has that thread interrupt
whatever runs, so that with many calls under way a processor goes back and forth between the two several times a call, which is a
fifth of what a call takes. Under SCHED_BATCH a thread interrupts nobody: it comes when the event loop has nothing more to do, and
brings all that has arrived.

But it does not interrupt other programs either: beside one that never rests, a caller alone waits for 4 ms instead of 0.7. So this
is for as long as many calls are under way, whose answers wait for each other anyway.
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MANY_CALLS_MIN = 8
"""From how many calls under way at once on gRPC's thread does not interrupt."""

LOOK_SECONDS = 0.05
"""How long it stays so after there were that many."""

_THREAD_NAME = "_poll_wrapper"
"""What gRPC calls that thread, among other things."""


def interrupt_others(interrupts: bool) -> None:
    """Have gRPC's thread interrupt what runs when something arrives, as by default, or not. Does nothing where that cannot be."""
    if not hasattr(os, "SCHED_BATCH"):
        return
    old, new = (os.SCHED_BATCH, os.SCHED_OTHER) if interrupts else (os.SCHED_OTHER, os.SCHED_BATCH)
    for thread in threading.enumerate():
        if _THREAD_NAME in thread.name and thread.native_id:
            with suppress(OSError):  # it has ended since, or a sandbox does not have it
                # Where somebody has started the daemon under another policy, they know better.
                if os.sched_getscheduler(thread.native_id) == old:
                    os.sched_setscheduler(thread.native_id, new, os.sched_param(0))


class Poller:
    """Counts the calls of one process, and tells `set_interrupts` when gRPC's thread is to interrupt others and when not."""

    def __init__(self, set_interrupts: Callable[[bool], None] = interrupt_others) -> None:
        self._set_interrupts = set_interrupts
        self._interrupts = True
        self._under_way = self._most = 0

    def begin(self) -> None:
        """Count a call that has begun."""
        self._under_way += 1
        if self._under_way > self._most:
            self._most = self._under_way
            if self._interrupts and self._most >= MANY_CALLS_MIN:
                self._interrupts = False
                self._set_interrupts(False)
                asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def end(self) -> None:
        """Count it no more."""
        self._under_way -= 1

    def _look(self) -> None:
        most, self._most = self._most, self._under_way
        if most >= MANY_CALLS_MIN:
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
        else:
            self._interrupts = True
            self._set_interrupts(True)

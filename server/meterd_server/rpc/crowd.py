"""Whether many calls wait that the event loop has not seen.

grpc.aio hands over one call at a time. Where calls come at nearly the rate at which they can be served one by one, each finds
itself alone, and is committed by itself at three times what it takes in company, however many wait inside gRPC: a queue that came
of a short stall stays. So a process that has had hardly any rest asks gRPC how many there are, and whoever can serve many at once
is told.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS_MIN = 8
"""From how many calls under way on there is a crowd."""

BUSY_SHARE_MIN = 0.85
"""How much of a processor a process uses that has hardly any rest: a caller alone leaves it a third."""

LOOK_SECONDS = 0.025
"""How often it is looked at most: to count calls takes as long as half a call does."""

CALLS_A_LOOK = 16
"""How many calls there have to be between two looks."""


class Crowd:
    """Has `count_calls` count one server's calls while the process has no rest, and calls `on_crowd` as long as they are many."""

    def __init__(
        self,
        count_calls: Callable[[], int],
        on_crowd: Callable[[], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        processor_clock: Callable[[], float] = time.process_time,
    ) -> None:
        self._count_calls = count_calls
        self._on_crowd = on_crowd
        self._clock = clock
        self._processor_clock = processor_clock
        self._calls = 0
        self._looked_seconds = clock()
        self._used_seconds = processor_clock()

    def note_call(self) -> None:
        """Count a call that begins."""
        self._calls += 1
        if self._calls < CALLS_A_LOOK:
            return
        now = self._clock()
        passed_seconds = now - self._looked_seconds
        if passed_seconds < LOOK_SECONDS:
            return
        used = self._processor_clock()
        is_busy = used - self._used_seconds >= BUSY_SHARE_MIN * passed_seconds
        self._calls, self._looked_seconds, self._used_seconds = 0, now, used
        if is_busy and self._count_calls() >= CALLS_MIN:
            self._on_crowd()

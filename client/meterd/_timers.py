"""Timers of the blocking client: what has to happen while its callers' threads are busy with work of their own."""

import heapq
import os
import threading
import time
from collections.abc import Callable
from typing import Protocol

_CANCELLED_MAX = 100
"""How many timers that were cancelled may lie around, if they are not the most."""


class Cancellable(Protocol):
    """What can be called off; asyncio's timers can, too."""

    def cancel(self) -> None:
        """Call it off; does nothing when it was done already."""


Later = Callable[[float, Callable[[], object]], Cancellable]
"""Calls something in so many seconds, unless it is cancelled before."""


class _Timer:
    __slots__ = ("callback", "due", "timers")

    def __init__(self, due: float, callback: Callable[[], object], timers: "Timers") -> None:
        self.due = due
        self.callback: Callable[[], object] | None = callback
        self.timers = timers

    def __lt__(self, other: "_Timer") -> bool:
        return self.due < other.due

    def cancel(self) -> None:
        if self.callback is not None:
            self.callback = None
            self.timers.tidy_up()


class Timers:
    """One thread that waits for all timers, started by the first; each callback runs in a short-lived thread of its own.

    The threads are daemons: they keep no interpreter from its end.
    """

    def __init__(self) -> None:
        self._start_anew()

    def _start_anew(self) -> None:
        self._process_id = os.getpid()
        self._changed = threading.Condition()
        self._heap: list[_Timer] = []
        self._cancelled = 0
        self._thread: threading.Thread | None = None
        self._closed = False

    def later(self, seconds: float, callback: Callable[[], object]) -> Cancellable:
        """Call `callback` in so many seconds, in another thread; after `close` never."""
        if self._process_id != os.getpid():
            self._start_anew()  # the thread, and whoever may have held the lock, are those of another process
        timer = _Timer(time.monotonic() + seconds, callback, self)
        with self._changed:
            if self._closed:
                return timer
            heapq.heappush(self._heap, timer)
            if self._thread is None:
                self._thread = threading.Thread(target=self._wait, name="meterd timers", daemon=True)
                self._thread.start()
            elif self._heap[0] is timer:
                self._changed.notify()
        return timer

    def tidy_up(self) -> None:
        """Forget the timers that were cancelled once they are the most: a hold is over long before its timer is due."""
        if self._process_id != os.getpid():
            return
        with self._changed:
            self._cancelled += 1
            if self._cancelled > max(_CANCELLED_MAX, len(self._heap) // 2):
                self._heap = [timer for timer in self._heap if timer.callback is not None]
                heapq.heapify(self._heap)
                self._cancelled = 0

    def close(self) -> None:
        """Forget all timers, and let the thread end."""
        if self._process_id == os.getpid():
            with self._changed:
                self._closed = True
                self._heap = []
                self._changed.notify()

    def _wait(self) -> None:
        changed = self._changed
        with changed:
            while not self._closed:
                seconds = self._heap[0].due - time.monotonic() if self._heap else None
                if seconds is None or seconds > 0:
                    changed.wait(None if seconds is None else min(seconds, threading.TIMEOUT_MAX))
                    continue
                callback = heapq.heappop(self._heap).callback
                if callback is not None:
                    threading.Thread(target=callback, name="meterd timer", daemon=True).start()

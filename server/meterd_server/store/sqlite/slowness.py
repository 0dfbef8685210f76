"""Whether to leave the event loop's own thread alone for a while, because what was done there took too long."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PAUSE_SECONDS_MAX = 0.5

_PAUSE_TIMES = 4
"""How many times as long as the hold-up the first pause is."""

_SOON_TIMES = 2
"""What is held up again before so many times the last pause are over is held up time and again."""


class Slowness:
    """Learns from each step how long to pause. `seconds_max` is how long a step may take, `clock` in seconds.

    A machine that is busy elsewhere holds up one commit in a thousand, a slow disk every one: the first pause is short, and each is
    twice as long as the last when the next hold-up comes soon after it.
    """

    def __init__(self, seconds_max: float, clock: Callable[[], float]) -> None:
        self._seconds_max = seconds_max
        self.clock = clock
        self._pause_seconds = 0.0
        self._until_seconds = 0.0

    def lasts(self) -> bool:
        """Whether it is time to pause."""
        return self.clock() < self._until_seconds

    def note(self, began_seconds: float) -> None:
        """Be told, at its end, of a step that began then, by `clock`."""
        ended_seconds = self.clock()
        took_seconds = ended_seconds - began_seconds
        if took_seconds <= self._seconds_max:
            return
        is_again = began_seconds < self._until_seconds + _SOON_TIMES * self._pause_seconds
        pause_seconds = max(_PAUSE_TIMES * took_seconds, 2 * self._pause_seconds if is_again else 0.0)
        self._pause_seconds = min(pause_seconds, PAUSE_SECONDS_MAX)
        self._until_seconds = ended_seconds + self._pause_seconds

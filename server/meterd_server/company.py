"""What those who were served last let one expect of the next: whether callers come together, and whether readers are among them."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

COMPANY_CALLERS_MIN = 8
"""From how many callers in a batch on it pays to wait for more."""

BUSY_SECONDS = 0.05
"""How long after a batch that had company a lane expects more company; later than that, a caller is alone again."""

PROBE_SECONDS = 0.2
"""How often a lane that sees a few callers at once waits a window to learn whether there are many."""

GATHER_STEP_SECONDS = 0.001
"""How long nothing may arrive before a busy lane stops waiting; the finest that the event loop's timers can tell."""

_BATCHES_REMEMBERED = 4
"""From how many batches it follows how many callers there are: the largest of them counts."""

READERS_SECONDS = 1.0
"""How long after a reader who waited for a commit others are expected."""

HELD_UP_SECONDS = 0.0003
"""Who reads so soon after a commit came while it held the event loop up: to be answered and to ask again takes twice as long."""


class Company:
    """Whether callers come together: what those who were served last let one expect of the next."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.until_seconds = 0.0
        """How long company is expected, by the event loop's clock."""
        self._probe_after_seconds = 0.0
        self._last_callers: deque[int] = deque(maxlen=_BATCHES_REMEMBERED)
        self._wait_for_all_after_seconds = 0.0

    def callers_awaited(self) -> float:
        """How many callers to wait for: as many as came together lately; now and then however many come."""
        now = self._loop.time()
        if now >= self._wait_for_all_after_seconds:
            self._wait_for_all_after_seconds = now + PROBE_SECONDS
            return math.inf
        return max(self._last_callers)  # whoever expects company has learned of some

    def learn_from(self, callers: int, *, others_wait: bool) -> None:
        """Decide what to expect, from how many were served together and whether there are others behind them or before."""
        now = self._loop.time()
        self._last_callers.append(callers)
        if callers >= COMPANY_CALLERS_MIN:
            self.until_seconds = now + BUSY_SECONDS
        elif others_wait and now >= self._probe_after_seconds:
            # There may be many who come one by one, held up by each other: wait once and see.
            self.until_seconds = max(self.until_seconds, now + GATHER_STEP_SECONDS)
            self._probe_after_seconds = now + PROBE_SECONDS


class Readers:
    """Whether somebody reads beside the commits, and would wait for one that holds the event loop up.

    A sync takes a fifth of a millisecond, and now and then ten. A caller who reads and writes by turns waits for nobody but itself.
    Where no commit has ever held the event loop up, nobody is expected.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until_seconds = 0.0
        self._held_up_until_seconds: float | None = None
        """None while no commit has ever held the event loop up."""
        self._is_beside = False

    @property
    def are_expected(self) -> bool:
        """Whether somebody waited a short while ago, or would have."""
        return self._clock() < self._until_seconds

    def note(self) -> None:
        """Somebody reads."""
        if self._held_up_until_seconds is None:
            return
        now = self._clock()
        if self._is_beside or now < self._held_up_until_seconds:
            self._until_seconds = now + READERS_SECONDS

    def were_held_up(self) -> None:
        """A commit has held the event loop up: whoever reads right now has waited for it."""
        self._held_up_until_seconds = self._clock() + HELD_UP_SECONDS

    def are_beside(self, is_beside: bool) -> None:
        """A commit that lets the event loop go on has begun, or ended."""
        self._is_beside = is_beside

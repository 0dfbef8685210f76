"""What those who were served last let one expect of the next."""

from __future__ import annotations

import asyncio

COMPANY_CALLERS_MIN = 8
"""From how many callers in a batch on it pays to wait for more."""

BUSY_SECONDS = 0.05
"""How long after a batch that had company a lane expects more company; later than that, a caller is alone again."""

PROBE_SECONDS = 0.2
"""How often a lane that sees a few callers at once waits a window to learn whether there are many."""

GATHER_STEP_SECONDS = 0.001
"""How long nothing may arrive before a busy lane stops waiting; the finest that the event loop's timers can tell."""


class Company:
    """Whether callers come together: what those who were served last let one expect of the next."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.until_seconds = 0.0
        """How long company is expected, by the event loop's clock."""
        self._probe_after_seconds = 0.0

    def expect(self) -> None:
        """Expect company for a while."""
        self.until_seconds = self._loop.time() + BUSY_SECONDS

    def learn_from(self, callers: int, *, others_wait: bool) -> None:
        """Decide what to expect, from how many were served together and whether there are others behind them or before."""
        now = self._loop.time()
        if callers >= COMPANY_CALLERS_MIN:
            self.expect()
        elif others_wait and now >= self._probe_after_seconds:
            # There may be many who come one by one, held up by each other: wait once and see.
            self.until_seconds = max(self.until_seconds, now + GATHER_STEP_SECONDS)
            self._probe_after_seconds = now + PROBE_SECONDS

"""What ends by itself: reservations and grants whose time is over, ended by entries like any other change.

Nothing depends on when that is done, or by whom: until the entry is made a reservation is open, and the rules make it once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from meterd_server.errors import Overloaded, StoreUnavailable
from meterd_server.model import Applied, Expire, Lapse, Rejection

if TYPE_CHECKING:
    from collections.abc import Callable

    from meterd_server.ledger import Ledger
    from meterd_server.model import Command
    from meterd_server.store import Store

log = logging.getLogger(__name__)

BATCH_MAX = 16
"""How much is ended in one piece: it takes hardly longer than a call that comes meanwhile would have taken anyway."""

INTERVAL_SECONDS = 0.5
"""How often it is looked for what is due."""

AHEAD_MAX = 512
"""How much of what is due is looked up at once: an index is gone through past all that has ended of late, each time anew."""

_LEASE_SECONDS = 5.0
"""How long the lease is asked for; it is asked for again after half of that."""

_AGAIN_SECONDS = 60.0
"""When an expiry that was refused is tried again: meanwhile there may be room for it."""

_PAUSE_SHARE = 3
"""How much longer than a batch took the pause after it is, while more is due: the rest of the time is the callers'."""


class Swept(NamedTuple):
    """What one step of a `Sweeper` came to."""

    reservations: int = 0
    """How many expired."""
    lapsed_users: int = 0
    """Of how many users grants lapsed."""
    is_more: bool = False
    """Whether more is due already."""


class Sweeper:
    """Ends what is due on a store, through its ledger, while this daemon has the store's lease. `clock_us` says what is due."""

    def __init__(self, store: Store, ledger: Ledger, *, clock_us: Callable[[], int], holder: str) -> None:
        self._store = store
        self._ledger = ledger
        self._clock_us = clock_us
        self._holder = holder
        self._lease_again = 0.0
        # What was due when it was looked up; what was ended or extended since, the rules leave as it is.
        self._ahead: deque[Command] = deque()
        # What was refused and is still due, with when to try again, by the clock of `time.monotonic`.
        self._refused: dict[Command, float] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Sweep from now on, until `stop`."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="sweeper")

    async def stop(self) -> None:
        """Sweep no more; what is under way is carried through, or not begun."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def sweep(self) -> Swept:
        """End what is due, at most `BATCH_MAX`. Raises what the store and the ledger raise."""
        if not await self._has_lease():
            self._ahead.clear()
            return Swept()
        if not self._ahead:
            self._ahead.extend(await self._due())
        due = [self._ahead.popleft() for _ in range(min(BATCH_MAX, len(self._ahead)))]
        if not due:
            return Swept()
        outcomes = await self._ledger.submit_all(due)
        for command, outcome in zip(due, outcomes, strict=True):
            if isinstance(outcome, Rejection):
                self._note_refused(command, outcome)
        return Swept(
            sum(
                isinstance(command, Expire) and isinstance(outcome, Applied)
                for command, outcome in zip(due, outcomes, strict=True)
            ),
            sum(isinstance(command, Lapse) for command in due),
            len(due) == BATCH_MAX,
        )

    async def _has_lease(self) -> bool:
        """Whether it is for this daemon to end what is due, for the next half of a lease at least."""
        now = time.monotonic()
        if now < self._lease_again:
            return True
        if not await self._store.lease(self._holder, _LEASE_SECONDS):
            return False
        self._lease_again = now + _LEASE_SECONDS / 2
        return True

    async def _due(self) -> list[Command]:
        """What is due, at most `AHEAD_MAX`, past what was refused a short while ago: that holds nobody else up."""
        limit = AHEAD_MAX + len(self._refused)
        due = await self._store.due(self._clock_us(), limit)
        if len(due) < limit:
            self._refused = {command: again for command, again in self._refused.items() if command in due}
        now = time.monotonic()
        return [command for command in due if self._refused.get(command, now) <= now][:AHEAD_MAX]

    def _note_refused(self, command: Command, outcome: Rejection) -> None:
        if command not in self._refused and isinstance(command, Expire):
            log.warning(
                "the reservation %r of user %r cannot expire yet: %s",
                command.reservation_id,
                command.user_id,
                outcome.message,
            )
        self._refused[command] = time.monotonic() + _AGAIN_SECONDS

    async def _run(self) -> None:
        reservations = lapsed_users = 0
        while True:
            started = time.monotonic()
            swept = Swept()
            try:
                swept = await self.sweep()
            except (StoreUnavailable, Overloaded) as error:
                log.debug("what is due has to wait: %r", error)  # the ledger says what is wrong
                if isinstance(error, StoreUnavailable):
                    # Where nobody calls, it is the sweeper that learns first that the store has failed.
                    self._ledger.look_after(error)
            except Exception:
                log.exception("unexpected error while ending what is due")
            reservations += swept.reservations
            lapsed_users += swept.lapsed_users
            if swept.is_more:
                await asyncio.sleep(_PAUSE_SHARE * (time.monotonic() - started))
                continue
            if reservations or lapsed_users:
                log.info("%d reservations expired, grants of %d users lapsed", reservations, lapsed_users)
                reservations = lapsed_users = 0
            await asyncio.sleep(INTERVAL_SECONDS)

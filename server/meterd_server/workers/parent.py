"""The ledger's process and its workers: starting them, keeping their number up, taking them down."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from meterd_server.addresses import reserve
from meterd_server.errors import StartupError
from meterd_server.workers.child import Child
from meterd_server.workers.link import ToWorker

if TYPE_CHECKING:
    from meterd_server.addresses import Reserved
    from meterd_server.config import Settings
    from meterd_server.ledger import Ledger
    from meterd_server.prices import CardStore

log = logging.getLogger(__name__)

_START_SECONDS = 60
"""How long a worker may take until it answers, on a machine that is busy with other things."""

_END_SECONDS = 5
"""How long a worker may take to end beyond the grace that calls have."""

_PAUSES_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Before a worker is started again, each time that it did not live for `_STEADY_SECONDS`; then the last one."""

_STEADY_SECONDS = 10


class Workers:
    """`settings.workers` processes that answer calls on one address, for a ledger in this one."""

    def __init__(self, settings: Settings, ledger: Ledger, cards: CardStore) -> None:
        self._settings = settings
        self._ledger = ledger
        self._cards = cards
        self._serving = True
        self._drift: bool | None = None
        self._children: dict[int, Child] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._reserved: Reserved | None = None

    async def start(self) -> str:
        """Start every worker and wait until all of them answer; the address as it came to be. Raises `StartupError`."""
        if not self._settings.listen.startswith("unix:"):
            self._reserved = reserve(self._settings.listen)
            self._settings = self._settings.model_copy(update={"listen": self._reserved.address})
        numbers = range(1, self._settings.workers + 1)
        try:
            children = [await self._spawn(number) for number in numbers]
            await asyncio.gather(*[child.answers(_START_SECONDS) for child in children])
        except BaseException:
            await self._end(0)
            raise
        for number, child in self._children.items():
            log.info("worker %d is process %d", number, child.pid)
        self._keepers = [asyncio.create_task(self._keep(number), name=f"worker {number}") for number in numbers]
        return self._settings.listen

    def set_serving(self, serving: bool) -> None:
        """Tell health checks, in every worker."""
        self._serving = serving
        for child in self._children.values():
            child.send((ToWorker.HEALTH, serving))

    def set_drift(self, found: bool) -> None:
        """Tell health checks of drift, in every worker."""
        self._drift = found
        for child in self._children.values():
            child.send((ToWorker.DRIFT, found))

    async def stop(self) -> None:
        """Have every worker answer what it has taken, within the grace, and end."""
        for keeper in self._keepers:
            keeper.cancel()
        for child in self._children.values():
            child.send((ToWorker.LEAVE,))
        await self._end(self._settings.shutdown_grace_seconds + _END_SECONDS)

    async def _spawn(self, number: int) -> Child:
        child = self._children[number] = await Child.start(self._settings, self._ledger, self._cards)
        if not self._serving:
            child.send((ToWorker.HEALTH, False))
        if self._drift is not None:
            child.send((ToWorker.DRIFT, self._drift))
        return child

    async def _keep(self, number: int) -> None:
        """Start a worker again whenever it ends, however it ended."""
        pauses = iter(_PAUSES_SECONDS)
        started = time.monotonic()
        while True:
            code = await self._children[number].end()
            if time.monotonic() - started > _STEADY_SECONDS:
                pauses = iter(_PAUSES_SECONDS)
            pause = next(pauses, _PAUSES_SECONDS[-1])
            log.error("worker %d ended with code %d; starting another in %g s", number, code, pause)
            await asyncio.sleep(pause)
            started = time.monotonic()
            try:
                child = await self._spawn(number)
                await child.answers(_START_SECONDS)
            except (StartupError, OSError) as error:
                log.error("worker %d does not start: %s", number, error)  # noqa: TRY400 -- the trace says nothing more
            else:
                log.info("worker %d is process %d", number, child.pid)

    async def _end(self, grace_seconds: float) -> None:
        """Wait until every worker is gone, and let go of the address."""
        children = list(self._children.values())
        if children:
            _, late = await asyncio.wait([child.ended for child in children], timeout=grace_seconds)
            for child in children:
                if child.ended in late:
                    child.kill()
            for child in children:
                await child.end()
        if self._reserved:
            self._reserved.release()

"""The daemon: wires store, ledger and what answers calls together, and takes them down in the right order."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import uvloop

from meterd import new_request_id
from meterd_server import logs
from meterd_server.audit import DriftWatch
from meterd_server.expiry import Sweeper
from meterd_server.ledger import Ledger
from meterd_server.prices import Prices
from meterd_server.process import Background, clock_us, collect_garbage_rarely, stop_on_signals, take_down
from meterd_server.rpc.handlers import no_log
from meterd_server.rpc.server import Server
from meterd_server.rpc.validate import Sources
from meterd_server.store.engines import make_store, shown
from meterd_server.workers.parent import Workers

if TYPE_CHECKING:
    from collections.abc import Callable

    from meterd_server.config import Settings
    from meterd_server.rpc.handlers import LogCall
    from meterd_server.store import Store

log = logging.getLogger(__name__)


def run(settings: Settings, announce: Callable[[str], None]) -> int:
    """Serve until SIGTERM or SIGINT; 0 after an orderly stop.

    `announce` is called once with the address when calls are answered. Raises `StartupError` if it cannot start. A second
    signal while stopping ends the process at once with 128 + its number: as safe as a kill, which loses nothing.
    """
    call_log = logs.configure(settings.log_level, settings.log_format)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(settings, announce, call_log.note if call_log else no_log))
    finally:
        if call_log:
            call_log.flush()


class _Front(Protocol):
    """What answers calls: this process itself, or workers."""

    async def start(self) -> str:
        """Answer calls from now on; the address as it came to be. Raises `StartupError`."""

    def set_serving(self, serving: bool) -> None:
        """Tell health checks."""

    def set_drift(self, found: bool) -> None:
        """Tell health checks whether an account was found that does not follow from its entries."""

    async def stop(self) -> None:
        """Take no new calls and end when those under way are answered, or their grace is over."""


class _Alone:
    """Calls answered by the process that keeps the ledger."""

    def __init__(self, settings: Settings, ledger: Ledger, prices: Prices, log_call: LogCall) -> None:
        self._settings = settings
        self._ledger = ledger
        sources = Sources(new_request_id, prices)
        self._server = Server(ledger, sources, message_bytes_max=settings.max_message_bytes, log_call=log_call)
        self._background = Background()

    async def start(self) -> str:
        return await self._server.start(self._settings.listen)

    def set_serving(self, serving: bool) -> None:
        self._background.run(self._server.set_serving(serving))

    def set_drift(self, found: bool) -> None:
        self._background.run(self._server.set_drift(found))

    async def stop(self) -> None:
        await take_down(self._server, self._ledger, self._settings.shutdown_grace_seconds)


def _open_store(settings: Settings) -> Store:
    """The engine that --db names."""
    return make_store(
        settings.db,
        accounts_max=settings.max_accounts_in_memory,
        connections=settings.db_connections,
        nothing_else_to_do=bool(settings.workers),
    )


async def _serve(settings: Settings, announce: Callable[[str], None], log_call: LogCall) -> int:
    stopping = stop_on_signals()
    collect_garbage_rarely()
    # Stopped in the order of this from the end, whatever fails: gRPC may end a process whose event loop ends under a server.
    async with AsyncExitStack() as stops:
        store = _open_store(settings)
        await store.open()
        stops.push_async_callback(store.close)
        prices = Prices(store, clock_us=clock_us)
        await prices.load()
        if settings.prices:
            log.info("%d new rate cards from %s", await prices.load_file(Path(settings.prices)), settings.prices)
        if store.shared:
            stops.callback(asyncio.create_task(prices.follow()).cancel)
        ledger = Ledger(
            store,
            clock_us=clock_us,
            # Workers wait for company themselves.
            commit_window_seconds=0 if settings.workers else settings.commit_window_ms / 1000,
            queued_max=settings.max_queued_operations,
            on_health=lambda serving: front.set_serving(serving),  # noqa: PLW0108 -- it is made below
        )
        stops.push_async_callback(ledger.stop)
        front: _Front = (
            Workers(settings, ledger, store) if settings.workers else _Alone(settings, ledger, prices, log_call)
        )
        sweeper = Sweeper(store, ledger, clock_us=clock_us, holder=new_request_id())
        address = await front.start()
        stops.push_async_callback(front.stop)
        if settings.drift_checks:
            front.set_drift(False)
            stops.callback(asyncio.create_task(DriftWatch(store, lambda: front.set_drift(True)).run()).cancel)
        sweeper.start()
        stops.push_async_callback(sweeper.stop)
        log.info("serving on %s, database %s", address, shown(settings.db))
        announce(address)
        await stopping.wait()
        log.info("stopping: waiting up to %g s for calls under way", settings.shutdown_grace_seconds)
    log.info("stopped")
    return 0

"""The daemon: wires store, ledger and server together, and takes them down in the right order."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from meterd import new_request_id
from meterd_server import logs
from meterd_server.errors import StartupError, StoreUnavailable
from meterd_server.ledger import Ledger
from meterd_server.prices import Prices
from meterd_server.pricing import CardError
from meterd_server.rate_files import RateFileError, load_cards
from meterd_server.rpc.handlers import no_log
from meterd_server.rpc.server import Server
from meterd_server.rpc.validate import Sources
from meterd_server.store.engines import make_store, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from meterd_server.config import Settings
    from meterd_server.rpc.handlers import LogCall
    from meterd_server.store import Store

log = logging.getLogger(__name__)

_LEAVE_SECONDS = 0.1

PRICES_SECONDS = 1.0
"""How often a daemon that is not alone looks for rate cards that others have added."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


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


def _open_store(settings: Settings) -> Store:
    """The engine that --db names."""
    return make_store(settings.db, accounts_max=settings.max_accounts_in_memory, connections=settings.db_connections)


async def _serve(settings: Settings, announce: Callable[[str], None], log_call: LogCall) -> int:
    stopping = _stop_on_signals()
    _collect_garbage_rarely()
    store = _open_store(settings)
    await store.open()
    tasks: set[asyncio.Task[None]] = set()
    following: asyncio.Task[None] | None = None
    try:
        prices = Prices(store, clock_us=_clock_us)
        await _load_prices(prices, settings.prices)
        if store.shared:
            following = asyncio.get_running_loop().create_task(_follow_prices(prices))
        ledger = Ledger(
            store,
            clock_us=_clock_us,
            commit_window_seconds=settings.commit_window_ms / 1000,
            queued_max=settings.max_queued_operations,
            on_health=lambda serving: _keep(tasks, server.set_serving(serving)),
        )
        sources = Sources(new_request_id, prices)
        server = Server(ledger, sources, message_bytes_max=settings.max_message_bytes, log_call=log_call)
        address = await server.start(settings.listen)
        log.info("serving on %s, database %s", address, shown(settings.db))
        announce(address)
        await stopping.wait()
        log.info("stopping: waiting up to %g s for calls under way", settings.shutdown_grace_seconds)
        await server.leave()
        await ledger.stop()
        # A moment in which callers are told UNAVAILABLE and turn away: gRPC drops what arrives while it stops, without a word.
        await asyncio.sleep(_LEAVE_SECONDS)
        await server.stop(settings.shutdown_grace_seconds)
    finally:
        if following:
            following.cancel()
        await store.close()
    log.info("stopped")
    return 0


def _clock_us() -> int:
    return time.time_ns() // 1000


async def _load_prices(prices: Prices, path: str) -> None:
    """Take in the cards that are kept, and those of the file of prices, if there is one. Raises `StartupError`."""
    await prices.load()
    if path:
        try:
            _, added = await prices.add(load_cards(Path(path)))
        except RateFileError as error:
            raise StartupError(str(error)) from error
        except CardError as error:
            raise StartupError(f"{path}: {error}") from error
        log.info("%d new rate cards from %s", added, path)


async def _follow_prices(prices: Prices) -> None:
    """Take in the cards that other daemons add. One that was added is in force everywhere after PRICES_SECONDS."""
    while True:
        await asyncio.sleep(PRICES_SECONDS)
        with suppress(StoreUnavailable):
            await prices.load()


def _collect_garbage_rarely() -> None:
    """Keep the collector from walking through every account in memory, time and again, in the midst of calls.

    Hardly anything here is in a cycle, and what is, is young. With Python's own thresholds one call in a hundred took three times
    as long as the others.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 1_000)


def _keep(tasks: set[asyncio.Task[None]], work: Coroutine[None, None, None]) -> None:
    """Run in the background; the set keeps the task alive, as asyncio itself does not."""
    task = asyncio.get_running_loop().create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


def _stop_on_signals() -> asyncio.Event:
    """An event that the first SIGINT or SIGTERM sets; the second one exits."""
    stopping = asyncio.Event()

    def receive(number: signal.Signals) -> None:
        if stopping.is_set():
            log.warning("stopping at once")
            os._exit(128 + number)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, receive, number)
    return stopping

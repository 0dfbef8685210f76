"""The daemon: wires store, ledger and server together, and takes them down in the right order."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from typing import TYPE_CHECKING

from meterd import new_request_id
from meterd_server import logs
from meterd_server.ledger import Ledger
from meterd_server.rpc.handlers import no_log
from meterd_server.rpc.server import Server
from meterd_server.store.engines import make_store, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from meterd_server.config import Settings
    from meterd_server.rpc.handlers import LogCall
    from meterd_server.store import Store

log = logging.getLogger(__name__)

_LEAVE_SECONDS = 0.1

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run(settings: Settings, announce: Callable[[str], None]) -> int:
    """Serve until SIGTERM or SIGINT; 0 after an orderly stop.

    `announce` is called once with the address when calls are answered. Raises `StartupError` if it cannot start. A second
    signal while stopping ends the process at once with 128 + its number: as safe as a kill, which loses nothing.
    """
    call_log = logs.configure(settings.log_level, settings.log_format)
    try:
        return asyncio.run(_serve(settings, announce, call_log.note if call_log else no_log))
    finally:
        if call_log:
            call_log.flush()


def _open_store(settings: Settings) -> Store:
    """The engine that --db names."""
    return make_store(settings.db, accounts_max=settings.max_accounts_in_memory, connections=settings.db_connections)


async def _serve(settings: Settings, announce: Callable[[str], None], log_call: LogCall) -> int:
    stopping = _stop_on_signals()
    store = _open_store(settings)
    await store.open()
    tasks: set[asyncio.Task[None]] = set()
    try:
        ledger = Ledger(
            store,
            clock_us=lambda: time.time_ns() // 1000,
            commit_window_seconds=settings.commit_window_ms / 1000,
            queued_max=settings.max_queued_operations,
            on_health=lambda serving: _keep(tasks, server.set_serving(serving)),
        )
        server = Server(ledger, new_request_id, message_bytes_max=settings.max_message_bytes, log_call=log_call)
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
        await store.close()
    log.info("stopped")
    return 0


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

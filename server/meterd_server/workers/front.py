"""A worker: the gRPC server of one process, with the ledger's process behind it. Started by `parent`, never by hand.

Its standard input is the way to the ledger's process. It ends when that process says so, and at once when that process is gone:
nobody would answer, and nobody must keep the port.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
from functools import partial
from typing import TYPE_CHECKING

import uvloop

from meterd import new_request_id
from meterd_server import logs
from meterd_server.config import Settings
from meterd_server.errors import StartupError
from meterd_server.prices import Prices
from meterd_server.process import Background, clock_us, collect_garbage_rarely, take_down
from meterd_server.rpc.handlers import no_log
from meterd_server.rpc.server import Server
from meterd_server.rpc.validate import Sources
from meterd_server.workers.link import BEAT_SECONDS, Link, ToLedger, ToWorker
from meterd_server.workers.remote import RemoteLedger

if TYPE_CHECKING:
    from meterd_server.logs import CallLog
    from meterd_server.workers.link import Frame

_PR_SET_PDEATHSIG = 1
_ORPHANED = 1


def main() -> None:
    """Answer calls until the ledger's process says otherwise."""
    # Python notices the end of its parent when its event loop comes round; the kernel does at once.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(socket.socket(fileno=0)))


async def _serve(way: socket.socket) -> None:
    worker = _Worker()
    await asyncio.get_running_loop().create_unix_connection(lambda: worker.link, sock=way)
    settings = await worker.settings
    call_log = logs.configure(settings.log_level, settings.log_format)
    try:
        await worker.serve(settings, call_log)
    finally:
        if call_log:
            call_log.flush()
        await worker.link.close()


class _Worker:
    """What the ledger's process says, and what comes of it here."""

    def __init__(self) -> None:
        self.link = Link(self._take, partial(os._exit, _ORPHANED))
        self.settings: asyncio.Future[Settings] = asyncio.get_running_loop().create_future()
        self._leaving = asyncio.Event()
        self._background = Background()
        self._server: Server | None = None
        self._ledger: RemoteLedger | None = None
        self._serving = True
        self._drift: bool | None = None

    async def serve(self, settings: Settings, call_log: CallLog | None) -> None:
        """Serve where `settings` say, and tell the ledger's process of it, until it says LEAVE."""
        self._ledger = ledger = RemoteLedger(
            self.link.send,
            unanswered_max=2 * settings.max_queued_operations,
            window_seconds=settings.commit_window_ms / 1000,
        )
        prices = Prices(ledger, clock_us=clock_us)
        await prices.load()
        following = asyncio.get_running_loop().create_task(prices.follow())
        server = Server(
            ledger,
            Sources(new_request_id, prices),
            message_bytes_max=settings.max_message_bytes,
            log_call=call_log.note if call_log else no_log,
            reuse_port=True,
        )
        try:
            await server.start(settings.listen)
        except StartupError as error:
            self.link.send((ToLedger.FAILED, str(error)))
            return
        self._server = server
        await server.set_serving(self._serving)
        if self._drift is not None:
            await server.set_drift(self._drift)
        collect_garbage_rarely()
        self.link.send((ToLedger.READY,))
        self._background.run(self._beat())
        await self._leaving.wait()
        following.cancel()
        await take_down(server, ledger, settings.shutdown_grace_seconds)

    async def _beat(self) -> None:
        """Say for as long as this process lives that its event loop comes round."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            self.link.send((ToLedger.BEAT,))

    def _take(self, frame: Frame) -> None:
        match frame:
            case (ToWorker.ANSWER, number, error, body) if self._ledger:
                self._ledger.answered(number, error, body)
            case (ToWorker.HEALTH, serving):
                self._serving = serving
                if self._server:
                    self._background.run(self._server.set_serving(serving))
            case (ToWorker.DRIFT, found):
                self._drift = found
                if self._server:
                    self._background.run(self._server.set_drift(found))
            case (ToWorker.LEAVE,):
                self._leaving.set()
            case (ToWorker.SETTINGS, values):
                self.settings.set_result(Settings.model_validate(values))
            case _:
                raise ValueError(f"no frame of the ledger's process: kind {frame[0]}")


if __name__ == "__main__":
    main()

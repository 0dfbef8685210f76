"""One worker, as the ledger's process sees it."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from meterd_server.errors import StartupError
from meterd_server.process import STOP_SIGNALS
from meterd_server.workers.ledger_end import LedgerEnd
from meterd_server.workers.link import BEAT_SECONDS, Link, ToLedger, ToWorker

if TYPE_CHECKING:
    from meterd_server.config import Settings
    from meterd_server.ledger import Ledger
    from meterd_server.prices import CardStore
    from meterd_server.workers.link import Frame

log = logging.getLogger(__name__)

_COMMAND = (sys.executable, "-P", "-m", "meterd_server.workers.front")

_END_SECONDS = 2
"""How long a worker that has closed its way to us may take to be gone."""

_SILENT_BEATS_MAX = 15
"""How often a worker that serves may miss to say anything: more than the largest batches hold it up for, and still hung."""


class Child:
    """A worker's process, and the way to it. `ended` is done when it is gone, and holds its exit code."""

    def __init__(self, process: subprocess.Popen[bytes], ledger: Ledger, cards: CardStore) -> None:
        loop = asyncio.get_running_loop()
        self._process = process
        self._ready: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[int] = loop.create_future()
        self._link = Link(self._take, self._gone)
        self._ledger_end = LedgerEnd(ledger, cards, self._link.send)
        self._ending: asyncio.Task[None] | None = None
        self._silent_beats = 0
        self._watching: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, settings: Settings, ledger: Ledger, cards: CardStore) -> Child:
        """Start a worker with its settings. Raises `OSError`."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                child = cls(_spawn(theirs), ledger, cards)
            except OSError:
                ours.close()
                raise
        await asyncio.get_running_loop().create_unix_connection(lambda: child._link, sock=ours)
        child.send((ToWorker.SETTINGS, settings.model_dump()))
        return child

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send(self, frame: Frame) -> None:
        """Send a frame, unless the worker is gone."""
        self._link.send(frame)

    async def answers(self, within_seconds: float) -> None:
        """Wait until it answers calls. Raises `StartupError` if it cannot, or does not in time: then it is ended."""
        await asyncio.wait([self._ready], timeout=within_seconds)
        if not self._ready.done():
            self.kill()
            raise StartupError(f"a worker did not answer within {within_seconds:g} s")
        self._ready.result()

    async def end(self) -> int:
        """Wait until the process is gone; its exit code, -N when signal N ended it."""
        await asyncio.wait([self.ended])  # of which many may wait, and any be cancelled
        return self.ended.result()

    def kill(self) -> None:
        """End the worker at once."""
        self._process.kill()

    def _take(self, frame: Frame) -> None:
        self._silent_beats = 0
        match frame:
            case (ToLedger.BEAT,):
                pass
            case (ToLedger.READY,):
                self._ready.set_result(None)
                self._watching = asyncio.get_running_loop().create_task(self._watch())
            case (ToLedger.FAILED, why):
                self._ready.set_exception(StartupError(why))
            case _:
                self._ledger_end.take(frame)

    async def _watch(self) -> None:
        """End the worker when nothing is heard of it: its callers would wait, and others still be given to it.

        Counted in looks, not by the clock: where this process itself stood still, the worker is not to blame.
        """
        while self._silent_beats < _SILENT_BEATS_MAX:
            await asyncio.sleep(BEAT_SECONDS)
            self._silent_beats += 1
        log.error(
            "worker process %d is hung: nothing was heard of it %d times; ending it", self.pid, self._silent_beats
        )
        self.kill()

    def _gone(self) -> None:
        if self._watching:
            self._watching.cancel()
        self._ending = asyncio.get_running_loop().create_task(self._end())

    async def _end(self) -> None:
        """Wait for the process; one that has closed its way to us and lives on is of no use."""
        code = await asyncio.to_thread(_reap, self._process)
        if not self._ready.done():
            self._ready.set_exception(StartupError(f"a worker ended with code {code} before it could serve"))
        self._ready.exception()  # whether or not somebody has waited for it
        self.ended.set_result(code)


def _spawn(way: socket.socket) -> subprocess.Popen[bytes]:
    # Ctrl-C goes to every process of a terminal, and a service manager may send SIGTERM to all. What is blocked here stays so in
    # the worker, from its first moment on: it is for the ledger's process to say when it leaves.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        return subprocess.Popen(_COMMAND, stdin=way.fileno(), stdout=subprocess.DEVNULL)  # noqa: S603 -- this very program
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _reap(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()

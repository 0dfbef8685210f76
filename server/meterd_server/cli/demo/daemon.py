"""A real daemon in a process of its own, on a free port, for as long as the demo runs."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_START_SECONDS_MAX = 20
_STOP_SECONDS_MAX = 20
_READY = "meterd listening on "


class DemoError(Exception):
    """The demo did not go as it must; the text says what was seen."""


@dataclass
class Daemon:
    """A daemon that answers at `address`; `exit_code` is None until it has been stopped."""

    address: str
    start_seconds: float
    process_id: int
    exit_code: int | None = None


@asynccontextmanager
async def running_daemon(db: str, log: Path) -> AsyncIterator[Daemon]:
    """Start `meterd serve`, yield once it answers, and stop it with SIGTERM.

    It logs to the file `log`. Raises DemoError when it does not start; one that does not stop is killed.
    """
    process, daemon = await _start(db, log)
    try:
        yield daemon
    finally:
        daemon.exit_code = await _stop(process)


async def _start(db: str, log: Path) -> tuple[asyncio.subprocess.Process, Daemon]:
    started = time.monotonic()
    # An empty file and a clean environment: the demo is the same whatever this machine's daemon is told.
    settings = log.with_name("meterd.toml")
    settings.touch()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("METERD_")}
    command = (sys.executable, "-P", "-m", "meterd_server", "serve", "--listen", "127.0.0.1:0")
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *command,
            *("--db", db, "--config", str(settings)),
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            env=environment,
        )
    try:
        async with asyncio.timeout(_START_SECONDS_MAX):
            line = (await _stdout(process).readline()).decode().rstrip("\n")
    except BaseException as error:
        await _stop(process)
        if isinstance(error, TimeoutError):
            raise DemoError(f"the daemon said nothing for {_START_SECONDS_MAX} s") from None
        raise
    if not line.startswith(_READY):
        raise DemoError(f"the daemon did not start, exit code {await _stop(process)}")
    return process, Daemon(line.removeprefix(_READY), time.monotonic() - started, process.pid)


async def _stop(process: asyncio.subprocess.Process) -> int:
    _kill(process, signal.SIGTERM)
    try:
        async with asyncio.timeout(_STOP_SECONDS_MAX):
            return await process.wait()
    except TimeoutError:
        _kill(process, signal.SIGKILL)
        return await process.wait()


def _kill(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    # Not process.send_signal: when the process has just ended, that takes its exit code away from asyncio.
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _stdout(process: asyncio.subprocess.Process) -> asyncio.StreamReader:
    if process.stdout is None:  # it is a pipe; the type does not know
        raise DemoError("the daemon has no stdout")
    return process.stdout

"""Workers as their parent sees them: ones that do not start, do not answer, or do not end."""

import asyncio
import sys

import pytest

from meterd_server.config import Settings
from meterd_server.errors import StartupError
from meterd_server.workers import child, parent
from meterd_server.workers.link import ToLedger, encode
from meterd_server.workers.parent import Workers

LIVES = "import signal; signal.pause()"
"""A program that does nothing, and ends when it is killed."""

READY = f"import os; os.write(0, {encode((ToLedger.READY,))!r})"


@pytest.fixture
async def make_workers(monkeypatch):
    """Return a function that makes two workers of a program of one line; whatever becomes of them, none is left."""
    made = []

    def make(program):
        monkeypatch.setattr(child, "_COMMAND", (sys.executable, "-c", program))
        workers = Workers(Settings(listen="127.0.0.1:0", shutdown_grace_seconds=0, workers=2), None, None)
        made.append(workers)
        return workers

    yield make
    for workers in made:
        assert [True, True] == [each.ended.done() for each in workers._children.values()]


async def test_workers_that_end_at_once(make_workers):
    """Workers that end before they answer are a start that fails."""
    with pytest.raises(StartupError, match="a worker ended with code 3 before it could serve"):
        await make_workers("raise SystemExit(3)").start()


async def test_workers_that_do_not_answer(make_workers, monkeypatch):
    """Workers that do not answer in time are a start that fails, and they are ended."""
    monkeypatch.setattr(parent, "_START_SECONDS", 0.2)
    with pytest.raises(StartupError, match=r"a worker did not answer within 0\.2 s"):
        await make_workers(LIVES).start()


async def test_workers_that_do_not_leave(make_workers, monkeypatch):
    """Workers that do not end when they are told to are ended."""
    monkeypatch.setattr(parent, "_END_SECONDS", 0.2)
    workers = make_workers(f"{READY}; {LIVES}")
    await workers.start()
    await workers.stop()
    assert [-9, -9] == [each.ended.result() for each in workers._children.values()]


BEATS = f"import time\nwhile True: os.write(0, {encode((ToLedger.BEAT,))!r}); time.sleep(0.1)"


async def test_a_worker_that_is_hung(make_workers, monkeypatch, caplog):
    """A worker of which nothing is heard any more is ended, and another one started."""
    monkeypatch.setattr(child, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(child, "_SILENT_BEATS_MAX", 3)
    monkeypatch.setattr(parent, "_END_SECONDS", 0)
    workers = make_workers(f"{READY}; {LIVES}")
    await workers.start()
    async with asyncio.timeout(60):
        while not ("is hung" in caplog.text and "ended with code -9; starting another" in caplog.text):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await workers.stop()


async def test_a_worker_that_says_that_it_is_there(make_workers, monkeypatch):
    """Whatever is heard of a worker that nobody asks for anything, its silence begins anew."""
    monkeypatch.setattr(child, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(child, "_SILENT_BEATS_MAX", 10**6)
    monkeypatch.setattr(parent, "_END_SECONDS", 0)
    workers = make_workers(f"{READY}\n{BEATS}")
    await workers.start()
    async with asyncio.timeout(60):
        for each in workers._children.values():
            while not each._silent_beats:  # noqa: ASYNC110 -- nobody is told
                await asyncio.sleep(0.001)
            while each._silent_beats:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
    await workers.stop()


async def test_a_worker_that_hangs_up(make_workers, monkeypatch, caplog):
    """A worker that hangs up and lives on is ended, and another one started, after a longer pause each time."""
    monkeypatch.setattr(child, "_END_SECONDS", 0)
    monkeypatch.setattr(parent, "_END_SECONDS", 0)
    monkeypatch.setattr(parent, "_PAUSES_SECONDS", (0, 0.001, 0.002))
    workers = make_workers(f"{READY}; os.close(0); {LIVES}")

    def ends():
        return [text for record in caplog.records if (text := record.getMessage()).startswith("worker 1 ended")]

    await workers.start()
    async with asyncio.timeout(60):
        while len(ends()) < 4:  # noqa: ASYNC110 -- only the log tells
            await asyncio.sleep(0.01)
    await workers.stop()
    expected = [
        f"worker 1 ended with code -9; starting another in {pause} s" for pause in ("0", "0.001", "0.002", "0.002")
    ]
    assert expected == ends()[:4]

"""A RemoteLedger whose frames a test reads and answers."""

import asyncio

import pytest

from clocks import Clock
from meterd_server.workers.remote import RemoteLedger


class Script:
    """The ledger's process: keeps the frames, and answers when told to."""

    def __init__(self, **options):
        self.frames = []
        self.unanswered = []
        self.ledger = RemoteLedger(self.frames.append, **({"unanswered_max": 100, "window_seconds": 0} | options))

    async def turn(self):
        """Let the event loop turn, and return the frames that were sent since the last time."""
        for _ in range(5):
            await asyncio.sleep(0)
        frames, self.frames[:] = list(self.frames), []
        self.unanswered += frames
        return frames

    def answer(self, frame, body=None, *, error=None):
        """Answer a frame."""
        self.unanswered.remove(frame)
        self.ledger.answered(frame[1], error, body)


@pytest.fixture
async def script():
    """Return a scripted ledger with room for 100 operations."""
    return Script()


@pytest.fixture
def make_script():
    """Return what makes a scripted ledger with other options."""
    return Script


@pytest.fixture
async def clock():
    """Return the clock of the event loop, which stands."""
    loop = asyncio.get_running_loop()
    time, loop.time = loop.time, Clock(loop.time())
    yield loop.time
    loop.time = time

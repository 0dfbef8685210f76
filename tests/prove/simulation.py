"""A ledger in a world that follows from a seed: which of what is ready runs first, what time it is, and what the store does.

The event loop runs what is ready in an order of the dice, and when nothing is, it is the next timer's time at once. Nothing waits
for anything real, so that a day of mishaps takes a few milliseconds, and any run can be had again.
"""

import asyncio
import heapq
import random
import zlib

from meterd_server.errors import StoreUnavailable
from meterd_server.ledger import Ledger
from prove.histories import NOW_US, History, act, leaping_clock
from prove.plain_store import PlainStore

CLIENTS = 6
LIVES = 3
OPERATIONS = 6


class Hung(Exception):  # noqa: N818 -- what has happened
    """Nothing is ready, and nothing ever will be."""


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose order and clock are the dice's. It leans on two names inside asyncio's own: `_ready`, `_scheduled`."""

    def __init__(self, seed):
        super().__init__()
        self._dice = random.Random(seed)
        self._now_seconds = 0.0

    def time(self):
        """The time that it is here."""
        return self._now_seconds

    def _run_once(self):
        while self._scheduled and self._scheduled[0]._cancelled:
            heapq.heappop(self._scheduled)._scheduled = False
        if not self._ready:
            if not self._scheduled:
                raise Hung
            self._now_seconds = max(self._now_seconds, self._scheduled[0]._when)
        ready = list(self._ready)
        self._dice.shuffle(ready)
        self._ready.clear()
        self._ready.extend(ready)
        super()._run_once()


class Store(PlainStore):
    """A store in memory that is slow, and that fails: before a batch is written, after it, or when it is opened again."""

    shared = False

    def __init__(self, dice):
        super().__init__()
        self._dice = dice
        self.lanes = dice.choice((1, 1, 3))
        self._failing = dice.choice((0, 0.05, 0.2))
        self._at_once = dice.choice((0, 0.5, 0.95))
        self._closed = False
        self.is_well = False
        """Whether it has stopped to fail."""

    def lane_of(self, user_id):
        """One of the lanes."""
        return zlib.crc32(user_id.encode()) % self.lanes

    def peek(self, user_id):
        """What is committed, sometimes."""
        return None if self._closed or self._dice.random() < 0.3 else self._account(user_id)

    @property
    def needs_reopening(self):
        """Whether it has failed."""
        return self._closed

    async def account(self, user_id):
        """What is committed, after a while; meanwhile it may fail by itself."""
        await self._while()
        self._closed = self._closed or self._fate() != "well"
        self._must_be_open()
        return self._account(user_id)

    async def commit(self, commands, now_us):
        """Commit after a while, or fail."""
        self._must_be_open()
        await self._while()
        fate = self._fate()
        if fate == "before":
            self._fail()
        outcomes = await super().commit(commands, now_us)
        await self._while()
        if fate == "after":
            self._fail()
        return outcomes

    def commit_at_once(self, commands, now_us):
        """Commit now, or fail; sometimes not at once."""
        self._must_be_open()
        if self._dice.random() >= self._at_once:
            return None
        fate = self._fate()
        if fate == "before":
            self._fail()
        try:
            super().commit(commands, now_us).send(None)
        except StopIteration as done:
            outcomes = done.value
        if fate == "after":
            self._fail()
        return outcomes

    async def reopen(self):
        """Be there again after a while, or not yet."""
        await self._while()
        if self._fate() != "well":
            raise StoreUnavailable("not yet")
        self._closed = False

    def _fate(self):
        fails = not self.is_well and self._dice.random() < self._failing
        return self._dice.choice(("before", "after")) if fails else "well"

    def _fail(self):
        self._closed = True
        raise self._dice.choice((StoreUnavailable, RuntimeError, asyncio.CancelledError))("as the dice have it")

    def _must_be_open(self):
        if self._closed:
            raise StoreUnavailable("closed")

    async def _while(self):
        for _ in range(self._dice.randrange(3)):
            await asyncio.sleep(self._dice.choice((0, 0, 0.001, 0.02)))


async def _client(ledger, dice, history, name):
    """One client after the other, some of whom go away in the midst of it."""
    for life in range(LIVES):
        task = asyncio.ensure_future(act(ledger, dice, history, f"{name}-{life}", OPERATIONS))
        await asyncio.sleep(0)
        if dice.random() < 0.6:
            await asyncio.wait([task], timeout=dice.random() / 10)
            task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


def simulate(seed, make_store=Store):
    """Run a world to its end; what was asked and answered, and the store as it then is. Raises `Hung` if one waits for ever."""
    dice = random.Random(seed)
    history = History()

    async def world():
        store = make_store(dice)
        window = dice.choice((0, 0.001, 0.003))
        ledger = Ledger(
            store,
            clock_us=lambda: NOW_US,
            clock=leaping_clock(random.Random(dice.random())),
            queued_max=dice.choice((3, 30)),
            commit_window_seconds=window,
        )
        clients = [_client(ledger, random.Random(dice.random()), history, f"client-{n}") for n in range(CLIENTS)]
        await asyncio.gather(*clients)
        store.is_well = True
        await ledger.stop()
        await store.reopen()
        return store

    with asyncio.Runner(loop_factory=lambda: Loop(seed)) as runner:
        return history, runner.run(world())

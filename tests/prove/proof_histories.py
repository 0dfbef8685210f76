"""Sixteen clients at once on a ledger over SQLite: for each user there is an order that explains every answer."""

import asyncio
import random

from meterd_server.errors import StoreUnavailable
from meterd_server.ledger import Ledger
from meterd_server.store.sqlite import SqliteStore
from prove.histories import NOW_US, History, act, contradiction, leaping_clock
from prove.proofs import Round, proof

CLIENTS = 16
OPERATIONS = 12
FAILING = 0.15


class FailingStore(SqliteStore):
    """The SQLite store, some of whose commits fail, before or after the transaction was written."""

    def __init__(self, path, dice, failing):
        super().__init__(path)
        self._dice = dice
        self.failing = failing

    def _fate(self):
        return self._dice.choice(("before", "after")) if self._dice.random() < self.failing else "well"

    def commit_at_once(self, commands, now_us):
        """As ever, or not at once, or failing."""
        if self._dice.random() < 0.5:
            return None
        fate = self._fate()
        outcomes = super().commit_at_once(commands, now_us) if fate != "before" else None
        if fate == "well" or (fate == "after" and outcomes is None):
            return outcomes
        self._writer = None  # as the store does when it fails itself
        raise StoreUnavailable(f"failed {fate} the write")

    async def commit(self, commands, now_us):
        """As ever, or failing."""
        fate = self._fate()
        outcomes = await super().commit(commands, now_us) if fate != "before" else None
        if fate == "well":
            return outcomes
        await self._stop()
        raise StoreUnavailable(f"failed {fate} the write")


async def live_history(store, dice):
    """Let the clients do what they do, and return what came of it."""
    history = History()
    clock = leaping_clock(random.Random(dice.random()))
    ledger = Ledger(store, clock_us=lambda: NOW_US, clock=clock, queued_max=40, commit_window_seconds=0.001)
    clients = [
        act(ledger, random.Random(dice.random()), history, f"client-{number}", OPERATIONS) for number in range(CLIENTS)
    ]
    await asyncio.gather(*clients)
    await ledger.stop()
    return history


@proof("histories", f"{CLIENTS} clients at the same time, and commits that fail", rounds=(8, 50, 5_000))
async def histories(round_: Round) -> None:
    """Every answer is explained by some order of what was asked, and the ledger is what that order comes to."""
    dice = random.Random(round_.seed)
    failing = FAILING * (round_.seed % 2)
    store = FailingStore(round_.folder / "ledger.sqlite3", dice, failing)
    await store.open()
    try:
        with round_.fault("history with failing commits" if failing else "history"):
            history = await live_history(store, dice)
            store.failing = 0
            await store.reopen()
            assert (found := await contradiction(history, store)) == "", found
    finally:
        await store.close()

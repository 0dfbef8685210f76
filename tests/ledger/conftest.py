"""A ledger on a store that a test holds up, breaks and lets go of."""

import asyncio
from itertools import count

import pytest

from meterd_server.errors import StoreUnavailable
from meterd_server.ledger import Ledger
from meterd_server.model import Account
from meterd_server.rules import decide_batch


class ScriptedStore:
    """Keeps accounts in a dict. While held, commits do not end; with an error, they and reopening raise it.

    With `at_once` it commits on the event loop, when asked to.
    """

    lanes = 1

    def __init__(self):
        self.at_once = False
        self.batches = []
        self.batches_at_once = []
        self.closed = False
        self.error = None
        self.error_is_after_the_write = False
        self.reopened = 0
        self.accounts = {}
        self.recorded = {}
        self._may_end = asyncio.Event()
        self._may_end.set()

    @property
    def needs_reopening(self):
        """Whether it has failed."""
        return self.closed

    @property
    def held(self):
        """Whether commits may not end."""
        return not self._may_end.is_set()

    def hold(self):
        """Let no commit end until `let_go`."""
        self._may_end.clear()

    def let_go(self):
        """Let commits end."""
        self._may_end.set()

    def lane_of(self, user_id):
        """Put everybody into one lane."""
        return 0

    def commit_at_once(self, commands, now_us):
        """Decide the commands now, if it is one that can and is not held."""
        if not self.at_once or self.held:
            return None
        step = self.commit(commands, now_us)
        try:
            step.send(None)
        except StopIteration as done:
            self.batches_at_once.append(self.batches[-1])
            return done.value
        raise AssertionError("the store is held")

    async def commit(self, commands, now_us):
        """Decide the commands when let go."""
        assert not self.closed, "a failed store is reopened before it is used"
        self.batches.append([command.request_id for command in commands])
        await self._may_end.wait()
        if self.error and not self.error_is_after_the_write:
            self._fail()
        accounts = {command.user_id: Account(command.user_id) for command in commands} | self.accounts
        decision = decide_batch(accounts, self.recorded, commands, now_us)
        self.accounts |= decision.accounts
        self.recorded |= {(entry.user_id, entry.request_id): entry for entry in decision.entries}
        if self.error:
            self._fail()
        return decision.outcomes

    def _fail(self):
        self.closed = True
        raise self.error

    async def reopen(self):
        """Start over, unless there is still an error."""
        self.reopened += 1
        if self.error:
            raise StoreUnavailable("still broken")
        self.closed = False

    def peek(self, user_id):
        """Answer from memory while the store works."""
        return None if self.closed else self.accounts.get(user_id)

    async def account(self, user_id):
        """Answer while the store works."""
        if self.closed:
            raise StoreUnavailable("closed")
        return self.accounts.get(user_id, Account(user_id))

    async def entries(self, user_id, **_):
        """Answer, with nothing, while the store works."""
        await self.account(user_id)
        return []

    async def users(self, after, limit):
        """Answer, with nothing, while the store works."""
        await self.account("")
        return []


class Health:
    """Writes down what the ledger says about the store."""

    def __init__(self):
        self.told = []
        self.back = asyncio.Event()

    def __call__(self, serving):
        """Take in what `on_health` is told."""
        self.told.append(serving)
        if serving:
            self.back.set()


async def settle():
    """Let everything run that can run without time passing."""
    for _ in range(50):
        await asyncio.sleep(0)


def ticking():
    """Return a clock that goes on by a second at each look."""
    seconds = count(1_700_000_000)
    return lambda: next(seconds) * 10**6


@pytest.fixture(name="settle")
def _settle():
    """Let everything run that can run without time passing."""
    return settle


@pytest.fixture
async def stand_still():
    """Return a function after which the event loop's clock stands, an hour later: what waits for time waits for ever."""
    loop = asyncio.get_running_loop()
    time = loop.time

    def stand_still():
        later = time() + 3600
        loop.time = lambda: later

    yield stand_still
    loop.time = lambda: time() + 7200


@pytest.fixture
async def store():
    """Return a scripted store."""
    return ScriptedStore()


@pytest.fixture
async def health():
    """Return what writes down the ledger's health."""
    return Health()


@pytest.fixture
async def make_ledger(store, health):
    """Return a function that makes a ledger on the scripted store; all are stopped at the end."""
    ledgers = []

    def make(*, commit_window_seconds=0, **options):
        ledger = Ledger(
            store,
            clock_us=ticking(),
            commit_window_seconds=commit_window_seconds,
            on_health=health,
            **options,
        )
        ledgers.append(ledger)
        return ledger

    yield make
    store.let_go()
    for ledger in ledgers:
        await ledger.stop()


@pytest.fixture
async def ledger(make_ledger):
    """Return a ledger on the scripted store, which never waits for company."""
    return make_ledger()

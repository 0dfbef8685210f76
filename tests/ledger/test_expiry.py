"""The sweeper: what is due ends once, in small steps, whatever the store and the clock do meanwhile."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from meterd_server import expiry
from meterd_server.errors import StoreUnavailable
from meterd_server.expiry import BATCH_MAX, Sweeper, Swept
from meterd_server.ledger import Ledger
from meterd_server.model import (
    Capture,
    EntryKind,
    Extend,
    GrantTerms,
    RecordCost,
    RecordFunding,
    Release,
    Reserve,
    Reverse,
)
from store.engines import ENGINES

SECOND_US = 10**6


class Home:
    """A ledger on a real store with a clock that is set by hand."""

    def __init__(self, store):
        self.now_us = 1_800_000_000 * SECOND_US
        self.store = store
        self.ledger = Ledger(self.store, clock_us=lambda: self.now_us)
        self.sweeper = Sweeper(self.store, self.ledger, clock_us=lambda: self.now_us, holder="home")

    async def __aenter__(self):
        await self.store.open()
        return self

    async def __aexit__(self, *_):
        await self.sweeper.stop()
        await self.ledger.stop()
        await self.store.close()

    async def reserve(self, count=1, ttl_seconds=10, **more):
        """Make that many reservations of 1 microcent, a user each, which come due in the order of their numbers."""
        for number in range(count):
            await self.ledger.submit(RecordFunding(f"u{number}", "f", 1))
        await self.ledger.submit_all(
            [Reserve(f"u{number}", "r", 1, ttl_seconds * SECOND_US + number, **more) for number in range(count)]
        )

    async def newest(self, user_id="u0"):
        """The user's last entry."""
        options = {"after_version": 0, "before_version": 99, "newest_first": True, "limit": 1}
        return (await self.ledger.entries(user_id, **options))[0]


@pytest.fixture(params=[engine for engine in ENGINES if engine.survives_reopening], ids=lambda engine: engine.name)
def engine(request):
    """Each engine that keeps what it is given."""
    return request.param


@pytest.fixture
async def home(engine, tmp_path):
    """Open a ledger on a store of the engine."""
    async with Home(engine.make(tmp_path)) as home:
        yield home


async def until_swept(home, user_id="u0"):
    """Wait until the sweeper that runs has ended a user's reservation."""
    async with asyncio.timeout(20):
        while (await home.ledger.account(user_id)).more is not None:  # noqa: ASYNC110 -- a sweeper tells nobody
            await asyncio.sleep(0.001)


async def test_nothing_is_due(home):
    """Before its time a reservation is open, and nothing is written."""
    assert Swept() == await home.sweeper.sweep()
    await home.reserve()
    home.now_us += 9 * SECOND_US
    assert Swept() == await home.sweeper.sweep()
    assert EntryKind.RESERVATION == (await home.newest()).kind


async def test_what_is_due_ends_once(home):
    """A reservation whose time is over gets one entry, however often it is looked at."""
    await home.reserve()
    home.now_us += 11 * SECOND_US
    assert Swept(reservations=1) == await home.sweeper.sweep()
    assert (EntryKind.EXPIRY, 3) == (await home.newest())[2:0:-1]
    assert Swept() == await home.sweeper.sweep()
    assert 3 == (await home.newest()).version


@pytest.mark.parametrize(
    "change",
    [Release("u0", "c", "r"), Capture("u0", "c", "r", 1), Extend("u0", "c", "r", 100 * SECOND_US)],
    ids=lambda change: type(change).__name__,
)
async def test_what_was_ended_or_extended_is_not_due(home, change):
    """Neither a reservation that ended otherwise nor one that was extended expires."""
    await home.reserve()
    await home.ledger.submit(change)
    home.now_us += 11 * SECOND_US
    assert Swept() == await home.sweeper.sweep()


async def test_many_end_in_small_steps(home):
    """More than a step takes is told, and ends in the steps that follow."""
    await home.reserve(BATCH_MAX + 3)
    home.now_us += 11 * SECOND_US
    assert Swept(BATCH_MAX, is_more=True) == await home.sweeper.sweep()
    assert Swept(3) == await home.sweeper.sweep()
    assert Swept() == await home.sweeper.sweep()


async def test_the_store_is_asked_now_and_then(home, monkeypatch):
    """The lease is asked for again after half of it, and what is due once for many steps; what ends meanwhile is left as it is."""
    asked = []

    def counted(name, ask):
        monkeypatch.setattr(home.store, name, lambda *args: asked.append(name) or ask(*args))

    counted("lease", home.store.lease)
    counted("due", home.store.due)
    await home.reserve(3 * BATCH_MAX)
    home.now_us += 11 * SECOND_US
    assert Swept(BATCH_MAX, is_more=True) == await home.sweeper.sweep()
    await home.ledger.submit(Release(f"u{BATCH_MAX}", "c", "r"))
    assert Swept(BATCH_MAX - 1, is_more=True) == await home.sweeper.sweep()
    assert ["lease", "due"] == asked
    later = time.monotonic() + 3
    monkeypatch.setattr(expiry, "time", SimpleNamespace(monotonic=lambda: later))
    assert Swept(BATCH_MAX, is_more=True) == await home.sweeper.sweep()
    assert ["lease", "due", "lease"] == asked


async def test_grants_lapse(home):
    """A user's grants whose time is over lapse, each by an entry."""
    for number in range(2):
        terms = GrantTerms(home.now_us + (5 + number) * SECOND_US)
        await home.ledger.submit(RecordFunding("u0", f"g{number}", 7, grant=terms))
    home.now_us += 10 * SECOND_US
    assert Swept(lapsed_users=1) == await home.sweeper.sweep()
    assert (EntryKind.LAPSE, 4, 0) == ((last := await home.newest()).kind, last.version, last.balance_microcents)
    assert Swept() == await home.sweeper.sweep()


async def test_what_is_refused_holds_nobody_up(home, monkeypatch, caplog):
    """Expiries without room in their accounts are said once and left alone; others end; they end when there is room again."""
    full = 9 * 10**18
    await home.reserve(2 * BATCH_MAX, captures_floor=True, floor_microcents=1)
    await home.ledger.submit_all([RecordCost(f"u{number}", "c", full) for number in range(BATCH_MAX + 1)])
    home.now_us += 11 * SECOND_US
    assert Swept(is_more=True) == await home.sweeper.sweep()
    assert Swept(BATCH_MAX - 1, is_more=True) == await home.sweeper.sweep()
    assert Swept() == await home.sweeper.sweep()
    assert [f"the reservation 'r' of user 'u{number}' cannot expire yet" for number in range(BATCH_MAX + 1)] == sorted(
        (record.getMessage().partition(":")[0] for record in caplog.records), key=lambda said: (len(said), said)
    )
    await home.ledger.submit(Reverse("u0", "back", 3))
    assert Swept() == await home.sweeper.sweep()
    later = time.monotonic() + 61
    # The sweeper's clock only: with the whole process's, the event loop's timers would stand still.
    monkeypatch.setattr(expiry, "time", SimpleNamespace(monotonic=lambda: later))
    assert 1 == sum([(await home.sweeper.sweep()).reservations for _ in range(3)])
    assert (EntryKind.EXPIRY, BATCH_MAX + 1) == ((await home.newest()).kind, len(caplog.records))


@pytest.mark.parametrize("years", [-10, 10])
async def test_a_clock_that_jumps(home, years):
    """A clock set back makes nothing due that was not; one set forward ends what is due by it, in the order of entries."""
    await home.reserve()
    before = await home.newest()
    home.now_us += years * 365 * 86_400 * SECOND_US
    assert Swept(reservations=int(years > 0)) == await home.sweeper.sweep()
    home.now_us = before.record_time_us + 11 * SECOND_US
    assert Swept(reservations=int(years < 0)) == await home.sweeper.sweep()
    last = await home.newest()
    assert EntryKind.EXPIRY == last.kind
    assert last.record_time_us > before.record_time_us


async def test_a_restart_in_between(engine, tmp_path):
    """What was reserved before a restart expires after it."""
    async with Home(engine.make(tmp_path)) as home:
        await home.reserve(captures_floor=True, floor_microcents=1)
    async with Home(engine.make(tmp_path)) as home:
        home.now_us += 11 * SECOND_US
        assert Swept(reservations=1) == await home.sweeper.sweep()
        assert -1 == (await home.newest()).amount_microcents


async def test_without_the_lease_nothing_is_done(home, monkeypatch):
    """What another daemon has the lease for is left to it."""

    async def no_lease(_holder, _seconds):
        return False

    await home.reserve(BATCH_MAX + 1)
    home.now_us += 11 * SECOND_US
    assert Swept(BATCH_MAX, is_more=True) == await home.sweeper.sweep()
    monkeypatch.setattr(home.store, "lease", no_lease)
    later = time.monotonic() + 3
    monkeypatch.setattr(expiry, "time", SimpleNamespace(monotonic=lambda: later))
    assert Swept() == await home.sweeper.sweep()
    assert EntryKind.RESERVATION == (await home.newest(f"u{BATCH_MAX}")).kind


@pytest.mark.parametrize("error", [StoreUnavailable("disk"), RuntimeError("a fault")], ids=str)
async def test_it_survives_a_failing_store(home, monkeypatch, error, caplog):
    """A store that fails is asked again; what is not its doing is logged; then what is due ends, and the log says how much."""
    monkeypatch.setattr(expiry, "INTERVAL_SECONDS", 0)
    due, failures = home.store.due, iter([error, error])

    async def fails_twice(*args):
        if failing := next(failures, None):
            raise failing
        return await due(*args)

    monkeypatch.setattr(home.store, "due", fails_twice)
    caplog.set_level("INFO")
    await home.reserve()
    home.now_us += 11 * SECOND_US
    home.sweeper.start()
    await until_swept(home)
    await home.sweeper.stop()
    assert "unexpected error" in caplog.text or isinstance(error, StoreUnavailable)


@pytest.mark.parametrize("engine", ENGINES[:1], indirect=True, ids=["sqlite-file"])
async def test_it_learns_that_the_store_has_failed(home, monkeypatch):
    """Where nobody calls, a store that failed by itself is reopened all the same."""
    monkeypatch.setattr(expiry, "INTERVAL_SECONDS", 0)
    await home.reserve()
    await home.store._stop()
    assert home.store.needs_reopening
    home.now_us += 11 * SECOND_US
    home.sweeper.start()
    async with asyncio.timeout(20):
        while home.store.needs_reopening:  # noqa: ASYNC110 -- a store tells nobody
            await asyncio.sleep(0.001)
    await until_swept(home)


async def test_it_runs_and_stops(home, monkeypatch, caplog):
    """While it runs, what comes due ends, one step after the other; what it did is logged once; stopped, it does nothing."""
    monkeypatch.setattr(expiry, "INTERVAL_SECONDS", 0)
    caplog.set_level("INFO")
    await home.reserve(BATCH_MAX + 1)
    home.sweeper.start()
    home.now_us += 11 * SECOND_US
    for number in range(BATCH_MAX + 1):
        await until_swept(home, f"u{number}")
    async with asyncio.timeout(20):
        while f"{BATCH_MAX + 1} reservations expired" not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0)
    await home.sweeper.stop()
    await home.ledger.submit(Reserve("u0", "again", 1, SECOND_US))
    home.now_us += 2 * SECOND_US
    for _ in range(100):
        await asyncio.sleep(0)
    assert EntryKind.RESERVATION == (await home.newest()).kind

"""A whole ledger over the network: what `meterd verify` and `export` read of a running daemon."""

import pytest

import meterd
from audit.ledgers import EVERYTHING, NOW_US, SECOND_US, MemoryLedger
from meterd_server.audit import DifferenceError, Summary, audit_ledger
from meterd_server.cli.live import LiveLedger
from meterd_server.errors import StoreUnavailable
from rules.commands import cost

from .house import TIMEOUT_SECONDS


@pytest.fixture
async def live(house):
    """Return what can be read of a daemon in whose ledger everything has happened."""
    for seconds, command in EVERYTHING:
        await house.store.commit([command], NOW_US + seconds * SECOND_US)
    async with LiveLedger(house.address, TIMEOUT_SECONDS) as live:
        yield live


def told(entry):
    """Return an entry without what callers are not told."""
    more = entry.more
    if more and more.reservation:
        more = more._replace(reservation=more.reservation._replace(unsettled_microcents=0))
    return entry._replace(fingerprint=0, residue_picocents=0, more=more)


async def test_everything_is_told(live):
    """Accounts and entries come over the wire as they are kept, but for what is the store's own."""
    expected = MemoryLedger()
    accounts = await live.users(None, 10)
    assert [each._replace(record_time_us=0) for each in expected.accounts.values()] == accounts
    for user_id, log in expected.logs.items():
        entries = await live.entries(user_id, after_version=0, before_version=99, newest_first=False, limit=99)
        assert [told(entry) for entry in log] == entries


async def test_it_adds_up(house, live):
    """The audit of a live ledger finds nothing, also in pages that are smaller than the ledger."""
    assert Summary(2, 22, 4, 2, 1) == await audit_ledger(live, is_whole=False)
    await house.store.commit([cost(f"user {number}", number) for number in range(30)], NOW_US)
    await house.store.commit([cost("ada", 1) for _ in range(1500)], NOW_US)
    assert Summary(32, 1552, 4, 2, 1) == await audit_ledger(live, is_whole=False)


async def test_an_account_that_differs(house, live, monkeypatch):
    """What the daemon says of an account is compared with what it says of the entries."""
    look = house.store.account
    lapsed = {"lapsed_microcents": 1}

    async def damaged(user_id):
        account = await look(user_id)
        return account._replace(more=account.more._replace(**lapsed)) if account.more else account

    monkeypatch.setattr(house.store, "account", damaged)
    monkeypatch.setattr(house.store, "peek", lambda _: None)
    with pytest.raises(DifferenceError) as caught:
        await audit_ledger(live, is_whole=False)
    assert ("ada", 21) == caught.value.difference[:2]


async def test_a_page_in_the_middle(live):
    """Entries that were asked for with an end come with no more than that, and the next page goes on."""
    first = await live.entries("ada", after_version=0, before_version=22, newest_first=False, limit=8)
    rest = await live.entries("ada", after_version=8, before_version=15, newest_first=False, limit=99)
    assert [*range(1, 15)] == [entry.version for entry in (*first, *rest)]


async def test_a_daemon_that_fails(house, live, monkeypatch):
    """A failure is the client's error, after the retries that a read may have."""
    calls = []

    async def fail(*_, **__):
        calls.append("users")
        raise StoreUnavailable("gone")

    monkeypatch.setattr(house.store, "users", fail)
    with pytest.raises(meterd.UnavailableError):
        await audit_ledger(live, is_whole=False)
    assert len(calls) > 1


async def test_drift_is_asked_for(house, live):
    """Whether the daemon has found drift by itself; one that does not look has found none."""
    assert not await live.reports_drift()
    await house.server.set_drift(False)
    assert not await live.reports_drift()
    await house.server.set_drift(True)
    assert await live.reports_drift()

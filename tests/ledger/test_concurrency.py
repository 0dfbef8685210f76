"""Many callers at once on the real store: sums exact, versions without a gap, no entry lost or made twice."""

import asyncio
import sqlite3

import pytest

from meterd_server.errors import Overloaded, Reason, StoreUnavailable
from meterd_server.ledger import Ledger
from meterd_server.model import Applied
from meterd_server.store.sqlite import SqliteStore
from rules.commands import cost, funding, strict_cost

ALL = {"after_version": 0, "before_version": 2**62, "newest_first": False, "limit": 10**6}
NOW = 1_700_000_000_000_000


@pytest.fixture(params=["memory", "file"])
async def ledger(request, tmp_path):
    """Return a ledger as the daemon makes it, on a SQLite store."""
    store = SqliteStore(":memory:" if request.param == "memory" else tmp_path / "meterd.sqlite3")
    await store.open()
    ledger = Ledger(store, clock_us=lambda: NOW, commit_window_seconds=0.001)
    yield ledger
    await ledger.stop()
    await store.close()


async def assert_exact(ledger, user_id, amounts):
    """Check that a user has an entry for each amount, in versions without a gap, and the sum of them as balance."""
    entries = await ledger.entries(user_id, **ALL)
    assert sorted(amounts) == sorted(entry.amount_microcents for entry in entries)
    assert list(range(1, len(amounts) + 1)) == [entry.version for entry in entries]
    running = 0
    for entry in entries:
        running += entry.amount_microcents
        assert running == entry.balance_microcents
    account = await ledger.account(user_id)
    assert (len(amounts), sum(amounts)) == (account.version, account.balance_microcents)


async def write(ledger, user_id, amounts):
    """Record costs one after the other, as one caller would, and return the versions they got."""
    return [(await ledger.submit(cost(user_id, -amount))).entry.version for amount in amounts]


async def test_64_writers_on_one_user(ledger):
    """Callers who all spend one user's money at the same time never overwrite each other."""
    amounts = [[-(writer * 100 + number) for number in range(16)] for writer in range(64)]
    versions = await asyncio.gather(*[write(ledger, "alice", mine) for mine in amounts])
    assert set(range(1, 64 * 16 + 1)) == {version for mine in versions for version in mine}
    assert all(sorted(mine) == mine for mine in versions)
    await assert_exact(ledger, "alice", [amount for mine in amounts for amount in mine])


async def test_64_writers_on_many_users(ledger):
    """Callers with a user of their own share commits and do not mix."""
    amounts = {f"user-{writer}": [-(writer * 100 + number) for number in range(16)] for writer in range(64)}
    versions = await asyncio.gather(*[write(ledger, user_id, mine) for user_id, mine in amounts.items()])
    assert [list(range(1, 17))] * 64 == versions
    for user_id, mine in amounts.items():
        await assert_exact(ledger, user_id, mine)


async def test_a_thousand_mutations_at_once(ledger):
    """A thousand concurrent costs and payments of ten users come to the exact sums."""
    commands = [
        (cost if number % 3 else funding)(f"user-{number % 10}", number, f"r{number}") for number in range(1000)
    ]
    outcomes = await asyncio.gather(*map(ledger.submit, commands))
    assert [command.request_id for command in commands] == [outcome.entry.request_id for outcome in outcomes]
    for user in range(10):
        amounts = [-number if number % 3 else number for number in range(user, 1000, 10)]
        await assert_exact(ledger, f"user-{user}", amounts)


async def test_one_request_in_flight_fifty_times(ledger):
    """The same request sent fifty times at once is one entry; all get it, and 49 are told that it was there."""

    async def call():
        return await ledger.submit(strict_cost("alice", 7, "r1"))

    await ledger.submit(funding("alice", 10))
    outcomes = await asyncio.gather(*[call() for _ in range(50)])
    assert [False] + [True] * 49 == sorted(outcome.replayed for outcome in outcomes)
    assert 1 == len({outcome.entry for outcome in outcomes})
    await assert_exact(ledger, "alice", [10, -7])


async def test_one_request_again_and_again(ledger):
    """Retries that arrive in different batches get the one entry as well."""
    command = cost("alice", 7, "r1")

    async def caller():
        return [await ledger.submit(command) for _ in range(5)]

    outcomes = [outcome for mine in await asyncio.gather(*[caller() for _ in range(10)]) for outcome in mine]
    assert 1 == [outcome.replayed for outcome in outcomes].count(False)
    await assert_exact(ledger, "alice", [-7])


async def test_money_is_spent_once(ledger):
    """Of a hundred callers who want the last ten cents each, one at a time, exactly ten get one."""
    await ledger.submit(funding("alice", 10))
    outcomes = await asyncio.gather(*[ledger.submit(strict_cost("alice", 1)) for _ in range(100)])
    assert 10 == sum(isinstance(outcome, Applied) for outcome in outcomes)
    assert 90 == [getattr(outcome, "reason", None) for outcome in outcomes].count(Reason.INSUFFICIENT_FUNDS)
    await assert_exact(ledger, "alice", [10] + [-1] * 10)


async def test_impatient_callers(ledger):
    """Calls that are cancelled at random steps and sent again are recorded once each."""

    async def call(number):
        for patience in range(number % 7):
            answer = ledger.submit(cost("alice", number, f"r{number}"))
            for _ in range(patience):
                await asyncio.sleep(0)
            answer.cancel()
        return await ledger.submit(cost("alice", number, f"r{number}"))

    await asyncio.gather(*map(call, range(200)))
    await assert_exact(ledger, "alice", [-number for number in range(200)])


async def test_a_disk_that_fails_now_and_then(tmp_path):
    """Callers who retry through failures of the disk have each of their costs recorded exactly once."""
    statements = 0

    class Flaky(sqlite3.Connection):
        def execute(self, *args):
            nonlocal statements
            statements += 1
            if statements % 41 == 0:
                raise sqlite3.OperationalError("disk I/O error")
            return super().execute(*args)

    def connect(*args, **kwargs):
        return sqlite3.connect(*args, factory=Flaky, **kwargs)

    failures = 0
    back = asyncio.Event()
    back.set()

    def on_health(serving):
        (back.set if serving else back.clear)()

    store = SqliteStore(tmp_path / "meterd.sqlite3", connect=connect)
    await store.open()
    ledger = Ledger(store, clock_us=lambda: NOW, commit_window_seconds=0, on_health=on_health)

    async def call(number):
        nonlocal failures
        while True:
            try:
                return await ledger.submit(cost("alice", number, f"r{number}"))
            except (StoreUnavailable, Overloaded):
                failures += 1
                await back.wait()

    async def caller(first):
        for number in range(first, 240, 8):
            await call(number)

    await asyncio.gather(*map(caller, range(8)))
    assert 0 < failures
    await ledger.stop()
    statements = -(10**9)
    await store.reopen()
    entries = await store.entries("alice", **ALL)
    assert [-number for number in range(239, -1, -1)] == sorted(entry.amount_microcents for entry in entries)
    assert -sum(range(240)) == (await store.account("alice")).balance_microcents
    await store.close()


async def test_stopping_behind_a_caller_who_was_alone(ledger):
    """Who asks right after a call that was committed at once is answered before a ledger that stops then has stopped."""
    first, second = (ledger.submit(cost("alice", number, f"r{number}")) for number in (1, 2))
    assert (first.done(), second.done()) == (True, False)
    await ledger.stop()
    assert second.done()
    await assert_exact(ledger, "alice", [-1, -2])

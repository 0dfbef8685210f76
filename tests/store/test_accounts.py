"""Accounts in memory and on disk: what peek may answer, what eviction must not lose, what reopening brings back."""

import asyncio

import pytest

from meterd_server.errors import StoreUnavailable
from meterd_server.model import Account
from rules.commands import cost, funding, strict_cost
from store.model import Model, assert_holds, brief, entries_of

USERS = [f"user-{number}" for number in range(40)]


async def test_an_unknown_user_has_nothing(store):
    """A user without entries has an account of version 0, before and after others have one."""
    assert Account("nobody") == await store.account("nobody")
    await store.commit([cost("alice", 1)], 1)
    assert Account("nobody") == await store.account("nobody")
    assert store.peek("nobody") in (None, Account("nobody"))


async def test_a_refused_first_command_leaves_a_user_unknown(store):
    """A user whose only command was refused has no account."""
    await store.commit([strict_cost("alice", 1)], 1)
    assert Account("alice") == await store.account("alice")
    assert store.peek("alice") in (None, Account("alice"))


async def test_peek_knows_what_was_acknowledged(store):
    """After each commit peek answers the account as it is now or nothing, never an older one."""
    for number in range(1, 30):
        (outcome, _) = await store.commit([funding("alice", number), cost("bob", 1)], 1)
        assert store.peek("alice") in (outcome.account, None)
        assert outcome.account == await store.account("alice")
        assert store.peek("alice") in (outcome.account, None)


async def test_peek_during_a_commit(store):
    """While a commit is under way peek answers the account before it or after it, and after it from then on."""
    await store.commit([cost(user_id, 1) for user_id in USERS], 1)
    before, after = -1, -501
    seen = []
    async with asyncio.TaskGroup() as group:
        commit = group.create_task(store.commit([cost("user-3", 1) for _ in range(500)], 1))
        while not commit.done():
            await asyncio.sleep(0)
            if account := store.peek("user-3"):
                seen.append(account.balance_microcents)
    assert set(seen) <= {before, after}
    assert sorted(seen, reverse=True) == seen
    assert after == (await store.account("user-3")).balance_microcents


async def test_reads_beside_commits(store):
    """Accounts and lists that are read while commits are under way are each of one state, and never older than asked."""
    known = 0

    async def write():
        nonlocal known
        for _ in range(60):
            outcomes = await store.commit([cost("alice", 1), cost("alice", 1)], 1)
            known = outcomes[-1].entry.version

    async def read():
        while known < 120:
            least = known
            account = await store.account("alice")
            entries = await entries_of(store, "alice")
            assert least <= account.version <= len(entries)
            assert 0 == account.version % 2 == len(entries) % 2
            assert list(range(1, len(entries) + 1)) == [entry.version for entry in entries]
            assert account.version == -account.balance_microcents

    await asyncio.gather(write(), read(), read())


async def test_eviction_loses_nothing(open_store):
    """With room for two accounts and many users, everything is there whatever is read or written in between."""
    store = await open_store(accounts_max=2)
    model = Model()
    for number in range(6):
        batch = [cost(user_id, number) for user_id in USERS[:: number + 1]]
        assert model.commit(batch) == brief(await store.commit(batch, 1))
        await assert_holds(store, model, USERS)


async def test_eviction_after_reopening(durable, open_store):
    """Accounts that were read from disk, dropped and read again are the ones that further commits build on."""
    model = Model()
    for number in range(4):
        store = await open_store(accounts_max=2)
        await assert_holds(store, model, USERS)
        batch = [cost(user_id, number) for user_id in USERS]
        for user_id in USERS[::3]:
            more = [funding(user_id, 10), strict_cost(user_id, 3)]
            assert model.commit(more) == brief(await store.commit(more, 1))
            await store.account(USERS[5])
        assert model.commit(batch) == brief(await store.commit(batch, 1))
        await assert_holds(store, model, USERS)
        await store.close()


async def test_everything_survives_reopening(durable, open_store):
    """Entries, accounts, and every request id are there after closing and opening, time and again."""
    model, past = Model(), []
    for number in range(5):
        store = await open_store()
        await assert_holds(store, model, USERS)
        assert model.commit(past) == brief(await store.commit(past, 2))
        batch = [cost(user_id, number) for user_id in USERS[number:]] + [funding(USERS[0], 5)]
        assert model.commit(batch) == brief(await store.commit(batch, 1))
        past += batch
        await store.close()


async def test_reopen_starts_from_what_is_durable(durable, store):
    """A store that is reopened in place has everything that was committed, and takes commands again."""
    model = Model()
    for number in range(3):
        batch = [cost(user_id, number) for user_id in USERS]
        assert model.commit(batch) == brief(await store.commit(batch, 1))
        await store.reopen()
        await assert_holds(store, model, USERS)


async def test_a_closed_store_is_unavailable(open_store):
    """After close, which may be called again, everything raises StoreUnavailable and peek knows nothing."""
    store = await open_store()
    await store.commit([cost("alice", 1)], 1)
    await store.close()
    await store.close()
    assert store.peek("alice") is None
    for call in (store.account("alice"), entries_of(store, "alice"), store.commit([cost("alice", 1)], 1)):
        with pytest.raises(StoreUnavailable):
            await call


async def test_a_store_that_was_never_opened_can_be_closed(engine, tmp_path):
    """Closing is safe at any time."""
    await engine.make(tmp_path).close()

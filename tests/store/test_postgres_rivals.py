"""Many daemons on one database: what they do at the same time comes to what one would have done."""

import asyncio
import random

import pytest

from meterd_server.errors import Reason
from meterd_server.model import Applied, EntryKind
from meterd_server.store.postgres.engine import PostgresStore
from rules.commands import capture, cost, funding, grant, reserve, reverse, strict_cost
from store.engines import DistributedStore, postgres_url
from store.model import entries_of

DAEMONS = 4
WRITERS = 64
USERS = [f"user-{number}" for number in range(10)]


@pytest.fixture(params=[PostgresStore, DistributedStore])
async def daemons(request, tmp_path):
    """Return four stores on one database, opened at the same time."""
    stores = [request.param(postgres_url(tmp_path), connections=8) for _ in range(DAEMONS)]
    await asyncio.gather(*[store.open() for store in stores])
    yield stores
    for store in stores:
        await store.close()


async def send(store, commands, size, rng, now_us=1):
    """Commit the commands in batches of up to `size`, in an order of its own; return their outcomes by command."""
    mixed = rng.sample(commands, len(commands))
    outcomes = {}
    while mixed:
        batch = mixed[: rng.randint(1, size)]
        del mixed[: len(batch)]
        outcomes |= dict(zip(batch, await store.commit(batch, now_us), strict=True))
    return outcomes


async def assert_one_ledger(store, users):
    """Check that each user's versions have no gap, the sums are the account's, and no request id is there twice."""
    for user_id in users:
        entries = await entries_of(store, user_id)
        account = await store.account(user_id)
        assert list(range(1, account.version + 1)) == [entry.version for entry in entries]
        assert account.balance_microcents == sum(entry.amount_microcents for entry in entries)
        balance = 0
        for entry in entries:
            balance += entry.amount_microcents
            assert balance == entry.balance_microcents
        assert len(entries) == len({entry.request_id for entry in entries})


async def test_the_same_requests_on_four_daemons(daemons):
    """Each request that four daemons are sent at the same time makes one entry; one of them made it, three were told of it."""
    commands = [cost(user_id, number + 1, f"r{number}") for number in range(30) for user_id in USERS]
    told = await asyncio.gather(
        *[send(store, commands, 50, random.Random(number)) for number, store in enumerate(daemons)]
    )
    for command in commands:
        outcomes = [outcomes[command] for outcomes in told]
        assert 1 == len({outcome.entry for outcome in outcomes})
        assert [False, True, True, True] == sorted(outcome.replayed for outcome in outcomes)
    await assert_one_ledger(daemons[0], USERS)
    assert {-sum(range(1, 31))} == {(await daemons[1].account(user_id)).balance_microcents for user_id in USERS}


async def test_four_daemons_with_64_writers_on_ten_users(daemons):
    """What 256 writers add and take at the same time is all there, once, in one order for each user."""

    async def write(store, number):
        outcomes = []
        for turn in range(4):
            user_id = USERS[(number + turn) % len(USERS)]
            outcomes += await store.commit([funding(user_id, 7), cost(user_id, 3)], 1)
        return outcomes

    writers = [write(store, number) for store in daemons for number in range(WRITERS)]
    told = [outcome for outcomes in await asyncio.gather(*writers) for outcome in outcomes]
    assert DAEMONS * WRITERS * 8 == len({outcome.entry for outcome in told})
    await assert_one_ledger(daemons[0], USERS)
    accounts = [await daemons[0].account(user_id) for user_id in USERS]
    assert DAEMONS * WRITERS * 4 * 7 == sum(account.funded_microcents for account in accounts)
    assert DAEMONS * WRITERS * 4 * 3 == sum(account.spent_microcents for account in accounts)


async def test_money_is_spent_once(daemons):
    """Of strict costs that four daemons are sent at the same time, just so many go through as are covered."""
    await daemons[0].commit([funding(user_id, 10) for user_id in USERS], 1)

    async def spend(store):
        return await store.commit([strict_cost(user_id, 1) for user_id in USERS * 5], 1)

    told = [outcome for outcomes in await asyncio.gather(*map(spend, daemons)) for outcome in outcomes]
    assert 10 * len(USERS) == sum(isinstance(outcome, Applied) for outcome in told)
    assert {Reason.INSUFFICIENT_FUNDS} == {outcome.reason for outcome in told if not isinstance(outcome, Applied)}
    assert {0} == {(await daemons[3].account(user_id)).balance_microcents for user_id in USERS}
    await assert_one_ledger(daemons[0], USERS)


async def test_new_users_on_four_daemons(daemons):
    """Users that four daemons hear of at the same time, in whatever order, are made once."""
    for turn in range(10):
        users = [f"new-{turn}-{number}" for number in range(12)]
        commands = [funding(user_id, 5, "f") for user_id in users] + [strict_cost(user_id, 5, "s") for user_id in users]
        rngs = [random.Random(f"{turn}/{number}") for number in range(DAEMONS)]
        batches = [rng.sample(commands[:12], 12) + rng.sample(commands[12:], 12) for rng in rngs]
        told = await asyncio.gather(*[store.commit(batch, 1) for store, batch in zip(daemons, batches, strict=True)])
        entries = [outcome.entry for outcomes in told for outcome in outcomes]
        assert 24 == len(set(entries))
        await assert_one_ledger(daemons[turn % DAEMONS], users)


async def test_a_change_is_seen_by_the_others_at_once(daemons):
    """What one daemon has acknowledged, each of the others reads and builds on."""
    for number in range(20):
        writer, reader = daemons[number % DAEMONS], daemons[(number + 1) % DAEMONS]
        (outcome,) = await writer.commit([funding("alice", 1)], 1)
        assert outcome.account == await reader.account("alice")
        assert [outcome.entry] == (await entries_of(reader, "alice"))[-1:]


async def test_a_refusal_is_not_remembered_by_anyone(daemons):
    """A request that one daemon refused goes through on another after a top-up, and is then a replay on the first."""
    strict = strict_cost("alice", 5, "r")
    (refused,) = await daemons[0].commit([strict], 1)
    await daemons[1].commit([funding("alice", 5)], 1)
    (taken,) = await daemons[2].commit([strict], 1)
    (again,) = await daemons[0].commit([strict], 1)
    assert (Reason.INSUFFICIENT_FUNDS, False, True) == (refused.reason, taken.replayed, again.replayed)
    assert taken.entry == again.entry


async def test_what_is_due_is_ended_once(daemons):
    """Daemons that all end what is due, at the same time and while users go on, make one entry for each."""
    now_us = 1_000_000
    await daemons[0].commit([funding(user_id, 1000, "f") for user_id in USERS], 1)
    opened = [
        reserve(user_id, 10, f"r{n}", ttl_us=1, captures_floor=True, floor_microcents=3)
        for n in range(5)
        for user_id in USERS
    ]
    await daemons[1].commit(opened + [grant(user_id, 100, now_us) for user_id in USERS], 1)

    async def sweep(store, number):
        due = await store.due(2 * now_us, 1000)
        costs = [cost(user_id, 1) for user_id in USERS]
        return await send(store, [*due, *costs], 20, random.Random(number), 2 * now_us)

    await asyncio.gather(*[sweep(store, number) for number, store in enumerate(daemons)])
    assert [[]] * DAEMONS == [await store.due(2 * now_us, 10) for store in daemons]
    await assert_one_ledger(daemons[0], USERS)
    for user_id in USERS:
        kinds = [entry.kind for entry in await entries_of(daemons[2], user_id)]
        assert (5, 1, 4) == tuple(map(kinds.count, (EntryKind.EXPIRY, EntryKind.LAPSE, EntryKind.COST)))
        account = await daemons[3].account(user_id)
        assert (1000 - 5 * 3 - 4, 0) == (account.balance_microcents, account.more.held_microcents)


async def test_money_is_reserved_once(daemons):
    """Of reservations that four daemons are asked for at the same time, just so many are made as are covered, and captured once."""
    await daemons[0].commit([funding(user_id, 10) for user_id in USERS], 1)

    async def spend(store, number):
        outcomes = await store.commit([reserve(user_id, 2, f"r{number}-{n}") for n in range(5) for user_id in USERS], 1)
        return [outcome.entry for outcome in outcomes if isinstance(outcome, Applied)]

    made = await asyncio.gather(*[spend(store, number) for number, store in enumerate(daemons)])
    opened = [entry for entries in made for entry in entries]
    assert 5 * len(USERS) == len(opened)
    captures = [capture(entry.user_id, entry.request_id, 2, "c" + entry.request_id) for entry in opened]
    told = await asyncio.gather(*[send(store, captures, 9, random.Random(n)) for n, store in enumerate(daemons)])
    for command in captures:
        assert [False, True, True, True] == sorted(outcomes[command].replayed for outcomes in told)
    accounts = [await daemons[0].account(user_id) for user_id in USERS]
    assert {(0, None)} == {(account.balance_microcents, account.more) for account in accounts}


async def test_one_entry_is_reversed_once(daemons):
    """Parts of one entry that four daemons reverse at the same time never come to more than it."""
    await daemons[0].commit([cost(user_id, 10, "c") for user_id in USERS], 1)
    batches = [[reverse(user_id, 1, 3) for user_id in USERS] for _ in daemons]
    told = await asyncio.gather(*[store.commit(batch, 1) for store, batch in zip(daemons, batches, strict=True)])
    assert 3 * len(USERS) == sum(isinstance(outcome, Applied) for outcomes in told for outcome in outcomes)
    assert {-1} == {(await daemons[0].account(user_id)).balance_microcents for user_id in USERS}
    await assert_one_ledger(daemons[0], USERS)


async def test_one_daemon_has_the_lease(daemons):
    """Of four that ask at the same time one gets it, and keeps it while it asks again; when its time is over another one may."""
    names = [f"daemon-{number}" for number in range(DAEMONS)]
    held = await asyncio.gather(*[store.lease(name, 60) for store, name in zip(daemons, names, strict=True)])
    assert [False, False, False, True] == sorted(held)
    holder = held.index(True)
    other = (holder + 1) % DAEMONS
    assert await daemons[holder].lease(names[holder], 60)
    assert not await daemons[other].lease(names[other], 60)
    assert await daemons[holder].lease(names[holder], -1)
    assert await daemons[other].lease(names[other], 60)
    assert not await daemons[holder].lease(names[holder], 60)

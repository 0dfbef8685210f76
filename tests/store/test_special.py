"""Any sequence of any commands comes to the same in every store, in whatever batches, reopened or not."""

import random
from collections import Counter

import pytest

from meterd_server.model import Applied
from meterd_server.store.sqlite import SqliteStore
from store.model import entries_of
from store.special import assert_sound, special_command

USERS = ["alice", "bob", "carol"]


@pytest.mark.parametrize("seed", range(6))
async def test_every_engine_says_the_same(engine, open_store, seed):
    """Outcomes, what is due, accounts and entries are those of a store in memory that is never closed."""
    dice, now_us, seen = random.Random(seed), 0, Counter()
    steady = SqliteStore(":memory:")
    await steady.open()
    store = await open_store()
    for _ in range(25):
        batch = [special_command(dice, USERS, now_us) for _ in range(dice.choice([1, 2, 6, 25]))]
        outcomes = await steady.commit(batch, now_us)
        assert outcomes == await store.commit(batch, now_us)
        seen.update(type(each) if isinstance(each, Applied) and not each.replayed else "other" for each in outcomes)
        now_us += dice.choice([0, 1, 5])
        due = await steady.due(now_us, 1000)
        assert sorted(due) == sorted(await store.due(now_us, 1000))
        if dice.randrange(2):
            assert await steady.commit(due, now_us) == await store.commit(due, now_us)
        if engine.survives_reopening and not dice.randrange(5):
            await store.close()
            store = await open_store()
    await assert_sound(store, USERS)
    for user_id in USERS:
        assert await entries_of(steady, user_id) == await entries_of(store, user_id)
    await steady.close()
    assert seen[Applied] > 30

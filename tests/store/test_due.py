"""What is due in each store: in which order, how much at a time, and for whom."""

import pytest

from meterd_server.errors import StoreUnavailable
from meterd_server.model import Expire, Lapse
from meterd_server.rules import expiry_request_id
from rules.commands import capture, extend, funding, grant, release, reserve
from store.special import SECOND


async def test_oldest_first(counter):
    """Reservations and users with grants come in the order of their time, each once, up to the limit, until none is left."""
    now_us = counter.now_us
    users = ["alice", "bob", "carol", "dávid"]
    await counter.batch(
        *[funding(user_id, 100) for user_id in users],
        *[
            reserve(user_id, 1, f"r{number}", ttl_us=(3 + 4 * number) * SECOND)
            for number in range(5)
            for user_id in users
        ],
        grant("bob", 5, now_us + 10 * SECOND),
        grant("bob", 5, now_us + 5 * SECOND),
        grant("bob", 5, now_us + 60 * SECOND),
        grant("carol", 5, now_us + 12 * SECOND),
    )
    assert [] == await counter.store.due(now_us + 2 * SECOND, 10)
    counter.passes(13)
    due = await counter.store.due(counter.now_us, 100)
    expected = ["r0"] * 4 + ["bob"] + ["r1"] * 4 + ["r2"] * 4 + ["carol"]
    shown = [_shown(each) for each in due]
    assert sorted(shown[5:]) == sorted(expected[5:])
    assert shown[:9] == expected[:9]
    assert Expire("alice", expiry_request_id(2), "r0") in due[:4]
    for limit in (1, 4, 5, 9):
        assert shown[:limit] == [_shown(each) for each in await counter.store.due(counter.now_us, limit)]
    rounds = 0
    while page := await counter.store.due(counter.now_us, 4):
        assert len(page) <= 4
        await counter.batch(*page)
        rounds += 1
    assert rounds <= 5
    counter.passes(100)
    assert 4 * 2 + 1 == len(await counter.store.due(counter.now_us, 100))


def _shown(command):
    return command.user_id if isinstance(command, Lapse) else command.reservation_id


async def test_what_has_ended_is_not_due(counter):
    """A reservation that was captured, released or extended, or that expired, is due no more."""
    await counter.batch(
        funding("alice", 100), *[reserve("alice", 1, f"r{number}", ttl_us=SECOND) for number in range(5)]
    )
    counter.passes(1)
    counter.passes(0.001)
    assert 5 == len(await counter.store.due(counter.now_us, 10))
    await counter.batch(
        capture("alice", "r0", 1),
        capture("alice", "r1", 1, final=False),
        release("alice", "r2"),
        extend("alice", "r3", ttl_us=SECOND),
        Expire("alice", expiry_request_id(6), "r4"),
    )
    assert ["r1"] == [each.reservation_id for each in await counter.store.due(counter.now_us, 10)]
    counter.passes(2)
    assert ["r1", "r3"] == [each.reservation_id for each in await counter.store.due(counter.now_us, 10)]


async def test_many_grants_of_one_user_hold_nobody_up(counter):
    """However many grants one user has that are due, a page says it once, and the next one goes on with others."""
    await counter.batch(
        *[grant("alice", 1, counter.now_us + SECOND) for _ in range(50)],
        *[grant("bob", 1, counter.now_us + 2 * SECOND) for _ in range(3)],
    )
    counter.passes(5)
    assert [Lapse("alice")] == await counter.store.due(counter.now_us, 7)
    await counter.batch(Lapse("alice"))
    assert [Lapse("bob")] == await counter.store.due(counter.now_us, 7)
    await counter.batch(Lapse("bob"))
    assert [] == await counter.store.due(counter.now_us, 7)
    assert (0, 0) == ((await counter.totals())[0], (await counter.totals("bob"))[0])


async def test_the_lease_is_had_by_who_is_alone(store):
    """Whoever is alone on a store is the one who ends what is due, for as long as it asks again."""
    for _ in range(3):
        assert await store.lease("me", 60)


async def test_a_closed_store_says_so(store):
    """What is due cannot be read from a store that is closed, and nobody has its lease."""
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.due(0, 1)
    with pytest.raises(StoreUnavailable):
        await store.lease("me", 60)

"""Moving a ledger between engines: everything arrives as it was, an interrupted move goes on, and a difference is never missed."""

import random
from itertools import permutations

import pytest

from meterd_server.errors import StoreUnavailable
from meterd_server.store.moving import MoveError, copy, count_entries, prove
from rules.commands import cost, funding, strict_cost
from store.engines import ENGINES
from store.model import Model, assert_holds, brief
from store.special import special_command

USERS = ["alice", "Alice", "bob", "dávid", "\N{GRINNING FACE}", *(f"user-{number}" for number in range(150))]
PAIRS = [pair for pair in permutations(ENGINES, 2) if pair[0].name != "sqlite-memory"]


@pytest.fixture(params=PAIRS, ids=lambda pair: f"{pair[0].name} to {pair[1].name}")
async def stores(request, tmp_path):
    """Return two empty stores, for each pair of engines."""
    pair = [engine.make(tmp_path / str(number)) for number, engine in enumerate(request.param)]
    for number, store in enumerate(pair):
        (tmp_path / str(number)).mkdir()
        await store.open()
    yield pair
    for store in pair:
        await store.close()


async def fill(store):
    """Put into a store what a ledger can hold; return the model of it. Alice has more entries than one page takes."""
    model = Model()
    batches = [
        [cost("alice", number, f"r{number}", labels=(("n", str(number)),)) for number in range(2100)],
        [funding(user_id, 1000, "f") for user_id in USERS],
        [cost(user_id, 3, "0190b6c2-7a3e-7d5c-9f10-2b4a6c8e0f12", service="s", occur_time_us=5) for user_id in USERS],
        [strict_cost(user_id, 10**9) for user_id in USERS],
    ]
    for now_us, batch in enumerate(batches):
        assert model.commit(batch) == brief(await store.commit(batch, now_us))
    return model


async def test_everything_arrives(stores):
    """Entries, accounts and request ids are the same afterwards, and the new store goes on from there."""
    source, target = stores
    model = await fill(source)
    done = []
    await copy(source, target, done.append)
    total = 2100 + 2 * len(USERS)
    assert total == sum(done) == await count_entries(source) == await count_entries(target)
    proof = await prove(source, target)
    assert (len(USERS), total, 1000 * len(USERS), sum(range(2100)) + 3 * len(USERS)) == proof[:4]
    await assert_holds(target, model, USERS)
    again = [cost("alice", 7, "r7", labels=(("n", "7"),)), cost("bob", 4), funding("new", 1)]
    assert model.commit(again) == brief(await target.commit(again, 9))
    await assert_holds(target, model, [*USERS, "new"])


async def test_what_follows_from_entries_arrives_with_them(stores):
    """Reservations, reversals and grants are in the new store what they were in the old one: the same is due, and comes of each."""
    source, target = stores
    dice, now_us = random.Random(7), 0
    for _ in range(25):
        batch = [special_command(dice, USERS[:6], now_us) for _ in range(25)]
        await source.commit(batch, now_us)
        now_us += dice.choice([0, 1, 5])
        if dice.randrange(2):
            await source.commit(await source.due(now_us, 9), now_us)
        if dice.randrange(2):
            await copy(source, target)  # what is moved later may end what was moved before
    await copy(source, target)
    await prove(source, target)
    for later_us in (0, 1, 3, 9):
        due = await source.due(now_us + later_us, 1000)
        assert sorted(due) == sorted(await target.due(now_us + later_us, 1000))
    assert due
    batch = [special_command(dice, USERS[:6], now_us + 3) for _ in range(400)]
    assert await source.commit(batch, now_us + 3) == await target.commit(batch, now_us + 3)
    await prove(source, target)


async def test_there_and_back(stores, tmp_path):
    """A ledger that is moved twice has the same digest, whatever the order in which engines keep users."""
    source, target = stores
    await fill(source)
    await copy(source, target)
    there = await prove(source, target)
    third = ENGINES[0].make(tmp_path)
    await third.open()
    await copy(target, third)
    assert there == await prove(target, third) == await prove(source, third)
    await third.close()


async def test_an_interrupted_move_goes_on(stores, monkeypatch):
    """However often a move is cut off after a transaction, giving it again goes on from there and comes to the same."""
    source, target = stores
    await fill(source)
    write, written = target.import_entries, []

    async def write_once(entries, accounts):
        if written:
            raise StoreUnavailable("cut off")
        await write(entries, accounts)
        written.append(len(entries))

    monkeypatch.setattr(target, "import_entries", write_once)
    moved = []
    while True:
        written.clear()
        try:
            await copy(source, target)
        except StoreUnavailable:
            moved += written
        else:
            moved += written
            break
    assert len(moved) > 3
    assert 2100 + 2 * len(USERS) == sum(moved)
    await prove(source, target)


async def test_what_came_meanwhile_is_moved_the_next_time(stores):
    """A source that was used during the move is noticed, and moved completely by moving again."""
    source, target = stores
    await fill(source)
    await copy(source, target)
    await source.commit([cost("bob", 1), funding("new", 1)], 10)
    with pytest.raises(MoveError):
        await prove(source, target)
    await copy(source, target)
    await prove(source, target)


@pytest.mark.parametrize("theirs", [cost("bob", 2, "x"), funding("stranger", 1)])
async def test_another_ledger_is_not_mixed_in(stores, theirs):
    """A target that holds a user who is not the source's, or the same user otherwise, is refused before anything is written."""
    source, target = stores
    await fill(source)
    await target.commit([theirs], 1)
    with pytest.raises(MoveError, match=theirs.user_id):
        await copy(source, target)
    assert 1 == await count_entries(target)


async def test_a_target_that_went_on_is_not_the_same(stores):
    """A target that has been written to since is told apart, by its accounts and by its users."""
    source, target = stores
    await fill(source)
    await copy(source, target)
    await target.commit([funding("new", 1)], 10)
    with pytest.raises(MoveError, match=r"FROM has 155 users .* TO has 156"):
        await prove(source, target)
    await target.commit([cost("bob", 1)], 10)
    with pytest.raises(MoveError, match="'bob'"):
        await prove(source, target)
    with pytest.raises(MoveError):
        await copy(source, target)


async def test_an_empty_ledger(stores):
    """Moving nothing works, and is proved."""
    source, target = stores
    await copy(source, target)
    assert (0, 0, 0, 0) == (await prove(source, target))[:4]

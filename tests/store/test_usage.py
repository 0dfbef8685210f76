"""Usage and rate cards in each store: what is kept, and charges that add up to the price of the sum, whatever happens between."""

import random

import pytest

from meterd_server.model import Account, EntryKind, PricedUsage, RateCardKey, RecordCost, Usage
from meterd_server.pricing import RateCard, Tier
from rules.commands import cost, funding
from store.model import entries_of

KEY = RateCardKey("chat", "large-*", 3)


def use(picocents, request_id, *, user_id="alice", **quantities):
    """Return the command of a usage with a price."""
    usage = Usage("chat", "large-1", tuple(sorted((quantities or {"input_tokens": 7}).items())))
    return RecordCost(user_id, request_id, 0, "chat", priced=PricedUsage(usage, picocents, KEY))


async def test_an_entry_keeps_its_usage(open_store, durable):
    """Quantities, card and residue are there after reopening, as they were answered."""
    store = await open_store()
    (applied,) = await store.commit([use(2_300_000, "r1", input_tokens=1_200, output_tokens=300)], 5)
    assert (EntryKind.COST, -2, 300_000, KEY) == (
        applied.entry.kind,
        applied.entry.amount_microcents,
        applied.entry.residue_picocents,
        applied.entry.rate_card,
    )
    await store.close()
    store = await open_store()
    assert [applied.entry] == await entries_of(store, "alice")
    assert applied.account == await store.account("alice")
    assert (await store.commit([use(9, "r1", input_tokens=1_200, output_tokens=300)], 6))[0].replayed


async def test_usage_beside_other_entries(open_store, durable):
    """A batch may hold usage, plain costs and what has more to say, in any order: each entry is kept as it was answered."""
    store = await open_store()
    labelled = cost("alice", 5, "r4")._replace(labels=(("a", "b"),))
    used_before = use(3_000_000, "r5", calls=1)._replace(occur_time_us=3)
    batches = [
        [cost("alice", 5, "r1"), use(2_300_000, "r2")],
        [use(1, "r3"), labelled, used_before, cost("alice", 5, "r6")],
    ]
    answered = [outcome.entry for batch in batches for outcome in await store.commit(batch, 5)]
    await store.close()
    assert answered == await entries_of(await open_store(), "alice")


async def test_names_survive_whatever_they_are(open_store, durable):
    """Quotes, backslashes and other alphabets in a service or model are kept as they are."""
    usage = Usage('a "service" \\ of', "模型-☃", (("calls", 2**63 - 1), ("pages", 0)))
    key = RateCardKey(usage.service, "模型-*", 2**31 - 1)
    store = await open_store()
    (applied,) = await store.commit([RecordCost("alice", "r1", 0, priced=PricedUsage(usage, 5, key))], 5)
    await store.close()
    (entry,) = await entries_of(await open_store(), "alice")
    assert (usage, key, applied.entry) == (entry.usage, entry.rate_card, entry)


@pytest.mark.parametrize("seed", range(8))
async def test_charges_add_up_across_restarts(open_store, durable, seed):
    """However usage is split, and however often the store is reopened, the charges are the price of the sum, rounded down once."""
    random_number = random.Random(seed)
    store = await open_store()
    total_picocents = {"alice": 0, "bob": 0}
    for number in range(30):
        batch = []
        for place in range(random_number.randrange(1, 5)):
            user_id = random_number.choice(list(total_picocents))
            picocents = random_number.choice([1, 999_999, random_number.randrange(5_000_000), 10**12 + 1])
            total_picocents[user_id] += picocents
            batch.append(use(picocents, f"r{number}-{place}", user_id=user_id))
        batch.append(random_number.choice([funding("alice", 1), cost("bob", 0)]))
        await store.commit(batch, number)
        if random_number.random() < 0.3:
            await store.close()
            store = await open_store()
    for user_id, picocents in total_picocents.items():
        account = await store.account(user_id)
        assert divmod(picocents, 10**6) == (account.spent_microcents, account.residue_picocents)


async def test_a_user_who_only_has_a_residue(store):
    """Usage below a microcent is an entry of 0, and the account owes it."""
    (applied,) = await store.commit([use(1, "r1")], 5)
    assert (0, Account("alice", 1, 0, 0, 5, 1)) == (applied.entry.amount_microcents, applied.account)


CARDS = [
    RateCard("chat", "", {"input_tokens": 200_000_000}, version=1),
    RateCard(
        "chat", "large-*", {"input_tokens": 7}, 5, 1, "x", 8, 9, (Tier(3, ("input_tokens",), {"input_tokens": 1}),)
    ),
]


async def test_cards_are_kept(open_store, durable):
    """Cards are there after reopening, as they were."""
    store = await open_store()
    assert [] == await store.rate_cards()
    assert await store.add_rate_cards(CARDS)
    await store.close()
    store = await open_store()
    assert sorted(CARDS, key=str) == sorted(await store.rate_cards(), key=str)


async def test_a_key_is_taken_once(store):
    """Of cards of which one has the key of a card that is kept, none is taken."""
    assert await store.add_rate_cards(CARDS[:1])
    other = RateCard("scan", "", {"pages": 1}, version=1)
    assert not await store.add_rate_cards([other, RateCard("chat", "", {"input_tokens": 1}, version=1)])
    assert CARDS[:1] == await store.rate_cards()
    assert await store.add_rate_cards([other])

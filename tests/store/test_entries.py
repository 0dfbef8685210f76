"""Listing a user's entries: both orders, any bounds, any limit, against a slice of a list."""

from itertools import product

import pytest

from rules.commands import cost
from store.model import NEVER, entries_of

ENTRIES = 203
AFTER = (0, 1, 62, 63, 64, 65, 128, 191, 192, 202, 203, 500)
BEFORE = (0, 1, 2, 64, 65, 66, 129, 193, 203, 204, 500, NEVER)
LIMITS = (0, 1, 2, 63, 64, 65, 1000)


def expected(entries, after_version, before_version, newest_first, limit):
    """Return what a list of all entries, oldest first, has within the bounds."""
    within = [entry for entry in entries if after_version < entry.version < before_version]
    return (within[::-1] if newest_first else within)[:limit]


async def fill(store):
    """Give alice and bob ENTRIES entries each, in batches of sizes that hit and miss the powers of two; return alice's."""
    made, size = [], 1
    while len(made) < ENTRIES:
        numbers = range(len(made), min(len(made) + size, ENTRIES))
        batch = [cost(user_id, number, f"r{number}") for number in numbers for user_id in ("alice", "bob")]
        outcomes = await store.commit(batch, 1)
        made += [outcome.entry for outcome in outcomes[::2]]
        size = size * 3 % 61
    return made


@pytest.mark.parametrize("newest_first", [False, True])
async def test_every_bound_and_limit(store, newest_first):
    """Any bounds, limit and order give the very slice that a list would."""
    made = await fill(store)
    for after, before, limit in product(AFTER, BEFORE, LIMITS):
        actual = await store.entries(
            "alice", after_version=after, before_version=before, newest_first=newest_first, limit=limit
        )
        assert expected(made, after, before, newest_first, limit) == actual, (after, before, limit)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("page_size", [1, 50, 64])
async def test_paging_meets_every_entry_once(store, newest_first, page_size):
    """Going on from the last entry of each page walks through all of them, in order, without a gap."""
    made = await fill(store)
    walked, after, before = [], 0, NEVER
    while page := await store.entries(
        "alice", after_version=after, before_version=before, newest_first=newest_first, limit=page_size
    ):
        walked += page
        after, before = (0, page[-1].version) if newest_first else (page[-1].version, NEVER)
    assert expected(made, 0, NEVER, newest_first, ENTRIES) == walked


async def test_listing_after_reopening(durable, open_store):
    """A listing that is entered in the middle is the same for a store that has just been opened."""
    first = await open_store()
    made = await fill(first)
    await first.close()
    second = await open_store()
    for after, before, limit in product(AFTER, BEFORE, (3, 1000)):
        for newest_first in (False, True):
            actual = await second.entries(
                "alice", after_version=after, before_version=before, newest_first=newest_first, limit=limit
            )
            assert expected(made, after, before, newest_first, limit) == actual


async def test_an_unknown_user_has_no_entries(store):
    """A user without entries has an empty list, and asking does not make one known."""
    await store.commit([cost("alice", 1)], 1)
    assert [] == await entries_of(store, "nobody")
    assert 0 == (await store.account("nobody")).version


async def test_a_user_of_one_entry(store):
    """The shortest list is found in both orders."""
    (outcome,) = await store.commit([cost("alice", 1)], 1)
    for newest_first in (False, True):
        bounds = {"after_version": 0, "before_version": NEVER}
        assert [outcome.entry] == await store.entries("alice", **bounds, newest_first=newest_first, limit=1)


async def test_a_listing_sees_what_was_acknowledged(store):
    """An entry is listed as soon as its commit has returned."""
    for number in range(1, 20):
        (outcome,) = await store.commit([cost("alice", number)], 1)
        newest = await store.entries("alice", after_version=0, before_version=NEVER, newest_first=True, limit=1)
        assert [outcome.entry] == newest

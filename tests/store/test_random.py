"""Random batches and reopenings against the ledger in two dicts."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.commands import commands, in_columns, plain_costs
from store.engines import ENGINES
from store.model import Model, assert_holds, brief

USERS = ("alice", "bob", "carol", "dávid", "eve")
REOPEN = "close and open"
STEPS = st.lists(
    st.lists(commands(USERS, request_ids=12), max_size=12)
    | plain_costs(USERS, request_ids=12).map(in_columns)
    | st.just(REOPEN),
    max_size=12,
)


async def run(engine, place, steps, accounts_max):
    """Take a store and a model through the same steps; they have to agree at each."""
    store = engine.make(place, accounts_max=accounts_max)
    await store.open()
    try:
        model = Model()
        for now_us, step in enumerate(steps):
            if step != REOPEN:
                assert model.commit(step) == brief(await store.commit(step, now_us))
            elif engine.survives_reopening:
                await store.close()
                store = engine.make(place, accounts_max=accounts_max)
                await store.open()
            await assert_holds(store, model, USERS)
    finally:
        await store.close()


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
@settings(max_examples=40, deadline=None)
@given(steps=STEPS, accounts_max=st.sampled_from([1, 2, 100]))
def test_random_batches(engine, steps, accounts_max):
    """Any sequence of batches, repeated and mixed up in any way and across reopenings, comes to what the model says."""
    with TemporaryDirectory() as place, asyncio.Runner() as runner:
        runner.run(run(engine, Path(place), steps, accounts_max))
